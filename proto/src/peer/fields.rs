//! The few shapes that fields have: required, optional, bounded text, bounded list. Each names the field that fails.

use super::DecodeError;
use crate::error::invalid;

type Result<T> = std::result::Result<T, DecodeError>;

/// Puts `path` in front of the field that an error names.
pub(super) fn within<T>(path: &str, outcome: Result<T>) -> Result<T> {
    outcome.map_err(|error| match error {
        DecodeError::Invalid { field, held, rule } if field.is_empty() || field.starts_with('[') => {
            DecodeError::Invalid { field: format!("{path}{field}"), held, rule }
        }
        DecodeError::Invalid { field, held, rule } => {
            DecodeError::Invalid { field: format!("{path}.{field}"), held, rule }
        }
        other @ (DecodeError::Foreign { .. } | DecodeError::Version { .. } | DecodeError::Malformed { .. }) => other,
    })
}

/// A field that must be there, read by `read`.
pub(super) fn required<W, T>(field: &str, value: Option<W>, read: impl FnOnce(W) -> Result<T>) -> Result<T> {
    match value {
        Some(value) => within(field, read(value)),
        None => Err(invalid(field, "missing", "present")),
    }
}

/// A field that may be missing, read by `read`.
pub(super) fn optional<W, T>(field: &str, value: Option<W>, read: impl FnOnce(W) -> Result<T>) -> Result<Option<T>> {
    value.map(|value| within(field, read(value))).transpose()
}

/// At most `count_max` values, each read by `read`.
pub(super) fn list<W, T>(
    field: &str,
    values: Vec<W>,
    count_max: usize,
    read: impl Fn(W) -> Result<T>,
) -> Result<Vec<T>> {
    if values.len() > count_max {
        return Err(invalid(field, format!("{} long", values.len()), format!("at most {count_max} long")));
    }
    let values = values.into_iter().enumerate();
    let read_one = |(index, value)| read(value).or_else(|error| within(&format!("{field}[{index}]"), Err(error)));
    values.map(read_one).collect()
}

/// Text or bytes of at most `len_max` bytes.
pub(super) fn bounded<T: AsRef<[u8]>>(field: &str, value: T, len_max: usize) -> Result<T> {
    match value.as_ref().len() {
        len if len > len_max => Err(invalid(field, format!("{len} bytes"), format!("at most {len_max} bytes"))),
        _ => Ok(value),
    }
}
