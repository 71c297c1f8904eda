//! /proc/self/mountinfo → the ocfs2 mounts of this machine. Pure.
//!
//! One line a mount, fields parted by single blanks:
//!
//! ```text
//! 36 35 98:0 /root /mnt rw,noatime shared:1 - ocfs2 /dev/sdb rw,heartbeat=local
//! id parent major:minor root mountpoint options optional… - type source superoptions
//! ```
//!
//! Blank, tab, newline and backslash within a field are written as `\040`, `\011`, `\012`, `\134`.
//!
//! Source: linux Documentation/filesystems/proc.rst, 3.5.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

/// One ocfs2 mount.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Ocfs2Mount {
    /// `major:minor` of the block device.
    pub(crate) number: String,
    /// The source as it was named at the mount.
    pub(crate) device: PathBuf,
    /// Where it is mounted.
    pub(crate) path: PathBuf,
}

/// The ocfs2 mounts, sorted; lines that are not as described are passed over, as they cannot be of a mounted ocfs2.
pub(crate) fn ocfs2_mounts(mountinfo: &[u8]) -> Vec<Ocfs2Mount> {
    let mut mounts: Vec<Ocfs2Mount> = mountinfo.split(|byte| *byte == b'\n').filter_map(mount).collect();
    mounts.sort();
    mounts
}

fn mount(line: &[u8]) -> Option<Ocfs2Mount> {
    let mut fields = line.split(|byte| *byte == b' ');
    let number = String::from_utf8(fields.nth(2)?.to_vec()).ok()?;
    let path = fields.nth(1)?;
    fields.find(|field| *field == b"-")?;
    if fields.next()? != b"ocfs2" {
        return None;
    }
    let device = fields.next()?;
    Some(Ocfs2Mount { number, device: unescaped(device), path: unescaped(path) })
}

fn unescaped(field: &[u8]) -> PathBuf {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((first, after)) = rest.split_first() {
        match octal(rest) {
            Some(byte) => {
                bytes.push(byte);
                rest = &rest[4..];
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    OsString::from_vec(bytes).into()
}

/// `\040` at the beginning.
fn octal(bytes: &[u8]) -> Option<u8> {
    let [b'\\', digits @ ..] = bytes.get(..4)? else { return None };
    digits.iter().try_fold(0_u8, |value, digit| {
        let digit = digit.checked_sub(b'0').filter(|digit| *digit < 8)?;
        value.checked_mul(8)?.checked_add(digit)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TEXT: &[u8] = b"\
22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw\n\
36 22 98:0 / /srv/da\\040ta rw,relatime shared:9 master:2 - ocfs2 /dev/ubda rw,heartbeat=local\n\
37 22 98:0 /sub /bind rw,relatime - ocfs2 /dev/ubda rw\n\
38 22 0:44 / /ocfs2 rw - tmpfs ocfs2 rw\n\
cut off - ocfs2\n";

    #[test]
    fn only_ocfs2_is_listed_with_real_paths() {
        let found = ocfs2_mounts(TEXT);
        let paths: Vec<_> = found.iter().map(|mount| mount.path.display().to_string()).collect();
        assert_eq!(paths, ["/bind", "/srv/da ta"]);
        assert!(found.iter().all(|mount| mount.number == "98:0" && mount.device.as_os_str() == "/dev/ubda"));
    }

    #[test]
    fn a_backslash_that_begins_no_octal_number_stays() {
        assert_eq!(unescaped(b"a\\134b\\9\\04"), PathBuf::from("a\\b\\9\\04"));
        assert_eq!(unescaped(b"\\777"), PathBuf::from("\\777"));
    }

    fn escaped(path: &str) -> String {
        let octal = |c: char| if " \t\n\\".contains(c) { format!("\\{:03o}", c as u32) } else { c.to_string() };
        path.chars().map(octal).collect()
    }

    proptest! {
        #[test]
        fn any_mount_point_is_read_back(path in "/[ -~\\t\\nü]{0,40}") {
            let line = format!("36 22 98:0 / {} rw shared:9 - ocfs2 /dev/sdb rw", escaped(&path));
            let found = ocfs2_mounts(line.as_bytes());
            prop_assert_eq!(found.len(), 1);
            prop_assert_eq!(&found[0].path, &PathBuf::from(path));
        }

        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            ocfs2_mounts(&bytes);
        }
    }
}
