//! One value of a JSON text, as it is written there.
//!
//! The text is read to its end, wherever the value lies: one that is no JSON, cut off or followed by more, has no values
//! at all. Of a key that stands twice the last one counts, as in PostgreSQL's `jsonb`.

use super::path::Step;
use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use std::fmt;

/// The value's text without blanks around it; `None` when there is nothing at the path. An error for what is no JSON.
pub(super) fn find<'t>(text: &'t str, path: &[Step]) -> serde_json::Result<Option<&'t str>> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let found = At(path).deserialize(&mut deserializer)?;
    deserializer.end()?;
    Ok(found)
}

/// Reads a value and takes what lies at the path in it.
struct At<'p>(&'p [Step]);

impl<'de> DeserializeSeed<'de> for At<'_> {
    type Value = Option<&'de str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        match self.0 {
            [] => <&'de RawValue>::deserialize(deserializer).map(|raw| Some(raw.get())),
            [step, rest @ ..] => deserializer.deserialize_any(Inside { step, rest }),
        }
    }
}

/// A value that has to be an object or an array to hold anything.
struct Inside<'p> {
    step: &'p Step,
    rest: &'p [Step],
}

impl<'de> Visitor<'de> for Inside<'_> {
    type Value = Option<&'de str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        let mut found = None;
        while let Some(is_meant) = members.next_key_seed(Is(self.step))? {
            match is_meant {
                true => found = members.next_value_seed(At(self.rest))?,
                false => drop(members.next_value::<IgnoredAny>()?),
            }
        }
        Ok(found)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Self::Value, A::Error> {
        let mut found = None;
        for at in 0.. {
            let is_meant = matches!(self.step, Step::Index(index) if *index == at);
            let is_there = match is_meant {
                true => elements.next_element_seed(At(self.rest))?.map(|value| found = value).is_some(),
                false => elements.next_element::<IgnoredAny>()?.is_some(),
            };
            if !is_there {
                break;
            }
        }
        Ok(found)
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }
}

/// Whether a key of an object is the one of this step.
struct Is<'p>(&'p Step);

impl<'de> DeserializeSeed<'de> for Is<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Is<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<bool, E> {
        Ok(matches!(self.0, Step::Key(key) if key == name))
    }
}
