//! Runs one command to its end or to its time limit, its output in a file.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::Error;

/// How long a command may clean up (a lab is taken down) once it was told to end.
const GRACE: Duration = Duration::from_secs(20);
/// How often the end of a command is looked for.
const POLL: Duration = Duration::from_millis(20);

/// How a command ended, the worst last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum End {
    Success,
    Failure,
    OverTime,
}

/// Runs `command` with both output streams added to the file `log`. It is never left running.
pub(crate) fn to_file(mut command: Command, log: &Path, limit: Duration) -> Result<End, Error> {
    let program = command.get_program().to_string_lossy().into_owned();
    let file = File::options().create(true).append(true).open(log).map_err(|source| Error::File {
        doing: "opening",
        path: log.into(),
        source,
    })?;
    let also = file.try_clone().map_err(|source| Error::File { doing: "opening", path: log.into(), source })?;
    command.stdin(Stdio::null()).stdout(file).stderr(also);
    let mut child = command.spawn().map_err(|source| Error::Start { program: program.clone(), source })?;
    wait(&mut child, limit).map_err(|source| Error::Wait { program, source })
}

/// What it printed; the error has everything that a failed command said.
pub(crate) fn said_by(mut command: Command) -> Result<String, Error> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.output().map_err(|source| Error::Start { program: program.clone(), source })?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).trim().to_owned()).join("\n");
    Err(Error::Failed { program, said })
}

/// Makes `log` an empty file.
pub(crate) fn clear(log: &Path) -> Result<(), Error> {
    let created = File::create(log).map(drop);
    created.map_err(|source| Error::File { doing: "creating", path: log.into(), source })
}

fn wait(child: &mut Child, limit: Duration) -> std::io::Result<End> {
    if let Some(end) = ended_within(child, limit)? {
        return Ok(end);
    }
    let mut tree = family(child.id());
    signal(&tree, Signal::SIGTERM);
    if !gone_within(&tree, GRACE) {
        tree.extend(family(child.id()));
        signal(&tree, Signal::SIGKILL);
        gone_within(&tree, GRACE);
    }
    child.wait()?;
    Ok(End::OverTime)
}

fn ended_within(child: &mut Child, limit: Duration) -> std::io::Result<Option<End>> {
    let deadline = Instant::now() + limit;
    loop {
        match child.try_wait()? {
            Some(status) if status.success() => return Ok(Some(End::Success)),
            Some(_) => return Ok(Some(End::Failure)),
            None if Instant::now() >= deadline => return Ok(None),
            None => std::thread::sleep(POLL),
        }
    }
}

/// One process of a family: its start time tells it from a later one with the same pid.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Process {
    pid: u32,
    started: String,
}

/// The process and everything below it, as /proc shows it. All of it shares the terminal's process group, so
/// that Ctrl-C reaches every level; a group of its own would not.
fn family(top: u32) -> Vec<Process> {
    let mut found = Vec::new();
    let mut pending = vec![top];
    while let Some(pid) = pending.pop() {
        let Some(mut fields) = fields(pid) else { continue };
        found.push(Process { pid, started: fields.swap_remove(START_TIME) });
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
        pending.extend(children.split_whitespace().filter_map(|word| word.parse::<u32>().ok()));
    }
    found
}

impl Process {
    /// A zombie runs no more: whoever started it has yet to ask how it ended.
    fn is_gone(&self) -> bool {
        fields(self.pid).is_none_or(|fields| fields[START_TIME] != self.started || fields[STATE] == "Z")
    }
}

fn gone_within(processes: &[Process], limit: Duration) -> bool {
    let deadline = Instant::now() + limit;
    while !processes.iter().all(Process::is_gone) {
        if Instant::now() >= deadline {
            return false;
        }
        std::thread::sleep(POLL);
    }
    true
}

/// Where they are in what [`fields`] gives; fields 3 and 22 in proc(5).
const STATE: usize = 0;
const START_TIME: usize = 19;

/// /proc/PID/stat from its third field on; the name in field 2 may hold blanks and ends at the last bracket.
fn fields(pid: u32) -> Option<Vec<String>> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = stat.rsplit_once(')')?;
    let fields: Vec<String> = rest.split_whitespace().map(str::to_owned).collect();
    (fields.len() > START_TIME).then_some(fields)
}

fn signal(processes: &[Process], signal: Signal) {
    for process in processes.iter().filter(|process| !process.is_gone()) {
        let pid = Pid::from_raw(process.pid.try_into().expect("a pid fits into i32"));
        // Gone in between is what is wanted.
        let _ = kill(pid, signal);
    }
}

/// How cargo's lines about its own progress begin. Where only the first lines of a report are kept, they would be all.
const PROGRESS: [&str; 5] = ["   Compiling ", "    Checking ", "  Downloaded ", " Documenting ", " Downloading "];

/// The last `lines` lines of a text that tell something, for the eyes of whoever has to mend it.
pub(crate) fn tail(text: &str, lines: usize) -> String {
    let is_progress = |line: &&str| PROGRESS.iter().any(|begin| line.starts_with(begin));
    let all: Vec<&str> = text.lines().filter(|line| !is_progress(line)).collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}

/// The whole log as text; empty when it cannot be read.
pub(crate) fn text(log: &Path) -> String {
    fs::read(log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
}

/// Makes the folder for the logs of one run.
pub(crate) fn log_folder(target_dir: &Path) -> Result<PathBuf, Error> {
    let path = target_dir.join("suites");
    fs::create_dir_all(&path).map_err(|source| Error::File { doing: "creating", path: path.clone(), source })?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn output_of_both_streams_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        let end = to_file(shell("echo one; echo two >&2; exit 3"), &log, Duration::from_secs(10)).unwrap();
        assert_eq!((end, tail(&text(&log), 9).as_str()), (End::Failure, "one\ntwo"));
    }

    #[test]
    fn a_command_over_its_limit_is_ended_with_its_grandchildren() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        let end = to_file(shell("sh -c 'echo $$; exec sleep 600' & wait"), &log, Duration::from_millis(300)).unwrap();
        let grandchild: u32 = text(&log).trim().parse().unwrap();
        assert_eq!(end, End::OverTime);
        assert!(fields(grandchild).is_none_or(|fields| fields[STATE] == "Z"), "{grandchild} is still there");
    }

    #[test]
    fn tail_gives_the_last_lines_only() {
        assert_eq!(tail("a\nb\nc\n", 2), "b\nc");
    }

    #[test]
    fn tail_is_not_of_cargos_progress() {
        assert_eq!(tail("error: no space\n   Compiling a v1.0.0\n Documenting b v1.0.0\n", 1), "error: no space");
    }
}
