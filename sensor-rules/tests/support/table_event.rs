//! An event that is a table of values.
#![allow(dead_code, reason = "each test program uses its own part of this module")]

use std::collections::HashMap;
use std::net::IpAddr;

use sensor_rules::event::{Event, Value};
use sensor_rules::field::{EventType, FieldArg, FieldRef};

/// A value that owns its bytes.
#[derive(Clone, Debug)]
pub(crate) enum Owned {
    Bool(bool),
    Int(i64),
    Uint(u64),
    Text(Vec<u8>),
    Bytes(Vec<u8>),
    Ip(IpAddr),
    List(Vec<Self>),
}

impl Owned {
    fn as_value(&self) -> Value<'_> {
        match self {
            Self::Bool(value) => Value::Bool(*value),
            Self::Int(value) => Value::Int(*value),
            Self::Uint(value) => Value::Uint(*value),
            Self::Text(text) => Value::Text(text),
            Self::Bytes(bytes) => Value::Bytes(bytes),
            Self::Ip(ip) => Value::Ip(*ip),
            Self::List(items) => Value::List(items.iter().map(Self::as_value).collect()),
        }
    }
}

/// An event whose values stand in a table under the names that rules use.
#[derive(Clone, Debug)]
pub(crate) struct TableEvent {
    pub(crate) event_type: EventType,
    pub(crate) values: HashMap<String, Owned>,
    /// Values of ancestors, the parent's first, by the field's name.
    pub(crate) ancestors: HashMap<String, Vec<Owned>>,
    /// Names of fields whose values are cut.
    pub(crate) incomplete: Vec<String>,
}

impl TableEvent {
    pub(crate) fn new(event_type: &str) -> Self {
        Self {
            event_type: EventType::from_name(event_type).unwrap_or_else(|| panic!("no event {event_type}")),
            values: HashMap::new(),
            ancestors: HashMap::new(),
            incomplete: Vec::new(),
        }
    }

    #[must_use]
    pub(crate) fn with(mut self, field: &str, value: Owned) -> Self {
        self.values.insert(field.to_owned(), value);
        self
    }

    #[must_use]
    pub(crate) fn with_text(self, field: &str, text: &str) -> Self {
        self.with(field, Owned::Text(text.as_bytes().to_vec()))
    }
}

impl Event for TableEvent {
    fn event_type(&self) -> EventType {
        self.event_type
    }

    fn value<'a>(&'a self, field: &FieldRef, buf: &'a mut Vec<u8>) -> Option<Value<'a>> {
        assert!(buf.is_empty(), "the buffer is handed over empty");
        if let FieldArg::Index(index @ 1..) = field.arg
            && let Some(values) = self.ancestors.get(field.field.info().name)
        {
            return values.get(index as usize - 1).map(Owned::as_value);
        }
        match self.values.get(&field.to_string())? {
            // Half of the values come by way of the buffer, as an agent's composed ones do.
            Owned::Text(text) if text.len() % 2 == 0 => {
                buf.extend_from_slice(text);
                Some(Value::Text(buf))
            }
            value => Some(value.as_value()),
        }
    }

    fn ancestor_count(&self) -> u32 {
        let longest = self.ancestors.values().map(Vec::len).max().unwrap_or_default();
        u32::try_from(longest).unwrap_or(u32::MAX)
    }

    fn is_incomplete(&self, field: &FieldRef) -> bool {
        self.incomplete.contains(&field.to_string())
    }
}
