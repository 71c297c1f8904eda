//! `groupctl`: be a libgroup program by hand. Commands come from the command line or from standard input, one a line;
//! everything groupd says is printed as it comes.

use std::collections::{BTreeMap, VecDeque};
use std::io::{self, IsTerminal, Read};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use groupd_compat::ids::EventNr;
use groupd_compat::names::{ClientKind, GroupKey, GroupName, Level};
use groupd_compat::verbs::{Callback, Request, StartKind};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use serde::Serialize;

use super::args::Groupctl;
use super::exit::{Exit, Failure, judged};
use super::legacy::Legacy;
use super::output::Format;
use super::text::escaped;
use super::{Session, WAIT_TIMEOUT};

const HELP: &str = "\
join NAME           join a group
leave NAME          leave it
stopped NAME        answer a stop
started NAME        answer the last start
send NAME TEXT      multicast to the group
auto on|off         answer stops and starts at once (off)
wait WORD [NAME]    until this is said, or was since the last wait: setid, start, finish, stop, deliver, terminate
quit                leave all groups, wait until they are left, and end
";
const PROMPT: &str = "groupctl> ";
/// Bytes of one command.
const LINE_LEN_MAX: usize = 4096;
/// What groupd has said and nobody has waited for; the oldest is forgotten.
const UNWAITED_MAX: usize = 1024;

/// One command.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Word {
    Join(GroupName),
    Leave(GroupName),
    Stopped(GroupName),
    Started(GroupName),
    Send(GroupName, Vec<u8>),
    Auto(bool),
    Wait(String, Option<GroupName>),
    Help,
    Quit,
}

/// A callback in JSON.
#[derive(Serialize)]
#[serde(rename_all = "snake_case", tag = "say")]
enum Told {
    Stop { name: String },
    Setid { name: String, id: u32 },
    Start { name: String, nr: u32, why: &'static str, members: Vec<u32> },
    Finish { name: String, nr: u32 },
    Terminate { name: String },
    Deliver { name: String, from: u32, data: String },
}

/// What there is to do next.
enum Next {
    Line(String),
    Said,
    End,
}

struct Control<'a> {
    session: &'a Session,
    legacy: Legacy,
    groupd_socket: &'a str,
    level: Level,
    /// Groups joined and not terminated, with the number of the last start.
    joined: BTreeMap<GroupName, Option<EventNr>>,
    /// What has been said since the last word that was waited for: groupd says several in one breath.
    unwaited: VecDeque<Callback>,
    auto: bool,
    within: Duration,
    /// Of standard input: what has been read and is no whole line yet.
    input: Vec<u8>,
    is_terminal: bool,
    /// The first failure to print what groupd says. Nothing is printed after it, but what groupd says counts.
    printed: Result<(), Failure>,
}

