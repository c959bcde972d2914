//! What the evaluator has to be told of an event.
//!
//! The agent implements [`Event`] over a decoded kernel record and its state; tests and replay
//! implement it over a table of values. The evaluator never asks for a field that no rule names.

use std::net::IpAddr;

use crate::field::{EventType, FieldRef};

/// One event, as rules see it.
pub trait Event {
    /// What happened: `execve`, `openat`, `connect`, ...
    fn event_type(&self) -> EventType;

    /// The value of one field, or `None` where this event has none (Falco's `<NA>`).
    ///
    /// `buf` is empty; a value that must be composed is written there and borrowed from it, so that
    /// nothing is allocated once the evaluator's buffers have grown.
    fn value<'a>(&'a self, field: &FieldRef, buf: &'a mut Vec<u8>) -> Option<Value<'a>>;

    /// How many ancestors of the process are known; its parent is the first.
    fn ancestor_count(&self) -> u32;

    /// Whether the value of `field` is known to be cut or unresolved. Conditions that would excuse the
    /// event (exceptions) do not apply to such a value.
    fn is_incomplete(&self, field: &FieldRef) -> bool {
        let _ = field;
        false
    }
}

/// A field's value. Text is bytes: the kernel does not promise UTF-8.
#[derive(Clone, Debug, PartialEq)]
pub enum Value<'a> {
    /// `BOOL`.
    Bool(bool),
    /// Any signed number, times in nanoseconds included.
    Int(i64),
    /// Any unsigned number, ports included.
    Uint(u64),
    /// `DOUBLE`.
    Double(f64),
    /// `CHARBUF`, `FSPATH`, `FSRELPATH`.
    Text(&'a [u8]),
    /// `BYTEBUF`.
    Bytes(&'a [u8]),
    /// `IPADDR` and `IPNET` fields: the address that is tested.
    Ip(IpAddr),
    /// A list-valued field.
    List(Vec<Value<'a>>),
}
