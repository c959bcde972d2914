//! What the sensor says of processes, files, connections and containers, held against what really happened.
//!
//! One agent serves all tests of this program, with one rule for each kind of event that prints every field.
//! Each test looks for events of its own processes only, so tests run side by side.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a panic is how a test reports"
)]

mod agent;
mod calls;
mod compat;
mod container;
mod denied;
mod exec;
mod lineage;
mod network;
mod open;
mod path;
mod ptrace;