impl Session {
    pub(super) fn groupctl(&self, asked: &Groupctl) -> Result<Exit, Failure> {
        if asked.commands == ["help"] {
            return self.output.text(HELP).map(|()| Exit::Ok);
        }
        // All of it before anything is joined.
        let level = Level::try_from(i64::from(asked.level)).map_err(|error| usage(&error.to_string()))?;
        let words: Vec<Word> =
            asked.commands.iter().filter_map(|line| parsed(line).transpose()).collect::<Result<_, _>>()?;
        let within = self.within(WAIT_TIMEOUT);
        let mut legacy = Legacy::connect(&asked.groupd_socket, within)?;
        legacy.send(&Request::Setup { kind: ClientKind::new(asked.r#type.as_bytes()), level })?;
        let mut control = Control {
            session: self,
            legacy,
            groupd_socket: &asked.groupd_socket,
            level,
            joined: BTreeMap::new(),
            unwaited: VecDeque::new(),
            auto: asked.auto,
            within,
            input: Vec::new(),
            is_terminal: asked.commands.is_empty() && io::stdin().is_terminal(),
            printed: Ok(()),
        };
        let done = if asked.commands.is_empty() { control.converse() } else { control.carry_out(words) };
        // However it has ended: a connection that ends with groups on it is a client that died.
        let left = control.leave_all();
        judged(done, ()).and(left).and(control.printed).map(|()| Exit::Ok)
    }
}

impl Control<'_> {
    fn carry_out(&mut self, words: Vec<Word>) -> Result<(), Failure> {
        for word in words {
            if word == Word::Quit {
                return Ok(());
            }
            self.obey(word)?;
        }
        Ok(())
    }

    /// A mistake of a person at the keyboard is said and forgiven; one in a script ends it.
    fn converse(&mut self) -> Result<(), Failure> {
        self.prompt();
        loop {
            self.printed.clone()?;
            match self.next()? {
                Next::Said => {}
                Next::End => return Ok(()),
                Next::Line(line) => {
                    let done = parsed(&line).and_then(|word| match word {
                        Some(Word::Quit) => Ok(true),
                        Some(word) => self.obey(word).map(|()| false),
                        None => Ok(false),
                    });
                    match done {
                        Ok(true) => return Ok(()),
                        Err(failure) if self.is_terminal && failure.exit != Exit::NotPermitted => {
                            self.session.output.failure(&failure);
                        }
                        done => _ = done?,
                    }
                    self.prompt();
                }
            }
        }
    }

    fn prompt(&self) {
        if self.is_terminal {
            self.session.output.note(PROMPT);
        }
    }

    fn obey(&mut self, word: Word) -> Result<(), Failure> {
        match word {
            Word::Join(name) => self.join(name),
            Word::Leave(name) => self.legacy.send(&Request::Leave { name }),
            Word::Stopped(name) => self.legacy.send(&Request::StopDone { name }),
            Word::Started(name) => match self.joined.get(&name).copied().flatten() {
                Some(nr) => self.legacy.send(&Request::StartDone { name, nr }),
                None => Err(usage(&format!("{name} was not told to start"))),
            },
            Word::Send(name, data) => self.legacy.send(&Request::Send { name, data }),
            Word::Auto(auto) => {
                self.auto = auto;
                Ok(())
            }
            Word::Wait(said, name) => self.wait(&said, name.as_ref()),
            Word::Help => self.session.output.text(HELP),
            Word::Quit => Ok(()),
        }
    }

    /// groupd says nothing to a join that it ignores, and would take a leave for the group of the client that has it.
    fn join(&mut self, name: GroupName) -> Result<(), Failure> {
        if self.joined.contains_key(&name) {
            return Err(usage(&format!("{name} is joined already, or not left yet")));
        }
        let key = GroupKey { level: self.level, name: name.clone() };
        if Legacy::connect(self.groupd_socket, self.within)?.group(key)?.is_some() {
            let what = format!("{name} of level {} cannot be joined", i64::from(self.level));
            let cause = "another client of this node has it, or one that died has left it behind";
            let fix = "o2cpg groups --legacy shows it; choose another name, or another --level";
            return Err(Failure::new(Exit::Refused, what, cause, fix));
        }
        self.joined.insert(name.clone(), None);
        self.legacy.send(&Request::Join { name })
    }

    /// Until groupd says this word, of this group or of any.
    fn wait(&mut self, said: &str, name: Option<&GroupName>) -> Result<(), Failure> {
        let until = Instant::now() + self.within;
        loop {
            while let Some(callback) = self.unwaited.pop_front() {
                if word_of(&callback) == said && name.is_none_or(|name| callback.name() == name) {
                    return Ok(());
                }
            }
            self.hear(until)?;
            self.printed.clone()?;
        }
    }

    /// The end of this connection would count as the death of a client: its groups are left first.
    fn leave_all(&mut self) -> Result<(), Failure> {
        self.auto = true;
        self.unwaited.clear();
        let until = Instant::now() + self.within;
        let names: Vec<GroupName> = self.joined.keys().cloned().collect();
        for name in names {
            // Whatever is owed is answered; what is not owed is ignored by groupd.
            self.legacy.send(&Request::StopDone { name: name.clone() })?;
            if let Some(nr) = self.joined.get(&name).copied().flatten() {
                self.legacy.send(&Request::StartDone { name: name.clone(), nr })?;
            }
            self.legacy.send(&Request::Leave { name })?;
        }
        while !self.joined.is_empty() {
            self.hear(until)?;
            for callback in std::mem::take(&mut self.unwaited) {
                // A leave is refused while the own join goes on.
                if let Callback::Finish { name, .. } = callback {
                    self.legacy.send(&Request::Leave { name })?;
                }
            }
        }
        Ok(())
    }

    /// Waits for groupd, prints what it says, and answers if that is wanted.
    fn hear(&mut self, until: Instant) -> Result<(), Failure> {
        // Other words, however many, do not prolong it.
        if Instant::now() < until && self.ready(Some(until), false)?.0 {
            return self.take();
        }
        let what = "groupd has not said it in time";
        Err(Failure::new(Exit::TimedOut, what, "another member has not answered", "o2cpg groups --legacy"))
    }

    fn take(&mut self) -> Result<(), Failure> {
        for callback in self.legacy.callbacks()? {
            if self.printed.is_ok() {
                self.printed = self.print(&callback);
            }
            self.note(&callback)?;
            if self.unwaited.len() == UNWAITED_MAX {
                self.unwaited.pop_front();
            }
            self.unwaited.push_back(callback);
        }
        Ok(())
    }

    fn note(&mut self, callback: &Callback) -> Result<(), Failure> {
        match callback {
            Callback::Start { name, nr, .. } => {
                self.joined.insert(name.clone(), Some(*nr));
                if self.auto {
                    self.legacy.send(&Request::StartDone { name: name.clone(), nr: *nr })?;
                }
            }
            Callback::Stop { name } if self.auto => self.legacy.send(&Request::StopDone { name: name.clone() })?,
            Callback::Terminate { name } => _ = self.joined.remove(name),
            Callback::Stop { .. } | Callback::SetId { .. } | Callback::Finish { .. } | Callback::Deliver { .. } => {}
        }
        Ok(())
    }

    fn print(&self, callback: &Callback) -> Result<(), Failure> {
        match self.session.output.format {
            Format::Text => self.session.output.text(&(line_of(callback) + "\n")),
            Format::Json | Format::Jsonl => self.session.output.document_line(&Told::from(callback)),
        }
    }

    /// The next line of standard input, or that groupd has said something.
    fn next(&mut self) -> Result<Next, Failure> {
        if let Some(line) = self.whole_line() {
            return Ok(Next::Line(line));
        }
        let (said, typed) = self.ready(None, true)?;
        if said {
            self.take()?;
        }
        if !typed {
            return Ok(Next::Said);
        }
        let mut chunk = [0; LINE_LEN_MAX];
        let read = io::stdin().lock().read(&mut chunk).map_err(|error| Failure::of("reading commands", &error, ""))?;
        self.input.extend_from_slice(&chunk[..read]);
        if self.input.len() > 2 * LINE_LEN_MAX {
            return Err(usage("a command of more than 4096 bytes"));
        }
        match (self.whole_line(), read) {
            (Some(line), _) => Ok(Next::Line(line)),
            (None, 0) => Ok(Next::End),
            (None, _) => Ok(Next::Said),
        }
    }

    fn whole_line(&mut self) -> Option<String> {
        let end = self.input.iter().position(|byte| *byte == b'\n')?;
        let line: Vec<u8> = self.input.drain(..=end).collect();
        Some(String::from_utf8_lossy(&line).into_owned())
    }

    /// Waits until groupd or standard input can be read, or the deadline: (groupd, input).
    fn ready(&self, until: Option<Instant>, with_input: bool) -> Result<(bool, bool), Failure> {
        let stdin = io::stdin();
        let mut ready = vec![PollFd::new(self.legacy.as_fd(), PollFlags::POLLIN)];
        if with_input {
            ready.push(PollFd::new(stdin.as_fd(), PollFlags::POLLIN));
        }
        let left = until.map_or(PollTimeout::NONE, |until| {
            PollTimeout::try_from(until.saturating_duration_since(Instant::now())).unwrap_or(PollTimeout::MAX)
        });
        poll(&mut ready, left).map_err(|errno| Failure::of("waiting for groupd", &io::Error::from(errno), ""))?;
        let is_ready = |at: usize| ready.get(at).is_some_and(|fd| fd.any().unwrap_or(false));
        Ok((is_ready(0), is_ready(1)))
    }
}

fn usage(what: &str) -> Failure {
    Failure::usage(what, "o2cpg groupctl help shows the commands")
}

fn parsed(line: &str) -> Result<Option<Word>, Failure> {
    parse(line).map_err(|what| usage(&what))
}

/// One line; `None` for an empty one or a remark.
fn parse(line: &str) -> Result<Option<Word>, String> {
    let line = line.trim_end_matches(['\n', '\r']).trim_start();
    if line.is_empty() || line.starts_with('#') {
        return Ok(None);
    }
    let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
    let name = |text: &str| GroupName::new(text.trim().as_bytes()).map_err(|error| format!("{line:?}: {error}"));
    Ok(Some(match word {
        "join" => Word::Join(name(rest)?),
        "leave" => Word::Leave(name(rest)?),
        "stopped" => Word::Stopped(name(rest)?),
        "started" => Word::Started(name(rest)?),
        "send" => {
            let (group, text) = rest.split_once(' ').unwrap_or((rest, ""));
            Word::Send(name(group)?, text.as_bytes().to_vec())
        }
        "auto" => match rest.trim() {
            "on" => Word::Auto(true),
            "off" => Word::Auto(false),
            _ => return Err(format!("{line:?}: on or off")),
        },
        "wait" => {
            let (said, group) = rest.split_once(' ').unwrap_or((rest, ""));
            if !WORDS.contains(&said) {
                return Err(format!("{line:?}: one of {}", WORDS.join(", ")));
            }
            Word::Wait(said.into(), if group.is_empty() { None } else { Some(name(group)?) })
        }
        "help" => Word::Help,
        "quit" => Word::Quit,
        _ => return Err(format!("no command {word:?}")),
    }))
}

const WORDS: [&str; 6] = ["stop", "setid", "start", "finish", "terminate", "deliver"];

fn word_of(callback: &Callback) -> &'static str {
    match callback {
        Callback::Stop { .. } => WORDS[0],
        Callback::SetId { .. } => WORDS[1],
        Callback::Start { .. } => WORDS[2],
        Callback::Finish { .. } => WORDS[3],
        Callback::Terminate { .. } => WORDS[4],
        Callback::Deliver { .. } => WORDS[5],
    }
}

fn why(kind: StartKind) -> &'static str {
    match kind {
        StartKind::Failed => "failed",
        StartKind::Joined => "joined",
        StartKind::Left => "left",
    }
}

