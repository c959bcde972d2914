//! A YAML document as a tree that remembers where each part stands.
//!
//! Values from the environment and from flags are put into the same tree, each with the place that it
//! came from, so that everything after this step treats all of them alike.

use std::fmt;
use std::ops::Range;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::Spanned;

/// Where text came from: a file, a variable or a flag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Source {
    /// As messages name it.
    pub(super) name: String,
    /// All of it.
    pub(super) text: String,
}

/// A range of bytes in one of the sources.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    /// The index of the source.
    pub(super) source: usize,
    pub(super) start: usize,
    pub(super) end: usize,
}

impl Place {
    pub(super) fn range(self) -> Range<usize> {
        self.start..self.end
    }
}

/// One value of the document.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) place: Place,
    pub(super) value: Value,
}

#[derive(Debug, Clone)]
pub(super) enum Value {
    Null,
    Bool(bool),
    Signed(i64),
    Unsigned(u64),
    Float(f64),
    Text(String),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) key_place: Place,
    pub(super) value: Node,
}

impl Entry {
    /// Where a reader should look for this entry: at the value, or at the key where the value may
    /// fill pages.
    pub(super) fn shown_at(&self) -> Place {
        match self.value.value {
            Value::Map(_) | Value::List(_) | Value::Null => self.key_place,
            _ => self.value.place,
        }
    }
}

/// Why text is no YAML.
#[derive(Debug)]
pub(super) struct SyntaxError {
    pub(super) message: String,
    pub(super) place: Option<Place>,
}

impl Node {
    pub(super) fn new(place: Place, value: Value) -> Self {
        Self { place, value }
    }

    /// Parses `text[start..]`, which belongs to the source with this index. Empty text is null.
    pub(super) fn parse(source: usize, text: &str, start: usize) -> Result<Self, SyntaxError> {
        let options = serde_saphyr::options! { strict_booleans: true, with_snippet: false };
        let here = Place {
            source,
            start,
            end: text.len(),
        };
        if text[start..].trim().is_empty() {
            return Ok(Self::new(here, Value::Null));
        }
        match serde_saphyr::from_str_with_options::<Spanned<Raw>>(&text[start..], options) {
            Ok(raw) => Ok(convert(raw, here)),
            Err(error) => {
                let place = error.location().map(|location| locate(location, here));
                // The place is shown apart, and the parser's own options are of no use to who reads this.
                let message = error.to_string();
                let message = message.lines().next().unwrap_or_default();
                let ends = [" at line ", ", set DuplicateKeyPolicy"].map(|end| message.find(end));
                let message = &message[..ends.into_iter().flatten().min().unwrap_or(message.len())];
                Err(SyntaxError {
                    message: message.to_owned(),
                    place,
                })
            }
        }
    }

    /// The entry of a map.
    pub(super) fn entry(&self, key: &str) -> Option<&Entry> {
        match &self.value {
            Value::Map(entries) => entries.iter().find(|entry| entry.key == key),
            _ => None,
        }
    }

    /// Where a reader should look for this value: collections are shown by their first key or item,
    /// because they may fill pages.
    pub(super) fn shown_at(&self) -> Place {
        match &self.value {
            Value::Map(entries) => entries.first().map_or(self.place, |entry| entry.key_place),
            Value::List(items) => items.first().map_or(self.place, Node::shown_at),
            _ => self.place,
        }
    }

    /// Follows a path such as `grpc.tcp` or `respond.hooks[2].program` as far as the document has
    /// it. Returns the last part that is there, and where a reader should look for it.
    pub(super) fn follow(&self, path: &str) -> Option<(&Self, Place)> {
        let mut node = self;
        let mut place = None;
        for part in path.split(['.', '[']) {
            if let Some(index) = part.strip_suffix(']') {
                let Value::List(items) = &node.value else { break };
                let Some(item) = index.parse::<usize>().ok().and_then(|index| items.get(index)) else {
                    break;
                };
                place = Some(item.shown_at());
                node = item;
            } else {
                let Some(entry) = node.entry(part) else { break };
                place = Some(entry.shown_at());
                node = &entry.value;
            }
        }
        place.map(|place| (node, place))
    }

