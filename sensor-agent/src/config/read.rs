//! Reads the tree into types, and finds all that is wrong with it, not only the first.
//!
//! Serde stops at the first fault. So whatever is at fault is taken out of the tree, where its
//! default takes its place, and the rest is read again, until nothing is at fault any more.

use std::fmt;

use serde::de::value::StrDeserializer;
use serde::de::{
    DeserializeSeed, Deserializer, Error as _, Expected, MapAccess, SeqAccess, Unexpected, Visitor,
};
use serde::{Deserialize, forward_to_deserialize_any};

use super::tree::{Entry, Node, Place, Value};

/// The most faults that are looked for.
const FAULTS_MAX: usize = 64;

/// One thing that is wrong.
#[derive(Debug, Clone)]
pub(super) struct Fault {
    pub(super) message: String,
    /// Under the marked text.
    pub(super) label: Option<String>,
    pub(super) help: Option<String>,
    pub(super) place: Option<Place>,
}

impl Fault {
    fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            label: None,
            help: None,
            place: None,
        }
    }

    /// Sets the place, unless a part further in has set its own.
    fn at(mut self, place: Place) -> Self {
        self.place.get_or_insert(place);
        self
    }
}

/// Reads `tree` into a type all of whose keys have defaults. Returns what could be read, and all
/// faults. The faulty parts are removed from the tree.
pub(super) fn read<T: for<'de> Deserialize<'de> + Default>(tree: &mut Node) -> (T, Vec<Fault>) {
    let mut faults = Vec::new();
    loop {
        match T::deserialize(&*tree) {
            Ok(read) => return (read, faults),
            Err(fault) => {
                let removed = fault.place.is_some_and(|place| tree.remove(place));
                faults.push(fault.at(tree.shown_at()));
                if !removed || faults.len() >= FAULTS_MAX {
                    return (T::default(), faults);
                }
            }
        }
    }
}

/// The name that is most like `name`, if one is like it at all.
pub(super) fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    candidates
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(name, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= candidate.len().max(name.len()) / 3 + 1)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

fn suggest(name: &str, expected: &[&str]) -> (Option<String>, Option<String>) {
    let label = nearest(name, expected.iter().copied()).map(|near| format!("did you mean `{near}`?"));
    (label, Some(format!("one of: {}", expected.join(", "))))
}

fn found(unexpected: &Unexpected<'_>) -> String {
    match unexpected {
        Unexpected::Bool(value) => format!("`{value}`"),
        Unexpected::Unsigned(value) => format!("the number {value}"),
        Unexpected::Signed(value) => format!("the number {value}"),
        Unexpected::Float(value) => format!("the number {value}"),
        Unexpected::Str(value) => format!("the text `{value}`"),
        Unexpected::Unit | Unexpected::Option => "nothing".to_owned(),
        Unexpected::Seq => "a list".to_owned(),
        Unexpected::Map => "keys with values".to_owned(),
        other => other.to_string(),
    }
}

/// What a type wants, in the words of who writes a configuration file.
fn wanted(expected: &dyn Expected) -> String {
    let text = expected.to_string();
    match text.as_str() {
        "u8" => "a whole number from 0 to 255".to_owned(),
        "u16" => "a whole number from 0 to 65535".to_owned(),
        "u32" => "a whole number from 0 to 4294967295".to_owned(),
        "u64" | "usize" => "a whole number from 0".to_owned(),
        "a nonzero usize" | "a nonzero u32" | "a nonzero u64" => "a whole number from 1".to_owned(),
        "a boolean" => "true or false".to_owned(),
        "a string" => "text".to_owned(),
        "path string" => "a path".to_owned(),
        "a sequence" => "a list".to_owned(),
        text if text.starts_with("struct ") => "keys with values".to_owned(),
        text => text.to_owned(),
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)
    }
}

impl std::error::Error for Fault {}

