//! How values look in JSON where serde's own form is not for people: enum numbers as words, bytes as text.

use std::marker::PhantomData;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// For `#[serde(with)]` on an enum that prost keeps as `i32`: its name as a lower-case word.
///
/// A number that this release has no name for (a newer sender) becomes `unknown`, which does not read back.
pub(crate) struct Word<E>(PhantomData<E>);

impl<E: TryFrom<i32> + Into<i32> + Serialize> Word<E> {
    pub(crate) fn serialize<S: Serializer>(number: &i32, serializer: S) -> Result<S::Ok, S::Error> {
        match E::try_from(*number) {
            Ok(named) => named.serialize(serializer),
            Err(_) => serializer.serialize_str("unknown"),
        }
    }
}

impl<'de, E: Into<i32> + Deserialize<'de>> Word<E> {
    pub(crate) fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<i32, D::Error> {
        E::deserialize(deserializer).map(Into::into)
    }
}

/// Bytes as hexadecimal text: for values that nobody reads but everybody compares.
pub(crate) mod hex {
    use super::{Deserialize, Deserializer, Serializer};
    use serde::de::Error as _;

    pub(crate) fn text(bytes: &[u8]) -> String {
        let digit = |half: u8| char::from_digit(u32::from(half), 16);
        bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 0xf)]).flatten().collect()
    }

    pub(super) fn bytes(text: &str) -> Option<Vec<u8>> {
        let digits = text.chars().map(|digit| digit.to_digit(16)).collect::<Option<Vec<u32>>>()?;
        let pairs = digits.chunks(2);
        pairs.map(|pair| u8::try_from(pair.first()? << 4 | pair.get(1)?).ok()).collect()
    }

    pub(crate) fn serialize<S: Serializer>(value: impl AsRef<[u8]>, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&text(value.as_ref()))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>, T: TryFrom<Vec<u8>>>(deserializer: D) -> Result<T, D::Error> {
        let text = String::deserialize(deserializer)?;
        let bytes = bytes(&text).ok_or_else(|| D::Error::custom("not pairs of hexadecimal digits"))?;
        T::try_from(bytes).map_err(|_| D::Error::custom("wrong number of bytes"))
    }
}

/// Bytes that are text most of the time: UTF-8 as it is, but `\` as `\\`, and what is no UTF-8 or a control character
/// as `\x1f`. Reads back to the same bytes.
pub(crate) mod escaped {
    use super::{Deserialize, Deserializer, Serializer};
    use serde::de::Error as _;

    fn text(bytes: &[u8]) -> String {
        let mut text = String::with_capacity(bytes.len());
        for chunk in bytes.utf8_chunks() {
            for c in chunk.valid().chars() {
                match c {
                    '\\' => text.push_str(r"\\"),
                    c if c.is_ascii_control() => text.push_str(&format!("\\x{:02x}", u32::from(c))),
                    c => text.push(c),
                }
            }
            text.extend(chunk.invalid().iter().map(|byte| format!("\\x{byte:02x}")));
        }
        text
    }

    fn bytes(text: &str) -> Option<Vec<u8>> {
        let mut pieces = text.split('\\');
        let mut bytes = pieces.next()?.as_bytes().to_vec();
        while let Some(piece) = pieces.next() {
            if piece.is_empty() {
                bytes.push(b'\\');
                bytes.extend(pieces.next()?.as_bytes());
                continue;
            }
            let (digits, rest) = piece.strip_prefix('x')?.split_at_checked(2)?;
            bytes.extend(super::hex::bytes(digits)?);
            bytes.extend(rest.as_bytes());
        }
        Some(bytes)
    }

    pub(crate) fn serialize<S: Serializer>(value: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&text(value))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        let text = String::deserialize(deserializer)?;
        bytes(&text).ok_or_else(|| D::Error::custom(r"a `\` that begins neither `\\` nor `\xNN`"))
    }
}
