//! An event that is a table of values.

use std::collections::HashMap;
use std::net::IpAddr;

use crate::event::{Event, Value};
use crate::field::{Catalogue, EventType, Field, FieldArg, FieldError, FieldFlag, FieldRef, FieldType};

/// A value that owns its bytes.
#[derive(Clone, Debug, PartialEq)]
pub enum OwnedValue {
    /// `BOOL`
    Bool(bool),
    /// A signed number.
    Int(i64),
    /// An unsigned number.
    Uint(u64),
    /// A fraction.
    Double(f64),
    /// Text.
    Text(Vec<u8>),
    /// Bytes.
    Bytes(Vec<u8>),
    /// An address.
    Ip(IpAddr),
    /// A list.
    List(Vec<Self>),
}

/// Why a table is no event.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EventError {
    /// No such field, or not with this argument.
    #[error(transparent)]
    Field(#[from] FieldError),
    /// The field has no value of its own.
    #[error("`{0}` stands for several fields; give those instead: {1}")]
    NoValue(&'static str, &'static str),
    /// The text is not of the field's type.
    #[error("`{value}` is no value for `{field}`, which is of type {wanted}")]
    Type {
        /// The field.
        field: String,
        /// The text.
        value: String,
        /// Falco's name of the type.
        wanted: &'static str,
    },
    /// `evt.type` is missing.
    #[error("the event has no `evt.type`")]
    NoType,
    /// `evt.type` names nothing.
    #[error("no event is of type `{0}`")]
    UnknownType(String),
}

/// An event whose values stand in a table.
///
/// What follows from other values need not be given: the parent's fields follow from the ancestors and the other way
/// round, ancestor 0 is the process, and for a connecting process the far end is the server.
#[derive(Clone, Debug)]
pub struct TableEvent {
    event_type: EventType,
    values: HashMap<FieldRef, OwnedValue>,
    ancestor_count: u32,
    incomplete: Vec<FieldRef>,
}

/// An ancestor's field, the same field of the process itself, and of its parent.
const KINSHIP: [(Field, Field, Field); 5] = [
    (Field::ProcAname, Field::ProcName, Field::ProcPname),
    (Field::ProcAexe, Field::ProcExe, Field::ProcPexe),
    (Field::ProcAexepath, Field::ProcExepath, Field::ProcPexepath),
    (Field::ProcAcmdline, Field::ProcCmdline, Field::ProcPcmdline),
    (Field::ProcApid, Field::ProcPid, Field::ProcPpid),
];

/// What is the same at the process that connects.
const CLIENT: [(Field, Field); 4] = [
    (Field::FdSip, Field::FdRip),
    (Field::FdSport, Field::FdRport),
    (Field::FdCip, Field::FdLip),
    (Field::FdCport, Field::FdLport),
];

impl TableEvent {
    /// Makes an event of its fields as text, and of those of its ancestors, the parent's first.
    ///
    /// # Errors
    /// The first thing that is no field or no value for it, or no `evt.type`.
    pub fn new<'a>(
        catalogue: &Catalogue,
        fields: impl IntoIterator<Item = (&'a str, &'a str)>,
        ancestors: &[Vec<(&'a str, &'a str)>],
    ) -> Result<Self, EventError> {
        let mut values = HashMap::new();
        for (name, text) in fields {
            let (field, value) = parse_field(catalogue, name, text)?;
            values.insert(field, value);
        }
        let event_type = match values.get(&FieldRef::plain(Field::EvtType)) {
            Some(OwnedValue::Text(name)) => {
                let name = String::from_utf8_lossy(name);
                EventType::from_name(&name).ok_or_else(|| EventError::UnknownType(name.into_owned()))?
            }
            _ => return Err(EventError::NoType),
        };
        for (index, ancestor) in (1..).zip(ancestors) {
            for (name, text) in ancestor {
                let (field, value) = parse_field(catalogue, name, text)?;
                let kin = KINSHIP.iter().find(|(_, own, _)| *own == field.field);
                let field = kin.map_or(field.field, |(kin, ..)| *kin);
                values.insert(FieldRef::indexed(field, index), value);
            }
        }
        let mut event = Self {
            event_type,
            values,
            ancestor_count: u32::try_from(ancestors.len()).unwrap_or(u32::MAX),
            incomplete: Vec::new(),
        };
        event.derive();
        Ok(event)
    }

    /// This event with values that are known to be cut or unresolved.
    ///
    /// # Errors
    /// A name that is no field's.
    pub fn with_incomplete<'a>(
        mut self,
        catalogue: &Catalogue,
        names: impl IntoIterator<Item = &'a str>,
    ) -> Result<Self, FieldError> {
        for name in names {
            self.incomplete.push(resolve(catalogue, name)?);
        }
        Ok(self)
    }

    fn derive(&mut self) {
        self.copy(
            &FieldRef::plain(Field::EvtType),
            FieldRef::plain(Field::SyscallType),
        );
        self.values
            .entry(FieldRef::plain(Field::EvtNum))
            .or_insert(OwnedValue::Uint(1));
        self.values
            .entry(FieldRef::plain(Field::EvtDir))
            .or_insert_with(|| OwnedValue::Text(b"<".to_vec()));
        for (kin, own, parent) in KINSHIP {
            self.copy(&FieldRef::plain(own), FieldRef::indexed(kin, 0));
            self.copy(&FieldRef::plain(parent), FieldRef::indexed(kin, 1));
            self.copy(&FieldRef::indexed(kin, 1), FieldRef::plain(parent));
            if self.values.contains_key(&FieldRef::indexed(kin, 1)) {
                self.ancestor_count = self.ancestor_count.max(1);
            }
        }
        if self.event_type.name() == "connect" {
            for (one, other) in CLIENT {
                self.copy(&FieldRef::plain(one), FieldRef::plain(other));
                self.copy(&FieldRef::plain(other), FieldRef::plain(one));
            }
        }
    }

    /// Gives `to` the value of `from`, unless it has one.
    fn copy(&mut self, from: &FieldRef, to: FieldRef) {
        if let Some(value) = self.values.get(from).cloned() {
            self.values.entry(to).or_insert(value);
        }
    }
}

