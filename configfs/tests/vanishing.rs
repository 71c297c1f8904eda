//! What goes away between its listing and its reading.

#![allow(clippy::unwrap_used, reason = "test code; the lint knows only test functions")]

use std::cell::Cell;
use std::path::{Path, PathBuf};

use configfs::{Backend, Errno, Error, Model, Op, apply, read_tree};

/// A tree of which the first so many reads of an attribute find nothing any more.
struct Vanishing(Model, Cell<u32>);

impl Backend for Vanishing {
    fn mkdir(&mut self, path: &str) -> Result<(), Error> {
        self.0.mkdir(path)
    }

    fn rmdir(&mut self, path: &str) -> Result<(), Error> {
        self.0.rmdir(path)
    }

    fn show(&self, path: &str) -> Result<String, Error> {
        match self.1.get() {
            0 => self.0.show(path),
            left => {
                self.1.set(left - 1);
                Err(Error::Show { path: self.locate(path), source: Errno::ENOENT })
            }
        }
    }

    fn store(&mut self, path: &str, value: &str) -> Result<(), Error> {
        self.0.store(path, value)
    }

    fn list(&self, path: &str) -> Result<Vec<String>, Error> {
        self.0.list(path)
    }

    fn start_heartbeat(&mut self, region: &str, device: &Path) -> Result<(), Error> {
        self.0.start_heartbeat(region, device)
    }

    fn locate(&self, path: &str) -> PathBuf {
        self.0.locate(path)
    }
}

fn with_failures(count: u32) -> Vanishing {
    let mut model = Model::default();
    apply(&mut model, &[Op::MakeCluster { cluster: "lab".into() }]).unwrap();
    Vanishing(model, Cell::new(count))
}

#[test]
fn a_tree_that_changes_while_it_is_read_is_read_again() {
    assert_eq!(read_tree(&with_failures(3)).unwrap().unwrap().name, "lab");
}

#[test]
fn but_not_for_ever() {
    let error = read_tree(&with_failures(4)).unwrap_err();
    assert_eq!(error.errno(), Some(Errno::ENOENT.0));
}
