//! The kernel side: what it has, loading, attaching, reading.
//!
//! Invariant: this is the only place that knows aya.

pub mod attach;
mod bpf;
pub mod btf;
pub mod counters;
mod direct;
pub mod enforce;
pub mod fields;
pub mod filter;
mod inspect;
pub mod integrity;
mod io_uring;
pub mod load;
pub mod memory;
pub mod ring;
pub mod sockets;
mod tasks;
