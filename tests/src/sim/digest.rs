//! Any value as one number, by way of its serialized form: equal values give equal numbers, here and on every machine.
//!
//! Used to tell whether two runs of a seed went the same way, and whether two agents hold the same, without keeping
//! what they held. 64 bits: good for thousands of comparisons, not against somebody who looks for a collision.

use serde::ser::{self, Serialize};
use std::fmt;

/// The number of a value.
///
/// # Panics
/// If the value's own `Serialize` fails.
#[must_use]
pub fn digest(value: &(impl Serialize + ?Sized)) -> u64 {
    let mut mixer = Mixer(SEED);
    value.serialize(&mut mixer).expect("only a value's own serialize can fail");
    mixer.0
}

/// Both numbers in one; the order counts.
#[must_use]
pub fn mix(one: u64, other: u64) -> u64 {
    let mut mixer = Mixer(one);
    mixer.word(other);
    mixer.0
}

const SEED: u64 = 0x243f_6a88_85a3_08d3;
const ODD: u64 = 0x9e37_79b9_7f4a_7c15;

/// Multiply and fold: a word at a time.
struct Mixer(u64);

impl Mixer {
    fn word(&mut self, word: u64) {
        let product = u128::from(self.0 ^ word.wrapping_add(ODD)) * u128::from(ODD | 1 << 63);
        self.0 = (product >> 64) as u64 ^ product as u64;
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.word(bytes.len() as u64);
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.word(u64::from_le_bytes(word));
        }
    }
}

/// What a value's own `Serialize` complains of.
#[derive(Debug)]
struct Refused(String);

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Refused {}

impl ser::Error for Refused {
    fn custom<T: fmt::Display>(what: T) -> Self {
        Refused(what.to_string())
    }
}

type Done = Result<(), Refused>;

macro_rules! words {
    ($($name:ident: $kind:ty),* $(,)?) => {
        $(fn $name(self, value: $kind) -> Done {
            self.word(value as u64);
            Ok(())
        })*
    };
}

impl ser::Serializer for &mut Mixer {
    type Ok = ();
    type Error = Refused;
    type SerializeSeq = Self;
    type SerializeTuple = Self;
    type SerializeTupleStruct = Self;
    type SerializeTupleVariant = Self;
    type SerializeMap = Self;
    type SerializeStruct = Self;
    type SerializeStructVariant = Self;

    words! {
        serialize_bool: bool, serialize_i8: i8, serialize_i16: i16, serialize_i32: i32, serialize_i64: i64,
        serialize_u8: u8, serialize_u16: u16, serialize_u32: u32, serialize_u64: u64, serialize_char: char,
    }

    fn serialize_f32(self, value: f32) -> Done {
        self.serialize_u32(value.to_bits())
    }

    fn serialize_f64(self, value: f64) -> Done {
        self.serialize_u64(value.to_bits())
    }

    fn serialize_str(self, value: &str) -> Done {
        self.serialize_bytes(value.as_bytes())
    }

    fn serialize_bytes(self, value: &[u8]) -> Done {
        self.bytes(value);
        Ok(())
    }

    fn serialize_none(self) -> Done {
        self.serialize_u8(0)
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Done {
        self.word(1);
        value.serialize(self)
    }

    fn serialize_unit(self) -> Done {
        self.serialize_u8(2)
    }

    fn serialize_unit_struct(self, _: &'static str) -> Done {
        self.serialize_unit()
    }

    fn serialize_unit_variant(self, _: &'static str, index: u32, _: &'static str) -> Done {
        self.serialize_u32(index)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, value: &T) -> Done {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        index: u32,
        _: &'static str,
        value: &T,
    ) -> Done {
        self.word(u64::from(index));
        value.serialize(self)
    }

    fn serialize_seq(self, len: Option<usize>) -> Result<Self, Refused> {
        self.word(len.unwrap_or_default() as u64);
        Ok(self)
    }

    fn serialize_tuple(self, _: usize) -> Result<Self, Refused> {
        Ok(self)
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Self, Refused> {
        Ok(self)
    }

    fn serialize_tuple_variant(self, _: &'static str, index: u32, _: &'static str, _: usize) -> Result<Self, Refused> {
        self.word(u64::from(index));
        Ok(self)
    }

    fn serialize_map(self, len: Option<usize>) -> Result<Self, Refused> {
        self.serialize_seq(len)
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Self, Refused> {
        Ok(self)
    }

    fn serialize_struct_variant(self, _: &'static str, index: u32, _: &'static str, _: usize) -> Result<Self, Refused> {
        self.word(u64::from(index));
        Ok(self)
    }

    fn is_human_readable(&self) -> bool {
        false
    }
}

macro_rules! compound {
    ($($kind:ident: $add:ident),* $(,)?) => {
        $(impl ser::$kind for &mut Mixer {
            type Ok = ();
            type Error = Refused;

            fn $add<T: Serialize + ?Sized>(&mut self, value: &T) -> Done {
                value.serialize(&mut **self)
            }

            fn end(self) -> Done {
                Ok(())
            }
        })*
    };
}

compound! {
    SerializeSeq: serialize_element,
    SerializeTuple: serialize_element,
    SerializeTupleStruct: serialize_field,
    SerializeTupleVariant: serialize_field,
}

macro_rules! named {
    ($($kind:ident),* $(,)?) => {
        $(impl ser::$kind for &mut Mixer {
            type Ok = ();
            type Error = Refused;

            fn serialize_field<T: Serialize + ?Sized>(&mut self, _: &'static str, value: &T) -> Done {
                value.serialize(&mut **self)
            }

            fn end(self) -> Done {
                Ok(())
            }
        })*
    };
}

named![SerializeStruct, SerializeStructVariant];

impl ser::SerializeMap for &mut Mixer {
    type Ok = ();
    type Error = Refused;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Done {
        key.serialize(&mut **self)
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Done {
        value.serialize(&mut **self)
    }

    fn end(self) -> Done {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn equal_values_have_equal_digests_and_others_have_not() {
        let map = |key: &str, value: u8| BTreeMap::from([(key.to_owned(), Some(value))]);
        assert_eq!(digest(&map("a", 1)), digest(&map("a", 1)));
        assert_ne!(digest(&map("a", 1)), digest(&map("a", 2)));
        assert_ne!(digest(&map("a", 1)), digest(&map("b", 1)));
        assert_ne!(digest(&("ab", "c")), digest(&("a", "bc")));
        assert_ne!(digest(&[vec![1u8], vec![]]), digest(&[vec![], vec![1u8]]));
    }

    #[test]
    fn the_order_of_a_mixture_counts() {
        assert_ne!(mix(1, 2), mix(2, 1));
    }
}