    /// Whether something in here, but not all of it, stands at this place.
    pub(super) fn has_part_at(&self, place: Place) -> bool {
        match &self.value {
            Value::Map(entries) => entries.iter().any(|entry| {
                entry.key_place == place || entry.value.place == place || entry.value.has_part_at(place)
            }),
            Value::List(items) => items
                .iter()
                .any(|item| item.place == place || item.has_part_at(place)),
            _ => false,
        }
    }

    /// Sets the value at a path of keys, making maps on the way. Where the document has something
    /// else than a map on the way, it stays: that is reported when the document is read.
    pub(super) fn set(&mut self, keys: &[&str], key_place: Place, value: Node) {
        let Some((key, rest)) = keys.split_first() else {
            *self = value;
            return;
        };
        if matches!(self.value, Value::Null) {
            self.value = Value::Map(Vec::new());
        }
        let Value::Map(entries) = &mut self.value else {
            return;
        };
        let index = entries
            .iter()
            .position(|entry| entry.key == *key)
            .unwrap_or_else(|| {
                entries.push(Entry {
                    key: (*key).to_owned(),
                    key_place,
                    value: Self::new(key_place, Value::Null),
                });
                entries.len() - 1
            });
        entries[index].value.set(rest, key_place, value);
    }

    /// Removes the value that stands exactly at this place, with its key. Returns whether there was one.
    pub(super) fn remove(&mut self, place: Place) -> bool {
        match &mut self.value {
            Value::Map(entries) => {
                let before = entries.len();
                entries.retain(|entry| entry.key_place != place && entry.value.place != place);
                entries.len() < before || entries.iter_mut().any(|entry| entry.value.remove(place))
            }
            Value::List(items) => {
                let before = items.len();
                items.retain(|item| item.place != place);
                items.len() < before || items.iter_mut().any(|item| item.remove(place))
            }
            _ => false,
        }
    }
}

fn locate(location: serde_saphyr::Location, within: Place) -> Place {
    let span = location.span();
    let at = |offset: u64| within.start + usize::try_from(offset).unwrap_or(usize::MAX - within.start);
    let start = at(span.byte_offset().unwrap_or_default()).min(within.end);
    let end = start.saturating_add(usize::try_from(span.byte_len().unwrap_or_default()).unwrap_or_default());
    Place {
        source: within.source,
        start,
        end: end.min(within.end),
    }
}

/// What the YAML parser gives, before places are made absolute.
enum Raw {
    Scalar(Value),
    List(Vec<Spanned<Raw>>),
    Map(Vec<(Spanned<String>, Spanned<Raw>)>),
}

fn convert(raw: Spanned<Raw>, within: Place) -> Node {
    let place = locate(raw.referenced, within);
    let value = match raw.value {
        Raw::Scalar(value) => value,
        Raw::List(items) => Value::List(items.into_iter().map(|item| convert(item, within)).collect()),
        Raw::Map(entries) => {
            let entry = |(key, value): (Spanned<String>, _)| Entry {
                key_place: locate(key.referenced, within),
                key: key.value,
                value: convert(value, within),
            };
            Value::Map(entries.into_iter().map(entry).collect())
        }
    };
    Node { place, value }
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RawVisitor)
    }
}

struct RawVisitor;

impl<'de> Visitor<'de> for RawVisitor {
    type Value = Raw;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("any value")
    }

    fn visit_unit<E>(self) -> Result<Raw, E> {
        Ok(Raw::Scalar(Value::Null))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Raw, E> {
        Ok(Raw::Scalar(Value::Bool(value)))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Raw, E> {
        Ok(Raw::Scalar(
            u64::try_from(value).map_or(Value::Signed(value), Value::Unsigned),
        ))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Raw, E> {
        Ok(Raw::Scalar(Value::Unsigned(value)))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Raw, E> {
        Ok(Raw::Scalar(Value::Float(value)))
    }

    fn visit_str<E>(self, value: &str) -> Result<Raw, E> {
        Ok(Raw::Scalar(Value::Text(value.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Raw, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = access.next_element()? {
            items.push(item);
        }
        Ok(Raw::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Raw, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = access.next_entry()? {
            entries.push(entry);
        }
        Ok(Raw::Map(entries))
    }
}
