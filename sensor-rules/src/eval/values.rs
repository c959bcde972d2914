//! The values of one event, each asked for once.

use std::net::IpAddr;

use smallvec::SmallVec;

use super::transform;
use crate::event::{Event, Value};
use crate::field::{Field, FieldRef};
use crate::limits::{ANCESTORS_MAX, EVENT_BYTES_MAX};
use crate::matcher::Scalar;
use crate::transform::Transformer;

/// Position of a value in the table of a program.
pub(crate) type SlotId = u32;

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Source {
    Field(FieldRef),
    /// The event type's name, which the evaluator knows.
    EventType,
    /// The field of every ancestor, the parent's first.
    Ancestors(Field),
    Text(Box<[u8]>),
    Number(i64),
    List(Box<[SlotId]>),
    Call(Transformer, Box<[SlotId]>, Option<Box<[u8]>>),
}

/// A value of the event, kept in [`Values`].
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) enum Cached {
    #[default]
    Missing,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Double(f64),
    /// A range of the bytes that are kept.
    Text {
        start: u32,
        end: u32,
    },
    /// The same for a byte buffer, which outputs show differently.
    Bytes {
        start: u32,
        end: u32,
    },
    Ip(IpAddr),
    /// A range of the list items that are kept.
    List {
        start: u32,
        end: u32,
    },
}

#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    epoch: u32,
    value: Cached,
}

/// The values of the event at hand.
#[derive(Debug, Default)]
pub(crate) struct Values {
    slots: Vec<Slot>,
    bytes: Vec<u8>,
    items: Vec<Cached>,
    /// What the agent composes values in.
    buffer: Vec<u8>,
    /// Counts events; a slot of an earlier event is empty.
    epoch: u32,
}

/// Epochs leave a bit of 32 for the result that is kept with them.
const EPOCH_MAX: u32 = u32::MAX >> 1;

impl Values {
    /// Forgets the last event. Tells whether the count of events started again, so that older marks lie.
    pub(super) fn begin(&mut self, slots: usize) -> bool {
        self.bytes.clear();
        self.items.clear();
        let wrapped = self.epoch == EPOCH_MAX;
        if wrapped {
            self.slots.clear();
            self.epoch = 0;
        }
        self.epoch += 1;
        if self.slots.len() < slots {
            self.slots.resize(slots, Slot::default());
        }
        wrapped
    }

    #[inline]
    pub(super) const fn epoch(&self) -> u32 {
        self.epoch
    }

    /// The value of a slot.
    pub(crate) fn get(&mut self, sources: &[Source], slot: SlotId, event: &impl Event) -> Cached {
        let known = self.slots[slot as usize];
        if known.epoch == self.epoch {
            return known.value;
        }
        let value = self.compute(sources, slot, event);
        self.slots[slot as usize] = Slot {
            epoch: self.epoch,
            value,
        };
        value
    }

    fn compute(&mut self, sources: &[Source], slot: SlotId, event: &impl Event) -> Cached {
        match &sources[slot as usize] {
            Source::Field(field) => self.fetch(field, event),
            Source::EventType => self.text(event.event_type().name().as_bytes()),
            Source::Ancestors(field) => self.ancestors(*field, event),
            Source::Text(text) => self.text(text),
            Source::Number(number) => Cached::Int(*number),
            Source::List(items) => {
                let items: SmallVec<[Cached; 8]> =
                    items.iter().map(|item| self.get(sources, *item, event)).collect();
                if items.contains(&Cached::Missing) {
                    Cached::Missing
                } else {
                    self.list(&items)
                }
            }
            Source::Call(transformer, args, index) => {
                let args: SmallVec<[Cached; 4]> =
                    args.iter().map(|arg| self.get(sources, *arg, event)).collect();
                if args.contains(&Cached::Missing) {
                    return Cached::Missing;
                }
                transform::apply(self, *transformer, &args, index.as_deref())
            }
        }
    }

    /// Asks the agent for a field and keeps a copy, because the answer may lie in the buffer that the next needs.
    fn fetch(&mut self, field: &FieldRef, event: &impl Event) -> Cached {
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.clear();
        let value = event
            .value(field, &mut buffer)
            .map_or(Cached::Missing, |value| self.keep(&value));
        self.buffer = buffer;
        value
    }

