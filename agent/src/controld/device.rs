//! The number of the device that a tool names. The path may lie on a file system that hangs, so it is looked at on a thread
//! of its own with a deadline. A thread takes longer to start than the cluster to agree to the mount; what the kernel has in
//! memory below /dev, which is nearly always all of it, is looked at without one. The device itself is not opened.

use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::oneshot;

use nix::fcntl::{OFlag, OpenHow, ResolveFlag, open, openat2};
use nix::sys::stat::{Mode, SFlag, fstat, major, minor};
use nix::sys::statfs::{TMPFS_MAGIC, fstatfs};

/// A path that is not found by then is a device that cannot be used.
const LOOKUP_WITHIN: Duration = Duration::from_secs(5);
/// Look-ups under way, those included that were given up and still hang.
const LOOKUPS_MAX: usize = 32;

/// Major and minor number, or why there are none.
pub(super) type Number = Result<(u64, u64), String>;

/// EAGAIN instead of waiting for anything that is not in memory. Source: linux include/uapi/linux/openat2.h, since 5.12.
const RESOLVE_CACHED: u64 = 0x20;

/// How many look-ups are under way, of all clients together.
#[derive(Clone)]
pub(super) struct Lookups(Arc<AtomicUsize>, Option<Arc<OwnedFd>>);

/// One of them, for as long as its thread lives.
struct Lookup(Arc<AtomicUsize>);

impl Lookup {
    fn begin(lookups: &Lookups) -> Option<Lookup> {
        let counted = Lookup(lookups.0.clone());
        (counted.0.fetch_add(1, Ordering::AcqRel) < LOOKUPS_MAX).then_some(counted)
    }
}

impl Drop for Lookup {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Default for Lookups {
    fn default() -> Self {
        let dev = open("/dev", OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty()).ok();
        // devtmpfs says that it is a tmpfs.
        let in_memory = dev.filter(|dev| fstatfs(dev).is_ok_and(|found| found.filesystem_type() == TMPFS_MAGIC));
        Lookups(Arc::default(), in_memory.map(Arc::new))
    }
}

impl Lookups {
    /// The number of the block device at this path, as this process sees it.
    pub(super) async fn number(&self, path: &str) -> Number {
        if let Some(number) = self.at_once(path) {
            return Ok(number);
        }
        let Some(counted) = Lookup::begin(self) else {
            return Err(format!("{path}: earlier looks at devices still hang"));
        };
        let (sender, found) = oneshot::channel();
        let owned = path.to_owned();
        let thread = std::thread::Builder::new().name("o2cpgd-device".into()).spawn(move || {
            let number = number(Path::new(&owned));
            drop(counted);
            _ = sender.send(number);
        });
        match (thread, tokio::time::timeout(LOOKUP_WITHIN, found).await) {
            (Ok(_), Ok(Ok(number))) => number,
            (Err(error), _) => Err(format!("{path}: no thread to look at it: {error}")),
            (Ok(_), Ok(Err(_)) | Err(_)) => Err(format!("{path}: no answer within {} s", LOOKUP_WITHIN.as_secs())),
        }
    }
}

impl Lookups {
    /// Without waiting for anything: on the file system of /dev and no other, and only what is in memory.
    fn at_once(&self, path: &str) -> Option<(u64, u64)> {
        let below = Path::new(path).strip_prefix("/dev").ok()?;
        let resolve = ResolveFlag::RESOLVE_NO_XDEV | ResolveFlag::from_bits_retain(RESOLVE_CACHED);
        let how = OpenHow::new().flags(OFlag::O_PATH | OFlag::O_CLOEXEC).resolve(resolve);
        let found = fstat(openat2(self.1.as_deref()?, below, how).ok()?).ok()?;
        let is_block = found.st_mode & SFlag::S_IFMT.bits() == SFlag::S_IFBLK.bits();
        is_block.then(|| (major(found.st_rdev), minor(found.st_rdev)))
    }
}

fn number(path: &Path) -> Number {
    let failed = |why: &str| Err(format!("{}: {why}", path.display()));
    if !path.is_absolute() {
        return failed("not an absolute path");
    }
    match fs::metadata(path) {
        Ok(found) if found.file_type().is_block_device() => Ok((major(found.rdev()), minor(found.rdev()))),
        Ok(_) => failed("not a block device"),
        Err(error) => failed(&error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::runtime;

    fn found(lookups: &Lookups, path: &str) -> Number {
        runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(lookups.number(path))
    }

    #[test]
    fn what_is_no_block_device_is_refused_with_its_path_and_why() {
        let lookups = Lookups::default();
        for (path, why) in [
            ("sdb", "not an absolute path"),
            ("", "not an absolute path"),
            ("/nonexistent/sdb", "No such file or directory"),
            ("/dev/null", "not a block device"),
            ("/tmp", "not a block device"),
            ("/dev/null/sdb", "Not a directory"),
        ] {
            let refused = found(&lookups, path).expect_err(path);
            assert!(refused.starts_with(&format!("{path}: {why}")), "{refused}");
        }
    }

    #[test]
    fn at_once_and_on_a_thread_a_device_has_the_same_number() {
        let lookups = Lookups::default();
        let names = fs::read_dir("/dev").unwrap().map(|entry| entry.unwrap().path());
        for path in names {
            let path = path.to_str().unwrap();
            if let Some(found) = lookups.at_once(path) {
                assert_eq!(Ok(found), number(Path::new(path)), "{path}");
            }
        }
        for path in ["/dev/null", "/dev/../etc/hostname", "/dev", "/etc/hostname", "/dev/nonexistent"] {
            assert_eq!(lookups.at_once(path), None, "{path}");
        }
    }

    #[test]
    fn clients_that_look_at_nothing_do_not_count() {
        let lookups = Lookups::default();
        let clients = vec![lookups.clone(); 2 * LOOKUPS_MAX];
        assert!(found(&clients[0], "/dev/null").expect_err("a device of characters").contains("not a block device"));
    }

    #[test]
    fn with_too_many_looks_that_hang_the_next_is_refused_at_once() {
        let lookups = Lookups::default();
        let hanging: Vec<Lookup> = (0..LOOKUPS_MAX).filter_map(|_| Lookup::begin(&lookups)).collect();
        assert!(found(&lookups, "/dev/null").expect_err("too many").contains("still hang"));
        drop(hanging);
        assert!(found(&lookups, "/dev/null").expect_err("a device of characters").contains("not a block device"));
    }
}
