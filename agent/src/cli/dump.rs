//! `o2cpg dump`: the flight recorder into a file or a pipe.

use std::fs;

use proto::control::{Ask, api};

use super::client::Client;
use super::exit::{Exit, Failure};
use super::text::counted;
use super::{DUMP_TIMEOUT, Session};

/// Longest dump in bytes: twice what a recorder may be set to, for the state that each of its files begins with.
const DUMP_LEN_MAX: usize = 2 << 30;
/// Words that -o takes for other commands. A file of that name: `-o ./json`.
const FORMS: [&str; 3] = ["text", "json", "jsonl"];

impl Session {
    pub(super) fn dump(&self, output: Option<String>) -> Result<Exit, Failure> {
        let mut client = self.connect(self.within(DUMP_TIMEOUT))?;
        client.send(Ask::Dump)?;
        // All of it is taken before any is written: a reader that takes its time (`| less`) would hold up the daemon, which
        // waits for nobody. And a refusal leaves no empty file.
        let bytes = taken(&mut client)?;
        let path = output.filter(|output| !FORMS.contains(&output.as_str()));
        let Some(path) = path else { return self.output.raw(&bytes).map(|()| Exit::Ok) };
        fs::write(&path, &bytes).map_err(|error| unwritable(&path, &error))?;
        let lines = bytes.iter().filter(|byte| **byte == b'\n').count();
        self.output.note(&format!("{}, {} KiB in {path}\n", counted(lines, "line"), bytes.len() / 1024));
        Ok(Exit::Ok)
    }
}

/// All parts; the deadline is of each.
fn taken(client: &mut Client) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    while let Some(api::DumpPart { data, last }) = client.answer()? {
        if bytes.len() + data.len() > DUMP_LEN_MAX {
            let what = format!("the dump is longer than {} KiB", DUMP_LEN_MAX / 1024);
            let cause = "no recorder is of that size: another program listens there";
            return Err(Failure::new(Exit::Failed, what, cause, "check --socket and O2CPG_SOCKET"));
        }
        bytes.extend_from_slice(&data);
        if last {
            return Ok(bytes);
        }
        client.again();
    }
    Err(client.closed())
}

fn unwritable(path: &str, error: &std::io::Error) -> Failure {
    Failure::of(format!("writing the dump to {path}"), error, "choose another file: o2cpg dump -o FILE")
}
