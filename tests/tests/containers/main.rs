//! Whose container it was, held against real engines: Docker, Podman, containerd, two of them at once.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a panic is how a test reports"
)]

mod agent;
mod churn;
mod engines;
mod environment;
mod evasion;
mod inventory;
mod pods;
mod programs;
mod sockets;
mod users;
