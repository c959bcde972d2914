//! The Falco rule language.
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
pub mod format;
mod ir;
mod lex;
pub mod limits;
pub mod load;
mod matcher;
pub mod parse;
pub mod priority;
pub mod testing;
pub mod transform;
