//! What the end-to-end tests, the demo and the benchmarks share.
//!
//! Everything here works on the real thing: the agent's own binary, this kernel, real processes and
//! containers, and a gRPC client that knows only the published interface.

pub mod bench;
pub mod binary;
pub mod bpf;
pub mod cgroup;
pub mod client;
pub mod container;
pub mod cri;
pub mod demo;
pub mod engine;
pub mod fault;
pub mod helper;
pub mod interrupt;
pub mod kubernetes;
pub mod lock;
pub mod report;
pub mod scrape;
pub mod sensor;
pub mod values;
pub mod wait;
pub mod watch;
