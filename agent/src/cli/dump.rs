//! `o2cpg dump`: the flight recorder into a file or a pipe.

use std::fs::File;
use std::io::Write;

use proto::control::{Ask, api};

use super::exit::{Exit, Failure};
use super::text::counted;
use super::{DUMP_TIMEOUT, Session};

/// Words that -o takes for other commands. A file of that name: `-o ./json`.
const FORMS: [&str; 3] = ["text", "json", "jsonl"];

impl Session {
    pub(super) fn dump(&self, output: Option<String>) -> Result<Exit, Failure> {
        let mut client = self.connect(self.within(DUMP_TIMEOUT))?;
        client.send(Ask::Dump)?;
        // The first part is awaited before the file is made: a refusal leaves no empty file.
        let mut part: Option<api::DumpPart> = client.answer()?;
        let path = output.filter(|output| !FORMS.contains(&output.as_str()));
        let mut file = path.as_ref().map(|path| File::create(path).map_err(|e| unwritable(path, &e))).transpose()?;
        let (mut lines, mut bytes) = (0, 0);
        while let Some(api::DumpPart { data, last }) = part {
            lines += data.iter().filter(|byte| **byte == b'\n').count();
            bytes += data.len();
            match (&mut file, &path) {
                (Some(file), Some(path)) => file.write_all(&data).map_err(|error| unwritable(path, &error))?,
                _ => self.output.raw(&data)?,
            }
            if last {
                if let Some(path) = path {
                    self.output.note(&format!("{}, {} KiB in {path}\n", counted(lines, "line"), bytes / 1024));
                }
                return Ok(Exit::Ok);
            }
            part = client.answer()?;
        }
        Err(client.closed())
    }
}

fn unwritable(path: &str, error: &std::io::Error) -> Failure {
    Failure::of(format!("writing the dump to {path}"), error, "choose another file: o2cpg dump -o FILE")
}
