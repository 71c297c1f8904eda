//! The model as the `cluster` directory that the agent works on.

use std::path::{Path, PathBuf};

use super::fault::Call;
use super::tree::Place;
use super::{Model, heartbeat};
use crate::backend::Backend;
use crate::calls::Access;
use crate::error::{Errno, Error};

impl Backend for Model {
    fn mkdir(&mut self, path: &str) -> Result<(), Error> {
        self.spend_fault(Call::Mkdir, path)
            .and_then(|()| self.make_dir(&below(path)))
            .map(drop)
            .map_err(|source| Error::Mkdir { path: self.locate(path), source })
    }

    fn rmdir(&mut self, path: &str) -> Result<(), Error> {
        self.spend_fault(Call::Rmdir, path)
            .and_then(|()| self.remove_dir(&below(path)))
            .map_err(|source| Error::Rmdir { path: self.locate(path), source })
    }

    fn show(&self, path: &str) -> Result<String, Error> {
        self.check_fault(Call::Show, path)
            .and_then(|()| self.show_path(&below(path)))
            .map_err(|source| Error::Show { path: self.locate(path), source })
    }

    fn store(&mut self, path: &str, value: &str) -> Result<(), Error> {
        self.spend_fault(Call::Store, path)
            .and_then(|()| self.store_path(&below(path), value))
            .map_err(|source| Error::Store { path: self.locate(path), value: value.to_owned(), source })
    }

    fn list(&self, path: &str) -> Result<Vec<String>, Error> {
        self.check_fault(Call::List, path)
            .and_then(|()| self.names(&below(path)))
            .map_err(|source| Error::List { path: self.locate(path), source })
    }

    fn start_heartbeat(&mut self, region: &str, device: &Path) -> Result<(), Error> {
        self.spend_fault(Call::StartHeartbeat, region)
            .and_then(|()| {
                let id = self.tree.lookup_dir(&below(region))?;
                let name = device.file_name().unwrap_or_default().to_string_lossy().into_owned();
                heartbeat::start(self, id, &name)
            })
            .map_err(|source| Error::StartHeartbeat { path: self.locate(region), device: device.to_owned(), source })
    }

    fn locate(&self, path: &str) -> PathBuf {
        PathBuf::from(below(path))
    }
}

fn below(path: &str) -> String {
    if path.is_empty() { "cluster".to_owned() } else { ["cluster/", path].concat() }
}

impl Model {
    fn show_path(&self, path: &str) -> Result<String, Errno> {
        let Place::Attribute(dir, attribute) = self.tree.lookup(path)? else { return Err(Errno::EISDIR) };
        self.open_attribute(dir, attribute, Access::Read)?;
        self.show_attribute(dir, attribute)
    }

    fn store_path(&mut self, path: &str, value: &str) -> Result<(), Errno> {
        let Place::Attribute(dir, attribute) = self.tree.lookup(path)? else { return Err(Errno::EISDIR) };
        self.open_attribute(dir, attribute, Access::Write)?;
        let taken = self.store_attribute(dir, attribute, value.as_bytes())?;
        if taken == value.len() { Ok(()) } else { Err(Errno::EIO) }
    }
}
