//! Plays a script on a file system, call by call.

use std::collections::BTreeMap;

use super::record::{Entry, Outcome, Value};
use super::script::{Problem, Script, Step, unescape};
use crate::calls::{Access, Calls, Fd};
use crate::error::Errno;

/// More than any attribute shows.
const READ_LEN: usize = 65536;
/// Reads of one `reads`: no attribute is longer than a page.
const READS_MAX: usize = 4097;

/// Plays the whole script.
pub fn run(calls: &mut dyn Calls, script: &Script) -> Result<Vec<Entry>, Problem> {
    let mut session = Session::new(calls);
    script.steps.iter().map(|step| session.perform(step)).collect()
}

/// A script being played: the file system and the descriptors it holds.
pub struct Session<'a> {
    calls: &'a mut dyn Calls,
    held: BTreeMap<String, Fd>,
}

/// Why an operation did not come to an outcome of its own.
enum Stop {
    Refused(Errno),
    Nonsense(String),
}

impl From<Errno> for Stop {
    fn from(errno: Errno) -> Self {
        Self::Refused(errno)
    }
}

impl<'a> Session<'a> {
    /// Nothing held yet.
    pub fn new(calls: &'a mut dyn Calls) -> Self {
        Self { calls, held: BTreeMap::new() }
    }

    /// Performs one step. A refusal is an outcome; a step that makes no sense is a [`Problem`].
    pub fn perform(&mut self, step: &Step) -> Result<Entry, Problem> {
        let words: Vec<&str> = step.words.iter().map(String::as_str).collect();
        let outcome = match self.dispatch(&words) {
            Ok(value) => Outcome::Ok(value),
            Err(Stop::Refused(errno)) => Outcome::Errno(errno.name()),
            Err(Stop::Nonsense(reason)) => return Err(Problem { line: step.line, reason }),
        };
        Ok(Entry { op: step.words.clone(), outcome })
    }

    fn dispatch(&mut self, words: &[&str]) -> Result<Value, Stop> {
        match words {
            ["write" | "writes" | "pwrite" | "append" | "trunc" | "fill" | "rdwr" | "read" | "reads", ..] => {
                self.attribute(words)
            }
            ["open" | "close" | "fwrite" | "fread" | "fls", ..] => self.descriptor(words),
            ["sh", command @ ..] => {
                let shell = self.calls.shell(&command.join(" "))?;
                Ok(Value::List(vec![Value::Number(shell.status.into()), Value::Text(shell.output)]))
            }
            ["echo", text @ ..] => Ok(Value::Text(text.join(" "))),
            _ => self.path(words),
        }
    }

    /// Calls on paths.
    fn path(&mut self, words: &[&str]) -> Result<Value, Stop> {
        let calls = &mut *self.calls;
        let done = match words {
            ["mkdir", path] => calls.mkdir(path, 0o755),
            ["mkdir", path, mode] => calls.mkdir(path, octal(mode)?),
            ["rmdir", path] => calls.rmdir(path),
            ["unlink", path] => calls.unlink(path),
            ["symlink", target, path] => calls.symlink(target, path),
            ["rename", from, to] => calls.rename(from, to),
            ["link", from, to] => calls.link(from, to),
            ["create", path] => calls.create(path),
            ["mknod", path] => calls.mknod(path),
            ["chmod", path, mode] => calls.chmod(path, octal(mode)?),
            ["chown", path, uid] => calls.chown(path, number(uid)?),
            ["truncate", path, size] => calls.truncate(path, number(size)?),
            ["utime", path] => calls.touch(path),
            ["chdir", path] => calls.chdir(path),
            ["ls", path] => return Ok(names(calls.list(path)?)),
            ["readlink", path] => return Ok(Value::Text(calls.readlink(path)?)),
            ["stat", path] => return Ok(Value::Stat(calls.lstat(path)?)),
            _ => return Err(Stop::Nonsense(format!("no such operation: {}", words.join(" ")))),
        };
        Ok(done.map(|()| Value::Nothing)?)
    }

