//! The 2200-byte frame of the client socket, in both directions.
//!
//! A frame is text, a NUL, and data or nothing; the rest is zero. What is *not* in here: what the text means
//! (`verbs.rs`), and raw answers to queries, which come without any frame (`records.rs`).

use crate::error::FrameOverflow;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Size of every frame, either way.
pub const FRAME_LEN: usize = 2200;

/// One frame. The original leaves its stack in the unused part; here it is zero (deviation Q12).
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<u8>", into = "Vec<u8>")]
pub struct Frame(Box<[u8; FRAME_LEN]>);

impl Frame {
    /// `text`, NUL, `data`, zeros.
    pub fn new(text: &[u8], data: &[u8]) -> Result<Self, FrameOverflow> {
        let needed = text.len() + 1 + data.len();
        if needed > FRAME_LEN {
            return Err(FrameOverflow { needed });
        }
        let mut bytes = Box::new([0; FRAME_LEN]);
        bytes[..text.len()].copy_from_slice(text);
        bytes[text.len() + 1..needed].copy_from_slice(data);
        Ok(Frame(bytes))
    }

    /// All 2200 bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; FRAME_LEN] {
        &self.0
    }

    /// What stands before the first NUL; everything if there is none.
    #[must_use]
    pub fn text(&self) -> &[u8] {
        self.0.split(|&b| b == 0).next().unwrap_or_default()
    }
}

impl From<[u8; FRAME_LEN]> for Frame {
    fn from(bytes: [u8; FRAME_LEN]) -> Self {
        Frame(Box::new(bytes))
    }
}

impl TryFrom<Vec<u8>> for Frame {
    type Error = FrameOverflow;

    fn try_from(bytes: Vec<u8>) -> Result<Self, FrameOverflow> {
        let needed = bytes.len();
        let bytes = bytes.into_boxed_slice().try_into().map_err(|_| FrameOverflow { needed })?;
        Ok(Frame(bytes))
    }
}

impl From<Frame> for Vec<u8> {
    fn from(frame: Frame) -> Vec<u8> {
        frame.0.to_vec()
    }
}

impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Frame({})", self.text().escape_ascii())
    }
}

/// Cuts a byte stream into frames. Holds less than one frame between calls, whatever the client does, and
/// never waits: half a frame is simply not there yet (deviation Q15).
#[derive(Clone, Debug, Default)]
pub struct FrameReader {
    partial: Vec<u8>,
}

impl FrameReader {
    /// Takes what was read and returns the next whole frame, if any. `input` is moved past what was used;
    /// call again until `None`.
    pub fn next_frame(&mut self, input: &mut &[u8]) -> Option<Frame> {
        let take = input.len().min(FRAME_LEN - self.partial.len());
        let (head, rest) = input.split_at(take);
        self.partial.extend_from_slice(head);
        *input = rest;
        let whole = <[u8; FRAME_LEN]>::try_from(self.partial.as_slice()).ok()?;
        self.partial.clear();
        Some(Frame::from(whole))
    }

    /// Bytes of a frame that has not ended.
    #[must_use]
    pub fn partial_len(&self) -> usize {
        self.partial.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_text_nul_data_zeros() {
        let frame = Frame::new(b"deliver a 1 3", b"xyz").unwrap();
        assert_eq!(&frame.as_bytes()[..18], b"deliver a 1 3\0xyz\0");
        assert!(frame.as_bytes()[17..].iter().all(|&b| b == 0));
        assert_eq!(frame.text(), b"deliver a 1 3");
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        assert_eq!(Frame::new(&[b'x'; FRAME_LEN], b""), Err(FrameOverflow { needed: FRAME_LEN + 1 }));
        assert!(Frame::new(&[b'x'; FRAME_LEN - 1], b"").is_ok());
    }

    #[test]
    fn frames_are_cut_wherever_the_reads_end() {
        let mut stream = Frame::new(b"one", b"").unwrap().as_bytes().to_vec();
        stream.extend_from_slice(Frame::new(b"two", b"").unwrap().as_bytes());
        for chunk in [1, 7, 1000, 2199, 2200, 2201, 4400] {
            let mut reader = FrameReader::default();
            let mut frames = Vec::new();
            for mut piece in stream.chunks(chunk) {
                while let Some(frame) = reader.next_frame(&mut piece) {
                    frames.push(frame.text().to_vec());
                }
                assert!(reader.partial_len() < FRAME_LEN);
            }
            assert_eq!(frames, [b"one".to_vec(), b"two".to_vec()], "chunks of {chunk}");
        }
    }
}
