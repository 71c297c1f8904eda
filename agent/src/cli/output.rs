//! Where the command's words go. The only place that writes to standard output and standard error.

use std::io::{self, IsTerminal, Write};

use anstream::{AutoStream, ColorChoice, StripStream};
use serde::Serialize;

use super::args::{Color, Global};
use super::exit::{Exit, Failure};
use super::text::{BAD, HEAD, WIDTH, WIDTH_MAX, WIDTH_MIN, labelled};

/// Form of the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// For people.
    Text,
    /// One indented document.
    Json,
    /// One line for each document.
    Jsonl,
}

/// Standard output and error, and how they are wanted.
#[derive(Clone, Debug)]
pub struct Output {
    /// Form of the answer.
    pub format: Format,
    /// Columns of the screen.
    pub width: usize,
    quiet: bool,
    color: ColorChoice,
}

/// A structure without a schema of its own, with one in front.
#[derive(Serialize)]
struct Tagged<'a, T> {
    schema: &'static str,
    #[serde(flatten)]
    body: &'a T,
}

impl Output {
    /// As the command line has it.
    #[must_use]
    pub fn new(global: &Global) -> Output {
        let format = match global.output.as_deref() {
            Some("json") => Format::Json,
            Some("jsonl") => Format::Jsonl,
            _ => Format::Text,
        };
        let color = match global.color {
            Color::Auto => ColorChoice::Auto,
            Color::Always => ColorChoice::Always,
            Color::Never => ColorChoice::Never,
        };
        Output { format, width: width(), quiet: global.quiet, color }
    }

    /// An answer that carries its schema: `text` builds the lines for people.
    ///
    /// # Errors
    /// Standard output cannot be written.
    pub fn answer<T: Serialize>(&self, value: &T, text: impl FnOnce(usize) -> String) -> Result<(), Failure> {
        match self.format {
            Format::Text => self.text(&text(self.width)),
            Format::Json | Format::Jsonl => self.document(value, self.format),
        }
    }

    /// An answer without a schema of its own.
    ///
    /// # Errors
    /// As [`Output::answer`].
    pub fn tagged<T: Serialize>(
        &self,
        schema: &'static str,
        body: &T,
        text: impl FnOnce(usize) -> String,
    ) -> Result<(), Failure> {
        self.answer(&Tagged { schema, body }, text)
    }

    /// One line of a stream of documents.
    ///
    /// # Errors
    /// As [`Output::answer`].
    pub fn document_line<T: Serialize>(&self, value: &T) -> Result<(), Failure> {
        self.document(value, Format::Jsonl)
    }

    fn document<T: Serialize>(&self, value: &T, form: Format) -> Result<(), Failure> {
        self.text(&rendered(value, form)?)
    }

    /// Text to standard output, unless it is to be quiet.
    ///
    /// # Errors
    /// As [`Output::answer`].
    pub fn text(&self, text: &str) -> Result<(), Failure> {
        if self.quiet {
            return Ok(());
        }
        let mut stdout = io::stdout().lock();
        let written = match self.color_of(&stdout) {
            ColorChoice::Never => StripStream::new(&mut stdout).write_all(text.as_bytes()),
            _ => stdout.write_all(text.as_bytes()),
        };
        written.and_then(|()| stdout.flush()).map_err(|error| Failure::of_output(&error))
    }

    /// As [`Output::text`], for what is neither coloured nor need be UTF-8: every byte counts, control characters too.
    ///
    /// # Errors
    /// As [`Output::answer`].
    pub fn text_bytes(&self, text: &[u8]) -> Result<(), Failure> {
        if self.quiet { Ok(()) } else { self.raw(text) }
    }

    /// Bytes to standard output as they are: a file that was asked for is no chatter, so even when it is to be quiet.
    ///
    /// # Errors
    /// As [`Output::answer`].
    pub fn raw(&self, bytes: &[u8]) -> Result<(), Failure> {
        let mut stdout = io::stdout().lock();
        stdout.write_all(bytes).and_then(|()| stdout.flush()).map_err(|error| Failure::of_output(&error))
    }

    /// A remark for people, unless it is to be quiet.
    pub fn note(&self, text: &str) {
        if !self.quiet {
            self.prompt(text);
        }
    }

    /// Text to standard error, always.
    pub fn prompt(&self, text: &str) {
        let mut stderr = io::stderr().lock();
        // Where this fails, nobody is left to tell.
        let _ = match self.color_of(&stderr) {
            ColorChoice::Never => StripStream::new(&mut stderr).write_all(text.as_bytes()),
            _ => stderr.write_all(text.as_bytes()),
        };
    }

    /// Tells why it did not work: to standard error for people, and as a document for those who read documents.
    pub fn failure(&self, failure: &Failure) {
        if failure.exit == Exit::Ok {
            return;
        }
        if self.format != Format::Text {
            // If this cannot be written either, the exit code is what is left.
            let _ = rendered(&refusal(failure), self.format).and_then(|document| self.raw(document.as_bytes()));
        }
        // Who reads it from a log searches for whole sentences.
        let width = if io::stderr().is_terminal() { self.width } else { usize::MAX };
        self.prompt(&told(failure, width));
    }

    /// A failure as one document of a stream that goes on.
    ///
    /// # Errors
    /// As [`Output::answer`].
    pub fn failure_line(&self, failure: &Failure) -> Result<(), Failure> {
        self.document_line(&refusal(failure))
    }

    fn color_of(&self, stream: &impl anstream::stream::RawStream) -> ColorChoice {
        if self.color == ColorChoice::Auto { AutoStream::choice(stream) } else { self.color }
    }

    /// Whether a person looks at it.
    #[must_use]
    pub fn is_terminal(&self) -> bool {
        io::stdout().is_terminal()
    }
}

fn refusal(failure: &Failure) -> Tagged<'_, Failure> {
    Tagged { schema: "o2cpg.refusal/1", body: failure }
}

fn rendered<T: Serialize>(value: &T, form: Format) -> Result<String, Failure> {
    let document = match form {
        Format::Json => serde_json::to_string_pretty(value),
        Format::Text | Format::Jsonl => serde_json::to_string(value),
    };
    document.map(|document| document + "\n").map_err(|error| Failure::of("writing the answer as JSON", &error, ""))
}

/// What, cause, fix.
#[must_use]
pub fn told(failure: &Failure, width: usize) -> String {
    let mut text = String::new();
    labelled(&mut text, 0, "o2cpg: ", BAD, &failure.what, width);
    labelled(&mut text, 2, "cause  ", HEAD, &failure.cause, width);
    labelled(&mut text, 2, "fix    ", HEAD, &failure.fix, width);
    text
}

fn width() -> usize {
    let set = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
    let seen = || terminal_size::terminal_size_of(io::stdout()).map(|(width, _)| usize::from(width.0));
    set.or_else(seen).unwrap_or(WIDTH).clamp(WIDTH_MIN, WIDTH_MAX)
}