    /// Open, read or write, close.
    fn attribute(&mut self, words: &[&str]) -> Result<Value, Stop> {
        match words {
            ["write", path, text] => self.with_open(path, Access::Write, |calls, fd| write(calls, fd, text)),
            ["append", path, text] => self.with_open(path, Access::Append, |calls, fd| write(calls, fd, text)),
            ["trunc", path, text] => self.with_open(path, Access::Truncate, |calls, fd| write(calls, fd, text)),
            ["writes", path, parts @ ..] => self.with_open(path, Access::Write, |calls, fd| {
                Ok(Value::List(parts.iter().map(|text| soft(write(calls, fd, text))).collect()))
            }),
            ["pwrite", path, offset, text] => {
                let offset = number(offset)?;
                self.with_open(path, Access::Write, |calls, fd| calls.pwrite(fd, &unescape(text), offset).map(count))
            }
            ["fill", path, text, size] => {
                let mut bytes = unescape(text);
                bytes.resize(number(size)?, b'x');
                self.with_open(path, Access::Write, |calls, fd| calls.write(fd, &bytes).map(count))
            }
            ["rdwr", path, text] => self.with_open(path, Access::ReadWrite, |calls, fd| {
                Ok(Value::List(vec![soft(write(calls, fd, text)), soft(read(calls, fd, READ_LEN))]))
            }),
            ["read", path] => self.with_open(path, Access::Read, |calls, fd| read(calls, fd, READ_LEN)),
            ["read", path, size] => {
                let size = number(size)?;
                self.with_open(path, Access::Read, |calls, fd| read(calls, fd, size))
            }
            ["reads", path, size] => {
                let size = number(size)?;
                self.with_open(path, Access::Read, |calls, fd| read_to_end(calls, fd, size))
            }
            _ => Err(Stop::Nonsense(format!("wrong number of arguments: {}", words.join(" ")))),
        }
    }

    fn with_open(
        &mut self,
        path: &str,
        access: Access,
        todo: impl FnOnce(&mut dyn Calls, Fd) -> Result<Value, Errno>,
    ) -> Result<Value, Stop> {
        let fd = self.calls.open(path, access)?;
        let value = todo(self.calls, fd);
        self.calls.close(fd)?;
        Ok(value?)
    }

    /// Descriptors kept from one line to a later one.
    fn descriptor(&mut self, words: &[&str]) -> Result<Value, Stop> {
        match words {
            ["open", name, path] => self.hold(name, path, Access::Read),
            ["open", name, path, "r"] => self.hold(name, path, Access::Read),
            ["open", name, path, "w"] => self.hold(name, path, Access::Write),
            ["open", name, path, "rw"] => self.hold(name, path, Access::ReadWrite),
            ["close", name] => {
                let fd = self.fd(name)?;
                self.held.remove(*name);
                Ok(self.calls.close(fd).map(|()| Value::Nothing)?)
            }
            ["fwrite", name, text] => {
                let fd = self.fd(name)?;
                Ok(write(self.calls, fd, text)?)
            }
            ["fread", name] => {
                let fd = self.fd(name)?;
                Ok(read(self.calls, fd, READ_LEN)?)
            }
            ["fls", name] => {
                let fd = self.fd(name)?;
                Ok(names(self.calls.list_open(fd)?))
            }
            _ => Err(Stop::Nonsense(format!("wrong arguments: {}", words.join(" ")))),
        }
    }

    fn hold(&mut self, name: &str, path: &str, access: Access) -> Result<Value, Stop> {
        let fd = self.calls.open(path, access)?;
        self.held.insert(name.to_owned(), fd);
        Ok(Value::Nothing)
    }

    fn fd(&self, name: &str) -> Result<Fd, Stop> {
        self.held.get(name).copied().ok_or_else(|| Stop::Nonsense(format!("{name} is not open")))
    }
}

fn write(calls: &mut dyn Calls, fd: Fd, text: &str) -> Result<Value, Errno> {
    calls.write(fd, &unescape(text)).map(count)
}

fn read(calls: &mut dyn Calls, fd: Fd, len: usize) -> Result<Value, Errno> {
    calls.read(fd, len).map(|bytes| Value::Text(readable(&bytes)))
}

fn read_to_end(calls: &mut dyn Calls, fd: Fd, len: usize) -> Result<Value, Errno> {
    let mut parts = Vec::new();
    for _ in 0..READS_MAX {
        let part = read(calls, fd, len)?;
        let end = part == Value::Text(String::new());
        parts.push(part);
        if end {
            break;
        }
    }
    Ok(Value::List(parts))
}

/// UTF-8; other bytes as `\xNN`.
fn readable(bytes: &[u8]) -> String {
    let mut text = String::new();
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(chunk.invalid().iter().map(|byte| format!("\\x{byte:02x}")));
    }
    text
}

fn count(bytes: usize) -> Value {
    Value::Number(i64::try_from(bytes).unwrap_or(i64::MAX))
}

/// Within one operation of several calls a refusal is a value.
fn soft(result: Result<Value, Errno>) -> Value {
    result.unwrap_or_else(|errno| Value::Text(errno.name()))
}

fn names(names: Vec<String>) -> Value {
    Value::List(names.into_iter().map(Value::Text).collect())
}

fn number<T: std::str::FromStr>(text: &str) -> Result<T, Stop> {
    text.parse().map_err(|_| Stop::Nonsense(format!("{text:?} is no number")))
}

fn octal(text: &str) -> Result<u32, Stop> {
    u32::from_str_radix(text, 8).map_err(|_| Stop::Nonsense(format!("{text:?} is no octal number")))
}
