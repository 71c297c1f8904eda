//! `o2cpg watch`: status again and again. What changed within the last seconds is marked; that only time went
//! by is not.

use std::collections::{HashSet, VecDeque};
use std::io::{self, BufRead, IsTerminal};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use anstream::adapter::strip_str;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use proto::control::{Ask, api};

use super::exit::{Exit, Failure};
use super::output::{Format, told};
use super::text::{FAINT, WARN, styled};
use super::{Session, duration, render};

/// How long a change stays marked: time to read it.
const MARKED_FOR: Duration = Duration::from_secs(5);
/// Looks held to compare with; shorter intervals mark for less time.
const LOOKS_MAX: usize = 100;
/// Columns of the mark.
const GUTTER: usize = 2;
/// Cursor home; then each line erases its rest, and the end everything below.
const HOME: &str = "\x1b[H";
const ERASE_LINE: &str = "\x1b[K";
const ERASE_BELOW: &str = "\x1b[J";
const CLEAR: &str = "\x1b[2J";

impl Session {
    /// Ends with q, or with the signal of Ctrl-C. The daemon may go and come back meanwhile.
    pub(super) fn watch(&self, interval: Duration) -> Result<Exit, Failure> {
        let mut looks = VecDeque::new();
        loop {
            let look = self.look()?;
            self.repaint(&look, &looks)?;
            looks.push_back((Instant::now(), look));
            while looks.len() > LOOKS_MAX || looks.len() > 1 && looks[0].0.elapsed() > MARKED_FOR {
                looks.pop_front();
            }
            if !waited(interval)? {
                return Ok(Exit::Ok);
            }
        }
    }

    /// Usage and permission do not get better by asking again; everything else is part of the picture.
    fn look(&self) -> Result<Look, Failure> {
        match self.ask::<api::Status>(Ask::Status) {
            Ok(status) => Ok(Look::Status(Box::new(status))),
            Err(failure) if matches!(failure.exit, Exit::Usage | Exit::NotPermitted) => Err(failure),
            Err(failure) => Ok(Look::Failure(failure)),
        }
    }

    /// Marked is what differs from the oldest of the `seen`; where lines pile up, a look like the last is left out.
    fn repaint(&self, look: &Look, seen: &VecDeque<(Instant, Look)>) -> Result<(), Failure> {
        let (oldest, last) = (seen.front().map(|(_, look)| look), seen.back().map(|(_, look)| look));
        let is_same = last.is_some_and(|last| last.timeless() == look.timeless());
        match (self.output.format, self.output.is_terminal()) {
            (Format::Text, true) => self.output.text(&self.screen(look, oldest)),
            _ if is_same => Ok(()),
            (Format::Text, false) => self.output.text(&(self.marked_lines(look, last) + "\n")),
            (Format::Json | Format::Jsonl, _) => match look {
                Look::Status(status) => self.output.document_line(status),
                Look::Failure(failure) => self.output.failure_line(failure),
            },
        }
    }

    fn screen(&self, look: &Look, oldest: Option<&Look>) -> String {
        let clear = if oldest.is_none() { CLEAR } else { "" };
        let text = self.marked_lines(look, oldest) + "\n" + &styled(FAINT, "  * changed   q Enter ends") + "\n";
        format!("{clear}{HOME}{}{ERASE_BELOW}", text.replace('\n', &format!("{ERASE_LINE}\n")))
    }

    fn marked_lines(&self, look: &Look, seen: Option<&Look>) -> String {
        marked(&self.lines(look), seen.map(|seen| self.lines(seen)).as_deref())
    }

    fn lines(&self, look: &Look) -> String {
        let width = self.output.width - GUTTER;
        match look {
            Look::Status(status) => render::status(status, self.global.verbose, width),
            Look::Failure(failure) => told(failure, width),
        }
    }
}

/// What one look saw.
#[derive(Clone, PartialEq)]
enum Look {
    Status(Box<api::Status>),
    Failure(Failure),
}

impl Look {
    /// Without what changes by itself.
    fn timeless(&self) -> Look {
        let Look::Status(status) = self else { return self.clone() };
        let mut status = status.clone();
        status.agent.iter_mut().for_each(|agent| agent.up_ms = 0);
        status.corosync.iter_mut().for_each(|corosync| corosync.since_ms = 0);
        status.nodes.iter_mut().for_each(|node| node.since_ms = 0);
        status.waits.iter_mut().for_each(|wait| wait.since_ms = 0);
        status.counters = None;
        Look::Status(status)
    }
}

/// `text` with a mark in front of each line that says something that `seen` did not.
fn marked(text: &str, seen: Option<&str>) -> String {
    let known: Option<HashSet<String>> = seen.map(|seen| seen.lines().map(fact).collect());
    let is_new = |line: &str| known.as_ref().is_some_and(|known| !known.contains(&fact(line)));
    let line = |line: &str| match line {
        "" => "\n".to_owned(),
        _ if is_new(line) => format!("{} {line}\n", styled(WARN, "*")),
        _ => format!("{:GUTTER$}{line}\n", ""),
    };
    text.lines().map(line).collect()
}

/// A line without colour, without the blanks that line it up, and without how long it has been so.
fn fact(line: &str) -> String {
    let plain = strip_str(line).to_string();
    plain.split_whitespace().filter(|word| !duration::is_spoken(word)).collect::<Vec<&str>>().join(" ")
}

/// Waits for the interval or Enter. `false`: the person has seen enough.
fn waited(interval: Duration) -> Result<bool, Failure> {
    let stdin = io::stdin();
    if !stdin.is_terminal() {
        std::thread::sleep(interval);
        return Ok(true);
    }
    let mut fds = [PollFd::new(stdin.as_fd(), PollFlags::POLLIN)];
    let timeout = PollTimeout::try_from(interval).unwrap_or(PollTimeout::MAX);
    let ready = poll(&mut fds, timeout).map_err(|errno| Failure::of("waiting", &io::Error::from(errno), ""))?;
    if ready == 0 {
        return Ok(true);
    }
    let mut line = String::new();
    let read = stdin.lock().read_line(&mut line).map_err(|error| Failure::of("reading the keyboard", &error, ""))?;
    Ok(read > 0 && !line.trim().eq_ignore_ascii_case("q"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(text: &str, seen: Option<&str>) -> String {
        strip_str(&marked(text, seen)).to_string()
    }

    #[test]
    fn only_lines_that_say_something_new_are_marked() {
        let (seen, now) = ("alpha ready\nbravo ready\n", "alpha ready\n\nbravo   joining\n");
        assert_eq!(plain(now, Some(seen)), "  alpha ready\n\n* bravo   joining\n");
    }

    #[test]
    fn that_time_went_by_is_nothing_new() {
        assert_eq!(plain("up 3m 1s  ok\n", Some("up 59s ok\n")), "  up 3m 1s  ok\n");
        assert_eq!(plain("mounts 3\n", Some("mounts 2\n")), "* mounts 3\n");
    }

    #[test]
    fn the_first_look_marks_nothing() {
        assert_eq!(plain("alpha ready\n", None), "  alpha ready\n");
    }
}
