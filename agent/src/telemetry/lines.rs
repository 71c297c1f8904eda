//! Lines of the log for the journal's own stream: `<6>message field=value …`, as sd-daemon(3) has it.
//!
//! The journal's native protocol would keep the fields apart, and then `journalctl -u o2cpgd` shows the bare message, "view" or
//! "refused", without them: nobody who reads it at night would see what was refused and why.

use super::writer::Queue;
use std::io::{self, Write};
use tracing::{Level, Metadata};
use tracing_subscriber::fmt::MakeWriter;

/// Makes lines of events.
pub(crate) struct Lines {
    /// Where they go.
    pub(super) queue: Queue,
    /// Whether the level stands in front, for the journal.
    pub(super) with_priority: bool,
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Line<'a> {
        Line { lines: self, priority: Level::INFO }
    }

    fn make_writer_for(&'a self, meta: &Metadata<'_>) -> Line<'a> {
        Line { lines: self, priority: *meta.level() }
    }
}

/// One event; the formatter writes it at once.
pub(crate) struct Line<'a> {
    lines: &'a Lines,
    priority: Level,
}

impl Write for Line<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let prefix = if self.lines.with_priority { priority(self.priority) } else { "" };
        self.lines.queue.add([prefix.as_bytes(), bytes].concat());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// syslog(3)'s number.
pub(super) fn priority(level: Level) -> &'static str {
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