    #[inline]
    fn keep(&mut self, value: &Value<'_>) -> Cached {
        let Value::List(values) = value else {
            return self.keep_single(value);
        };
        let start = offset(self.items.len());
        for value in values {
            self.keep_item(value);
        }
        Cached::List {
            start,
            end: offset(self.items.len()),
        }
    }

    fn keep_item(&mut self, value: &Value<'_>) {
        let item = self.keep_single(value);
        if item != Cached::Missing {
            self.items.push(item);
        }
    }

    /// Keeps a value that is no list. A list in a list has no meaning and no value.
    #[inline]
    fn keep_single(&mut self, value: &Value<'_>) -> Cached {
        match value {
            Value::Bool(value) => Cached::Bool(*value),
            Value::Int(value) => Cached::Int(*value),
            Value::Uint(value) => Cached::Uint(*value),
            Value::Double(value) => Cached::Double(*value),
            Value::Ip(value) => Cached::Ip(*value),
            Value::Text(text) => self.text(text),
            Value::Bytes(bytes) => match self.text(bytes) {
                Cached::Text { start, end } => Cached::Bytes { start, end },
                other => other,
            },
            Value::List(_) => Cached::Missing,
        }
    }

    fn ancestors(&mut self, field: Field, event: &impl Event) -> Cached {
        let start = offset(self.items.len());
        let mut buffer = std::mem::take(&mut self.buffer);
        for index in 1..=event.ancestor_count().min(ANCESTORS_MAX) {
            buffer.clear();
            if let Some(value) = event.value(&FieldRef::indexed(field, index), &mut buffer) {
                self.keep_item(&value);
            }
        }
        self.buffer = buffer;
        let end = offset(self.items.len());
        if start == end {
            Cached::Missing
        } else {
            Cached::List { start, end }
        }
    }

    /// Keeps bytes as text. What does not fit any more has no value.
    #[inline]
    pub(super) fn text(&mut self, bytes: &[u8]) -> Cached {
        self.compose(bytes.len(), |kept| kept.extend_from_slice(bytes))
    }

    /// Keeps text of at most `bytes_max` bytes that `write` adds.
    pub(super) fn compose(&mut self, bytes_max: usize, write: impl FnOnce(&mut Vec<u8>)) -> Cached {
        if self.bytes.len() + bytes_max > EVENT_BYTES_MAX {
            return Cached::Missing;
        }
        let start = offset(self.bytes.len());
        write(&mut self.bytes);
        Cached::Text {
            start,
            end: offset(self.bytes.len()),
        }
    }

    pub(super) fn list(&mut self, items: &[Cached]) -> Cached {
        let start = offset(self.items.len());
        self.items.extend_from_slice(items);
        Cached::List {
            start,
            end: offset(self.items.len()),
        }
    }

    /// The bytes of text or of a byte buffer.
    #[inline]
    pub(crate) fn bytes(&self, value: Cached) -> Option<&[u8]> {
        match value {
            Cached::Text { start, end } | Cached::Bytes { start, end } => {
                Some(&self.bytes[start as usize..end as usize])
            }
            _ => None,
        }
    }

    /// The items of a list; a single value is its own only item, and no value has none.
    #[inline]
    pub(crate) fn items<'a>(&'a self, value: &'a Cached) -> &'a [Cached] {
        match value {
            Cached::Missing => &[],
            Cached::List { start, end } => &self.items[*start as usize..*end as usize],
            single => std::slice::from_ref(single),
        }
    }

    /// A single value as matchers see it.
    #[inline]
    pub(crate) fn scalar(&self, value: Cached) -> Option<Scalar<'_>> {
        match value {
            Cached::Missing | Cached::List { .. } => None,
            Cached::Bool(value) => Some(Scalar::Number(value.into())),
            Cached::Int(value) => Some(Scalar::Number(value.into())),
            Cached::Uint(value) => Some(Scalar::Number(value.into())),
            Cached::Double(value) => Some(Scalar::Double(value)),
            Cached::Ip(value) => Some(Scalar::Ip(value)),
            Cached::Text { .. } | Cached::Bytes { .. } => self.bytes(value).map(Scalar::Text),
        }
    }
}

/// Offsets fit because [`EVENT_BYTES_MAX`] does, and each item of a list took at least its own evaluation.
#[inline]
fn offset(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}