impl serde::de::Error for Fault {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::new(message.to_string())
    }

    fn invalid_type(unexpected: Unexpected<'_>, expected: &dyn Expected) -> Self {
        let wanted = wanted(expected);
        let mut fault = Self::new(format!("expected {wanted}, found {}", found(&unexpected)));
        if wanted == "text"
            && matches!(
                unexpected,
                Unexpected::Bool(_) | Unexpected::Unsigned(_) | Unexpected::Float(_)
            )
        {
            fault.help = Some("put quotes around it".to_owned());
        }
        if wanted == "a list" {
            fault.help = Some("write `[first, second]`, or one `- item` a line".to_owned());
        }
        fault
    }

    fn invalid_value(unexpected: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::new(format!(
            "expected {}, found {}",
            wanted(expected),
            found(&unexpected)
        ))
    }

    fn unknown_variant(variant: &str, expected: &'static [&'static str]) -> Self {
        let (label, help) = suggest(variant, expected);
        Self {
            label,
            help,
            ..Self::new(format!("`{variant}` is not a value of this key"))
        }
    }

    fn unknown_field(field: &str, expected: &'static [&'static str]) -> Self {
        let (label, help) = suggest(field, expected);
        Self {
            label,
            help,
            ..Self::new(format!("there is no key `{field}` here"))
        }
    }

    fn missing_field(field: &'static str) -> Self {
        Self::new(format!("the key `{field}` is missing here"))
    }
}

impl<'de> Deserializer<'de> for &'de Node {
    type Error = Fault;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match &self.value {
            Value::Null => visitor.visit_unit(),
            Value::Bool(value) => visitor.visit_bool(*value),
            Value::Signed(value) => visitor.visit_i64(*value),
            Value::Unsigned(value) => visitor.visit_u64(*value),
            Value::Float(value) => visitor.visit_f64(*value),
            Value::Text(value) => visitor.visit_borrowed_str(value),
            Value::List(items) => visitor.visit_seq(Items { items }),
            Value::Map(entries) => visitor.visit_map(Entries { entries, value: None }),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match &self.value {
            Value::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    /// A section whose keys are all commented out is null in YAML; it means the defaults.
    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        match &self.value {
            Value::Null => visitor.visit_map(Entries {
                entries: &[],
                value: None,
            }),
            Value::List(_) => Err(Fault::invalid_type(Unexpected::Seq, &"struct ")),
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        match &self.value {
            Value::Text(name) => visitor.visit_enum(StrDeserializer::<Fault>::new(name)),
            _ => Err(Fault::new(format!("expected one of: {}", variants.join(", ")))),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Fault> {
        visitor.visit_newtype_struct(self)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple
        tuple_struct map identifier ignored_any
    }
}

struct Items<'de> {
    items: &'de [Node],
}

impl<'de> SeqAccess<'de> for Items<'de> {
    type Error = Fault;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Fault> {
        let Some((item, rest)) = self.items.split_first() else {
            return Ok(None);
        };
        self.items = rest;
        seed.deserialize(item)
            .map(Some)
            .map_err(|fault| fault.at(item.place))
    }
}

struct Entries<'de> {
    entries: &'de [Entry],
    /// The entry whose key was read last.
    value: Option<&'de Entry>,
}

impl<'de> MapAccess<'de> for Entries<'de> {
    type Error = Fault;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Fault> {
        let Some((entry, rest)) = self.entries.split_first() else {
            return Ok(None);
        };
        self.entries = rest;
        self.value = Some(entry);
        let key = StrDeserializer::<Fault>::new(&entry.key);
        seed.deserialize(key)
            .map(Some)
            .map_err(|fault| fault.at(entry.key_place))
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Fault> {
        let Some(entry) = self.value.take() else {
            return Err(Fault::custom("a value was asked for before its key"));
        };
        seed.deserialize(&entry.value)
            .map_err(|fault| fault.at(entry.shown_at()))
    }
}
