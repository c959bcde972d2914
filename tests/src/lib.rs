//! What the end-to-end tests, the demo and the benchmarks share.
//!
//! Everything here works on the real thing: the agent's own binary, this kernel, real processes and
//! containers, and a gRPC client that knows only the published interface.

pub mod binary;
pub mod client;
pub mod container;
pub mod sensor;
pub mod wait;