impl Event for TableEvent {
    fn event_type(&self) -> EventType {
        self.event_type
    }

    fn value<'a>(&'a self, field: &FieldRef, _buf: &'a mut Vec<u8>) -> Option<Value<'a>> {
        if let (Field::EvtTypeIs, FieldArg::Key(name)) = (field.field, &field.arg) {
            return Some(Value::Uint(u64::from(self.event_type.name() == name.as_str())));
        }
        self.values.get(field).map(OwnedValue::as_value)
    }

    fn ancestor_count(&self) -> u32 {
        self.ancestor_count
    }

    fn is_incomplete(&self, field: &FieldRef) -> bool {
        self.incomplete.contains(field)
    }
}

impl OwnedValue {
    /// The value as the evaluator takes it.
    #[must_use]
    pub fn as_value(&self) -> Value<'_> {
        match self {
            Self::Bool(value) => Value::Bool(*value),
            Self::Int(value) => Value::Int(*value),
            Self::Uint(value) => Value::Uint(*value),
            Self::Double(value) => Value::Double(*value),
            Self::Text(text) => Value::Text(text),
            Self::Bytes(bytes) => Value::Bytes(bytes),
            Self::Ip(ip) => Value::Ip(*ip),
            Self::List(items) => Value::List(items.iter().map(Self::as_value).collect()),
        }
    }

    /// Reads one value of a type.
    fn parse(value_type: FieldType, text: &str) -> Option<Self> {
        Some(match value_type {
            FieldType::Bool => Self::Bool(text.parse().ok()?),
            FieldType::Int16 | FieldType::Int32 | FieldType::Int64 | FieldType::RelTime => {
                Self::Int(text.parse().ok()?)
            }
            FieldType::Uint8
            | FieldType::Uint16
            | FieldType::Uint32
            | FieldType::Uint64
            | FieldType::AbsTime
            | FieldType::Port => Self::Uint(text.parse().ok()?),
            FieldType::Double => Self::Double(text.parse().ok()?),
            FieldType::Text => Self::Text(text.as_bytes().to_vec()),
            FieldType::Bytes => Self::Bytes(text.as_bytes().to_vec()),
            FieldType::IpAddr | FieldType::IpNet => Self::Ip(text.parse().ok()?),
            FieldType::Dynamic | FieldType::Raw => return None,
        })
    }
}

/// Splits `proc.aname[2]` and looks it up.
fn resolve(catalogue: &Catalogue, text: &str) -> Result<FieldRef, FieldError> {
    let bracket = text.strip_suffix(']').and_then(|open| open.split_once('['));
    match bracket {
        Some((name, argument)) => catalogue.resolve(name, Some(argument)),
        None => catalogue.resolve(text, None),
    }
}

fn parse_field(catalogue: &Catalogue, name: &str, text: &str) -> Result<(FieldRef, OwnedValue), EventError> {
    let field = resolve(catalogue, name)?;
    if field.field.endpoints().is_some() {
        return Err(EventError::NoValue(
            field.field.info().name,
            "that of the client and that of the server",
        ));
    }
    if field.field.asked_as() != field.field {
        return Err(EventError::NoValue(
            field.field.info().name,
            field.field.asked_as().info().name,
        ));
    }
    if field.field.info().flags.has(FieldFlag::TableOnly) {
        return Err(FieldError::Unknown(name.into()).into());
    }
    let value_type = field.value_type();
    let value = if field.is_list() {
        let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
        items
            .map(|item| OwnedValue::parse(value_type, item))
            .collect::<Option<Vec<_>>>()
            .map(OwnedValue::List)
    } else {
        OwnedValue::parse(value_type, text)
    };
    let wanted = value_type.name();
    let value = value.ok_or_else(|| EventError::Type {
        field: name.to_owned(),
        value: text.to_owned(),
        wanted,
    })?;
    Ok((field, value))
}
