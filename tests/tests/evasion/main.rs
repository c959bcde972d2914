//! The ways past a sensor, each named by its id in the catalogue of `docs/evasion.md`: the real technique, on this
//! kernel, and the detection that it must lead to.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a panic is how a test reports"
)]

mod agent;
mod catalogue;
mod containers;
mod escapes;
mod io_uring;
mod names;
mod network;
mod powers;
mod races;
mod sockets;
mod starts;
mod tied;
mod tricks;
mod watch;
