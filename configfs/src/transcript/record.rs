//! Outcomes as JSON lines, and the comparison of two lists of them.

use std::fmt;
use std::io;

use serde::{Deserialize, Serialize};
use serde_json::ser::Formatter;

use super::script::Problem;
use crate::calls::Stat;

/// One operation and what came out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Operation and arguments as the script has them.
    pub op: Vec<String>,
    /// `"ok": VALUE` or `"errno": "NAME"`.
    #[serde(flatten)]
    pub outcome: Outcome,
}

/// What came out of one operation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// It worked.
    #[serde(rename = "ok")]
    Ok(Value),
    /// It was refused: the errno's name.
    #[serde(rename = "errno")]
    Errno(String),
}

/// What an operation returns.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Value {
    /// Nothing.
    Nothing,
    /// Bytes written, or an exit status.
    Number(i64),
    /// Text read.
    Text(String),
    /// Names, or one value for each part.
    List(Vec<Value>),
    /// What lstat(2) said.
    Stat(Stat),
}

impl fmt::Display for Entry {
    /// The recorded form, byte for byte.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = Vec::new();
        let mut json = serde_json::Serializer::with_formatter(&mut bytes, Spaced);
        self.serialize(&mut json).map_err(|_| fmt::Error)?;
        f.write_str(&String::from_utf8_lossy(&bytes))
    }
}

/// A blank after comma and colon, ASCII only.
struct Spaced;

impl Formatter for Spaced {
    fn begin_array_value<W: ?Sized + io::Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        if first { Ok(()) } else { writer.write_all(b", ") }
    }

    fn begin_object_key<W: ?Sized + io::Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        if first { Ok(()) } else { writer.write_all(b", ") }
    }

    fn begin_object_value<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        writer.write_all(b": ")
    }

    fn write_string_fragment<W: ?Sized + io::Write>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        for c in fragment.chars() {
            if c.is_ascii() {
                write!(writer, "{c}")?;
                continue;
            }
            for unit in c.encode_utf16(&mut [0; 2]) {
                write!(writer, "\\u{unit:04x}")?;
            }
        }
        Ok(())
    }
}

/// Reads a recording.
pub fn parse_recording(text: &str) -> Result<Vec<Entry>, Problem> {
    let entry = |(index, line): (usize, &str)| {
        serde_json::from_str(line).map_err(|error| Problem { line: index + 1, reason: error.to_string() })
    };
    text.lines().enumerate().map(entry).collect()
}

/// One line that came out otherwise than recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The line of the recording, from 1.
    pub line: usize,
    /// What was recorded; `None` if the script is longer.
    pub recorded: Option<Entry>,
    /// What came out; `None` if the script is shorter.
    pub got: Option<Entry>,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "line {}", self.line)?;
        for (sign, entry) in [('-', &self.recorded), ('+', &self.got)] {
            match entry {
                Some(entry) => writeln!(f, "{sign} {entry}")?,
                None => writeln!(f, "{sign} nothing")?,
            }
        }
        Ok(())
    }
}

/// Every line that differs; empty means that both are the same, down to the last line.
pub fn compare(recorded: &[Entry], got: &[Entry]) -> Vec<Difference> {
    (0..recorded.len().max(got.len()))
        .filter(|index| recorded.get(*index) != got.get(*index))
        .map(|index| Difference {
            line: index + 1,
            recorded: recorded.get(index).cloned(),
            got: got.get(index).cloned(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINES: &str = concat!(
        r#"{"op": ["mkdir", "cluster/o2/node/n\u00e4me"], "ok": null}"#,
        "\n",
        r#"{"op": ["writes", "a", "2", "3000\\n"], "ok": ["EINVAL", 5]}"#,
        "\n",
        r#"{"op": ["stat", "."], "ok": {"mode": "0o40755", "size": 0, "nlink": 5, "uid": 0}}"#,
        "\n",
        r#"{"op": ["rmdir", "x"], "errno": "ENOENT"}"#,
        "\n",
    );

    #[test]
    fn a_recorded_line_is_read_and_written_byte_for_byte() {
        let entries = parse_recording(LINES).unwrap();
        let written: String = entries.iter().map(|entry| format!("{entry}\n")).collect();
        assert_eq!(written, LINES);
        assert_eq!(entries[0].outcome, Outcome::Ok(Value::Nothing));
    }

    #[test]
    fn a_missing_line_is_a_difference() {
        let entries = parse_recording(LINES).unwrap();
        let differences = compare(&entries, &entries[..3]);
        assert_eq!(differences.len(), 1);
        assert_eq!(
            differences[0].to_string(),
            "line 4\n- {\"op\": [\"rmdir\", \"x\"], \"errno\": \"ENOENT\"}\n+ nothing\n"
        );
    }
}
