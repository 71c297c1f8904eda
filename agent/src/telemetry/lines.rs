//! Lines of the log for the journal's own stream: `<6>message field=value …`, as sd-daemon(3) has it.
//!
//! The journal's native protocol would keep the fields apart, and then `journalctl -u o2cpgd` shows the bare message, "view" or
//! "refused", without them: nobody who reads it at night would see what was refused and why.

use std::io::{self, Write};
use tracing::{Level, Metadata};
use tracing_subscriber::fmt::MakeWriter;

/// Writes to stderr, with the level in front of each line.
pub(super) struct Stream;

impl<'a> MakeWriter<'a> for Stream {
    type Writer = Line;

    fn make_writer(&'a self) -> Line {
        Line { priority: Level::INFO }
    }

    fn make_writer_for(&'a self, meta: &Metadata<'_>) -> Line {
        Line { priority: *meta.level() }
    }
}

/// One event; the formatter writes it at once.
pub(super) struct Line {
    priority: Level,
}

impl Write for Line {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let whole = [priority(self.priority).as_bytes(), bytes].concat();
        io::stderr().lock().write_all(&whole).map(|()| bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// syslog(3)'s number.
fn priority(level: Level) -> &'static str {
    match level {
        Level::ERROR => "<3>",
        Level::WARN => "<4>",
        Level::INFO => "<6>",
        Level::DEBUG | Level::TRACE => "<7>",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_those_of_syslog() {
        let all = [Level::ERROR, Level::WARN, Level::INFO, Level::DEBUG, Level::TRACE].map(priority);
        assert_eq!(all, ["<3>", "<4>", "<6>", "<7>", "<7>"]);
    }
}
