//! What corosync's libraries hide behind codes of their own: that this process has no descriptor left.

use std::fs::File;
use std::io;

use crate::error::Code;

/// Descriptors that one connection needs while it is made: its socket, and two files of shared memory at a time.
const NEEDED: usize = 3;

/// The code, or [`Code::NO_DESCRIPTORS`] if a connection could not be made for that reason. Tries it out: a library
/// that has failed has closed what it had opened before it could not go on.
pub(crate) fn reason(code: Code) -> Code {
    let tried: io::Result<Vec<File>> = (0..NEEDED).map(|_| File::open("/dev/null")).collect();
    let is_short = |error: &io::Error| matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE));
    if tried.as_ref().err().is_some_and(is_short) { Code::NO_DESCRIPTORS } else { code }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn with_descriptors_left_corosync_s_own_word_stands() {
        assert_eq!(reason(Code::LIBRARY), Code::LIBRARY);
    }
}
