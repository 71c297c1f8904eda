//! libcmap: the configuration map, read whole and watched. Through rust-corosync.
//!
//! Of the crate iteration is used: its `get` refuses every string of more than 15 bytes (it offers corosync 16 bytes of a
//! 256-byte buffer) and serves numbers only. Its iterator ends without a word on any error, so a read counts only when two in
//! a row are equal. A value that is not UTF-8 ends it too, and hides every node behind it: so each nodeid is asked for.

use std::os::fd::RawFd;

use rust_corosync::DispatchFlags;
use rust_corosync::cmap::{self, CmapIterStart, Data, Map, NotifyCallback, TrackType};

use crate::callbacks::on_key;
use crate::calls::Progress;
use crate::config::{Keys, OWN_PREFIX, READ_PREFIXES, Unreadable};
use crate::error::{Call, Code, Failure};
use crate::sys::Dispatched;
use crate::watched::{Handle, dispatched};

/// Whose changes lead to a new read. `config.` holds the flag that a reload is under way.
const WATCHED_PREFIXES: [&str; 6] =
    ["config.", "totem.cluster_name", "nodelist.", "quorum.", "runtime.config.totem.", OWN_PREFIX];
/// Reads of the whole map until two in a row are equal.
const READS_MAX: u32 = 8;
/// Keys of one prefix: 128 nodes with 8 links, a name and a number are 1280.
const KEYS_MAX: usize = 4096;
/// Positions of the nodelist, without gaps: corosync numbers them anew at each reload.
const NODES_MAX: usize = 1024;

/// No such key.
const NOT_EXIST: Code = Code(12);

/// One connection to the map. A clone is the same connection and does not keep it open.
#[derive(Clone)]
pub(crate) struct Cmap(cmap::Handle);

/// Why the map could not be read.
#[derive(Debug)]
pub(crate) enum ReadError {
    Corosync(Failure),
    Content(Unreadable),
}

impl Cmap {
    /// Connects. Blocks with corosync.
    pub(crate) fn open(progress: &Progress) -> Result<Self, Failure> {
        let initialize = || cmap::initialize(Map::Icmap).map_err(Code::from);
        progress.call(Call::CmapInitialize, initialize).map(Self)
    }

    /// From here on changes are told. To be called before the first read, so that nothing falls in between.
    pub(crate) fn track(&self, progress: &Progress) -> Result<(), Failure> {
        let notify = NotifyCallback { notify_fn: Some(on_key) };
        for prefix in WATCHED_PREFIXES {
            progress.call(Call::CmapTrackAdd, || {
                cmap::track_add(&self.0, prefix, TrackType::all(), &notify, 0).map_err(Code::from)
            })?;
        }
        Ok(())
    }

    /// Reads what [`Config`](crate::Config) is made of.
    pub(crate) fn read(&self, progress: &Progress) -> Result<Keys, ReadError> {
        let mut last = self.read_once(progress)?;
        for _ in 1..READS_MAX {
            let next = self.read_once(progress)?;
            if next == last {
                return Ok(next);
            }
            last = next;
        }
        Err(ReadError::Content(Unreadable::Restless(READS_MAX)))
    }

    fn read_once(&self, progress: &Progress) -> Result<Keys, ReadError> {
        let mut keys = Keys::new();
        for prefix in READ_PREFIXES {
            let start = || CmapIterStart::new(&self.0, prefix).map_err(Code::from);
            let entries = progress.call(Call::CmapIterate, start).map_err(ReadError::Corosync)?;
            for entry in entries.into_iter().take(KEYS_MAX) {
                keys.insert(entry.key_name().to_owned(), text(entry.data()));
            }
        }
        self.misses_no_node(&keys, progress)?;
        Ok(keys)
    }

    /// Whether every node that there is was read. To take one for removed that has only a name in another character set
    /// would cost its entry in the kernels.
    fn misses_no_node(&self, keys: &Keys, progress: &Progress) -> Result<(), ReadError> {
        for position in 0..NODES_MAX {
            let key = format!("nodelist.node.{position}.nodeid");
            match progress.call(Call::CmapGet, || cmap::get(&self.0, &key).map_err(Code::from)) {
                Ok(_) if keys.contains_key(&key) => {}
                Ok(_) => return Err(ReadError::Content(Unreadable::Missing(key))),
                Err(why) if why.code == NOT_EXIST => return Ok(()),
                Err(why) => return Err(ReadError::Corosync(why)),
            }
        }
        Ok(())
    }
}

/// The value as corosync.conf would write it.
fn text(data: &Data) -> String {
    match data {
        Data::Int8(v) => v.to_string(),
        Data::UInt8(v) => v.to_string(),
        Data::Int16(v) => v.to_string(),
        Data::UInt16(v) => v.to_string(),
        Data::Int32(v) => v.to_string(),
        Data::UInt32(v) => v.to_string(),
        Data::Int64(v) => v.to_string(),
        Data::UInt64(v) => v.to_string(),
        Data::Float(v) => v.to_string(),
        Data::Double(v) => v.to_string(),
        Data::String(v) => v.clone(),
        Data::Binary(v) => v.escape_ascii().to_string(),
        Data::Unknown => String::new(),
    }
}

impl Handle for Cmap {
    const DISPATCH: Call = Call::CmapDispatch;

    fn fd(&self) -> Result<RawFd, Code> {
        cmap::fd_get(&self.0).map_err(Code::from)
    }

    fn dispatch_one(&mut self) -> Result<Dispatched, Code> {
        dispatched(cmap::dispatch(&self.0, DispatchFlags::OneNonblocking))
    }
}