fn line_of(callback: &Callback) -> String {
    let (word, name) = (word_of(callback), callback.name());
    match callback {
        Callback::Stop { .. } | Callback::Terminate { .. } => format!("{word} {name}"),
        Callback::SetId { id, .. } => format!("{word} {name} {:08x}", id.0),
        Callback::Start { nr, kind, members, .. } => {
            let members: Vec<String> = members.iter().map(ToString::to_string).collect();
            format!("{word} {name} nr {nr} {} members {}", why(*kind), members.join(" "))
        }
        Callback::Finish { nr, .. } => format!("{word} {name} nr {nr}"),
        Callback::Deliver { from, data, .. } => {
            format!("{word} {name} from {from}: {}", escaped(&String::from_utf8_lossy(data)))
        }
    }
}

impl From<&Callback> for Told {
    fn from(callback: &Callback) -> Self {
        let name = callback.name().to_string();
        match callback {
            Callback::Stop { .. } => Told::Stop { name },
            Callback::SetId { id, .. } => Told::Setid { name, id: id.0 },
            Callback::Start { nr, kind, members, .. } => {
                let members = members.iter().map(|node| node.0).collect();
                Told::Start { name, nr: nr.0, why: why(*kind), members }
            }
            Callback::Finish { nr, .. } => Told::Finish { name, nr: nr.0 },
            Callback::Terminate { .. } => Told::Terminate { name },
            Callback::Deliver { from, data, .. } => {
                Told::Deliver { name, from: from.0, data: data.escape_ascii().to_string() }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> GroupName {
        GroupName::new(text.as_bytes()).unwrap()
    }

    #[test]
    fn each_command_is_one_line() {
        let parsed = |line| parse(line).unwrap();
        assert_eq!(parsed("join a\n"), Some(Word::Join(name("a"))));
        assert_eq!(parsed("send a two words "), Some(Word::Send(name("a"), b"two words ".to_vec())));
        assert_eq!(parsed("wait finish"), Some(Word::Wait("finish".into(), None)));
        assert_eq!(parsed("wait finish a"), Some(Word::Wait("finish".into(), Some(name("a")))));
        assert_eq!(parsed("auto on"), Some(Word::Auto(true)));
        assert_eq!((parsed(""), parsed("  # a remark")), (None, None));
    }

    #[test]
    fn what_makes_no_sense_is_named() {
        for bad in ["join", "jion a", "auto perhaps", "wait supper", &format!("join {}", "n".repeat(33))] {
            assert!(parse(bad).is_err(), "{bad}");
        }
        assert_eq!(parse("jion a").unwrap_err(), "no command \"jion\"");
    }

    #[test]
    fn a_start_says_why_and_with_whom() {
        let members = [2, 1].map(groupd_compat::ids::NodeId).to_vec();
        let start = Callback::Start { name: name("a"), nr: EventNr(7), kind: StartKind::Failed, members };
        assert_eq!(line_of(&start), "start a nr 7 failed members 2 1");
    }
}
