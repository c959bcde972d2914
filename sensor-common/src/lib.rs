//! What the eBPF programs and the agent agree on: the record that crosses the boundary, the kinds of
//! event, the counters, the bounds, and the kernel fields whose offsets the agent looks up.
//!
//! Invariant: no `std`, no allocation, no policy. A change of any layout here bumps [`LAYOUT_VERSION`].
#![no_std]
#![forbid(unsafe_code)]

pub mod counters;
pub mod enforce;
pub mod filter;
pub mod hook;
pub mod kernel_fields;
pub mod kind;
pub mod limits;
pub mod record;
pub mod syscall;

/// Written into every record; the decoder refuses any other.
pub const LAYOUT_VERSION: u8 = 3;
