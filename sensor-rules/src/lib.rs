//! The Falco rule language: conditions, outputs, and the matching of many rules against one event at a time.
//!
//! The way of a condition: [`parse`] makes text a tree ([`ast`]); [`check`] finds the fields, types and constants and
//! makes the tree a typed graph in which equal parts are one; [`compile`] decides what the event type decides, puts
//! tests together and in order, and lays the rest out flat; [`engine`] holds many rules and evaluates them. [`format`]
//! does the same for outputs. [`field`] is the one catalogue of what rules may name.
//!
//! Start with [`engine::RuleSetBuilder`] and [`engine::RuleSet`] to match events, and with [`event::Event`] to be
//! matched.
//!
//! Architecture invariants: nothing here does I/O, blocks, knows the time or keeps global state. Any text gives a
//! result or an error with its place, never a panic; evaluation takes bounded time and, once its scratch has grown,
//! allocates nothing. A missing value makes every comparison false, whichever the operator.
#![forbid(unsafe_code)]

pub mod ast;
pub mod check;
pub mod compile;
pub mod diagnostic;
pub mod engine;
pub mod error;
mod eval;
pub mod event;
pub mod event_set;
pub mod explain;
pub mod field;
pub mod fmt;
pub mod format;
pub mod fuzzing;
mod ir;
mod lex;
pub mod limits;
pub mod load;
mod matcher;
pub mod parse;
pub mod partial;
pub mod priority;
pub mod sarif;
pub mod schema;
pub mod testing;
pub mod transform;
