//! The volume id of an ocfs2 block device, from its superblock.
//!
//! The superblock is block 2 of the volume, with blocks of 512, 1024, 2048 or 4096 bytes. It begins with the signature
//! `OCFSV2`; the volume id is 16 bytes at offset 0x150 of it (0xc0, where the inode's own fields end, plus 0x90).
//!
//! Source: linux fs/ocfs2/ocfs2_fs.h, struct ocfs2_dinode and struct ocfs2_super_block.

use std::io::{self, Read, Seek, SeekFrom};

const SUPER_BLOCK: u64 = 2;
const BLOCK_LENS: [u64; 4] = [512, 1024, 2048, 4096];
const SIGNATURE: &[u8] = b"OCFSV2";
const UUID_OFFSET: usize = 0x150;
const UUID_LEN: usize = 16;

/// The volume id in capital hexadecimal, as o2cb names its heartbeat region; `None` if this is no ocfs2.
pub(crate) fn uuid(mut device: impl Read + Seek) -> io::Result<Option<String>> {
    let mut block = [0; UUID_OFFSET + UUID_LEN];
    for len in BLOCK_LENS {
        device.seek(SeekFrom::Start(SUPER_BLOCK * len))?;
        match device.read_exact(&mut block) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            other => other?,
        }
        if block.starts_with(SIGNATURE) {
            return Ok(Some(block[UUID_OFFSET..].iter().map(|byte| format!("{byte:02X}")).collect()));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Cursor;

    fn volume(block_len: usize) -> Vec<u8> {
        let mut volume = vec![0; 16 * 1024];
        let at = 2 * block_len;
        volume[at..at + 6].copy_from_slice(b"OCFSV2");
        for (byte, value) in volume[at + 0x150..at + 0x160].iter_mut().zip(0xA0..) {
            *byte = value;
        }
        volume
    }

    #[test]
    fn the_id_is_found_with_every_block_length() {
        for len in [512, 1024, 2048, 4096] {
            let found = uuid(Cursor::new(volume(len))).unwrap();
            assert_eq!(found.as_deref(), Some("A0A1A2A3A4A5A6A7A8A9AAABACADAEAF"), "{len}");
        }
    }

    #[test]
    fn another_file_system_and_a_short_device_have_none() {
        assert_eq!(uuid(Cursor::new(vec![0; 16 * 1024])).unwrap(), None);
        assert_eq!(uuid(Cursor::new(vec![0; 700])).unwrap(), None);
    }
}
