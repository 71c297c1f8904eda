//! TOML text → one layer: tables become dots, values become text, each with its line.

use super::{Error, Given, Layer, Origin, keys};
use std::ops::Range;
use std::path::Path;
use toml::de::{DeTable, DeValue};

/// Takes the file apart. Which settings exist and what they may hold is not decided here, except that a table must be
/// the beginning of some setting.
pub(super) fn parse(path: &Path, text: &str) -> Result<Layer, Error> {
    let source = Source { path, text };
    let table = DeTable::parse(text).map_err(|error| Error::Syntax {
        origin: source.origin(error.span().unwrap_or(0..0)),
        what: error.message().to_owned(),
    })?;
    let mut layer = Layer::new();
    source.flatten("", table.get_ref(), &mut layer)?;
    Ok(layer)
}

struct Source<'a> {
    path: &'a Path,
    text: &'a str,
}

impl Source<'_> {
    fn origin(&self, span: Range<usize>) -> Origin {
        let before = self.text.as_bytes().iter().take(span.start);
        Origin::File { path: self.path.into(), line: before.filter(|byte| **byte == b'\n').count() + 1 }
    }

    fn flatten(&self, prefix: &str, table: &DeTable<'_>, layer: &mut Layer) -> Result<(), Error> {
        for (name, value) in table {
            let key = format!("{prefix}{}", name.get_ref());
            let origin = self.origin(name.span());
            match value.get_ref() {
                DeValue::Table(inner) if keys::is_section(&key) => self.flatten(&format!("{key}."), inner, layer)?,
                DeValue::Table(_) => {
                    let suggested = keys::nearest(&key);
                    return Err(Error::Unknown { origin, key, suggested });
                }
                value => layer.push(Given { key, text: text_of(value), origin }),
            }
        }
        Ok(())
    }
}

/// As cmap and the command line would say it. What has no such form fails every rule, with these words.
fn text_of(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => text.to_string(),
        DeValue::Integer(number) => number.to_string(),
        DeValue::Boolean(flag) => flag.to_string(),
        DeValue::Float(number) => number.to_string(),
        DeValue::Datetime(moment) => moment.to_string(),
        DeValue::Array(_) => "a list".into(),
        DeValue::Table(_) => "a table".into(),
    }
}
