//! What this machine can do: some suites need root and namespaces, or a kernel in user mode.

use std::path::Path;

use nix::sys::statvfs::statvfs;

use crate::{Error, lab};

/// What `./x test` writes below the target folder on a clean checkout, in bytes, with a margin (docs/TESTING.md).
const ROOM: u64 = 5_000_000_000;

/// What a suite needs beside a compiler.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Need {
    Nothing,
    /// Root and every kind of namespace: nodes with corosync on the host's kernel.
    Namespaces,
    /// Root and User Mode Linux: nodes with a kernel of their own.
    Kernel,
}

/// What is lacking, as one line; `None` when the need is met. The lab tries it out rather than guess.
pub(crate) fn lack(need: Need) -> Result<Option<String>, Error> {
    let kind = match need {
        Need::Nothing => return Ok(None),
        Need::Namespaces => "ns",
        Need::Kernel => "uml",
    };
    let output = lab::script("lab")
        .args(["check", kind])
        .output()
        .map_err(|source| Error::Start { program: "tests/lab/lab".into(), source })?;
    if output.status.success() {
        return Ok(None);
    }
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).lines().map(str::trim).collect::<Vec<_>>().join("; ");
    Ok(Some(if said.is_empty() { format!("lab check {kind}: {}", output.status) } else { said }))
}

/// What to say if the disk of the target folder may be too small: a compiler that cannot write only says that it failed.
pub(crate) fn short_of_room(target_dir: &Path) -> Option<String> {
    // Before the first build there is no such folder; what is above it is on the same disk.
    let folder = target_dir.ancestors().find(|folder| folder.exists())?;
    let disk = statvfs(folder).ok()?;
    let free = disk.blocks_available() * disk.fragment_size();
    hint(free).map(|hint| format!("{}: {hint}", target_dir.display()))
}

fn hint(free: u64) -> Option<String> {
    let gb = |bytes: u64| bytes as f64 / 1e9;
    (free < ROOM).then(|| {
        let (free, room) = (gb(free), gb(ROOM));
        format!("{free:.1} GB are left on this disk, and a whole run on a clean checkout takes up to {room:.0} GB; remove old builds or set CARGO_TARGET_DIR")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_disk_is_named_with_what_is_needed() {
        assert_eq!(hint(ROOM), None);
        assert!(
            hint(1_240_000_000)
                .unwrap()
                .starts_with("1.2 GB are left on this disk, and a whole run on a clean checkout takes up to 5 GB")
        );
    }
}
