//! The field names of a struct, as serde's derive knows them, so that no second list of them exists.

use serde::Deserialize;
use serde::de::{Deserializer, Error, Visitor, value};

/// Names of the fields of `T` in declaration order; empty when `T` is no struct.
pub fn of<'de, T: Deserialize<'de>>() -> &'static [&'static str] {
    let mut names: &'static [&'static str] = &[];
    // The probe refuses to yield a value, so this always fails; what counts is what it was asked for.
    match T::deserialize(Probe(&mut names)) {
        Ok(_) | Err(_) => names,
    }
}

struct Probe<'a>(&'a mut &'static [&'static str]);

impl<'de> Deserializer<'de> for Probe<'_> {
    type Error = value::Error;

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        _visitor: V,
    ) -> Result<V::Value, value::Error> {
        *self.0 = fields;
        Err(value::Error::custom("only the names were wanted"))
    }

    fn deserialize_any<V: Visitor<'de>>(self, _visitor: V) -> Result<V::Value, value::Error> {
        Err(value::Error::custom("only the names were wanted"))
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit
        unit_struct newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_names_come_from_the_struct() {
        let names = super::of::<crate::source::SourceConfig>();
        assert_eq!(&names[..2], ["name", "files"]);
        assert!(super::of::<String>().is_empty());
    }
}
