//! The responder with real processes and files.
//!
//! Most of it needs root: hooks' programs must be root's, and processes are killed that are not ours to signal
//! otherwise. Without root those tests say that they skip.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "tests")]

mod common;
mod contain;
mod guards;
mod kill;
mod program;
mod restore;
