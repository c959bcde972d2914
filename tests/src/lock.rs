//! Tests that load programs into one kernel: who may run beside whom.
//!
//! Hooks are machine-wide. A test that floods the kernel with events disturbs every other agent, so it takes
//! the machine alone; tests that look at their own events only share it.

use std::{fs::File, os::fd::OwnedFd};

use anyhow::Context as _;
use rustix::fs::FlockOperation;

/// A claim on the machine; dropping it gives it back.
#[derive(Debug)]
pub struct Claim(#[expect(dead_code, reason = "the descriptor holds the lock")] OwnedFd);

/// Waits until no test has the machine alone.
pub fn shared() -> anyhow::Result<Claim> {
    claim(FlockOperation::LockShared)
}

/// Waits until no other test has a claim.
pub fn alone() -> anyhow::Result<Claim> {
    claim(FlockOperation::LockExclusive)
}

/// One for the whole machine, whoever built the test; only root can write there, and only root needs it.
const PATH: &str = "/run/sensor-tests.lock";

fn claim(operation: FlockOperation) -> anyhow::Result<Claim> {
    let file = File::create(PATH).context(PATH)?;
    rustix::fs::flock(&file, operation)?;
    Ok(Claim(file.into()))
}
