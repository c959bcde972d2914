//! Answers detections with hooks: programs of the operator's, and actions that are built in.
//!
//! Nothing here decides whether a rule matched. A detection comes in, [`config::RespondConfig`] says which hooks
//! it is bound to, the guards say whether they may act, and each run leaves an intent and an outcome
//! in a hash-chained journal and one `HookRun` for the subscribers.
//!
//! Invariants:
//! - `observe` is the default, and changes nothing but the journal and the stream.
//! - An act is written to the journal, and is on disk, before it starts.
//! - A process is acted upon by pidfd after its start time was checked, never by a bare pid.
//! - Text from a detection reaches a program only on its standard input, never its arguments or environment.
//! - Every queue, loop, file and wait here has a bound.

pub mod config;
mod hash;
pub mod journal;
mod pattern;
mod policy;
mod secure_path;
mod users;
