//! How the agent behaves: under load, with bad input, with many readers, when it answers, and when it ends.
//!
//! Each test has an agent of its own and the machine to itself.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a panic is how a test reports"
)]

mod bad_input;
mod balance;
mod cost;
mod enforce;
mod filter;
mod needle;
mod output;
mod pressure;
mod python;
mod record;
mod reload;
mod respond;
mod rights;
mod selftest;
mod shutdown;
mod stream;

use std::process::{Child, Command, Stdio};

use sensor_tests::{
    lock::{self, Claim},
    report,
};

/// Processes that are ended with the test.
struct Ended(Vec<Child>);

impl Drop for Ended {
    fn drop(&mut self) {
        for child in &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// The machine, for this test alone; `None` without root, which is said.
fn machine() -> Option<Claim> {
    if !rustix::process::geteuid().is_root() {
        report::skip("not root");
        return None;
    }
    Some(lock::alone().unwrap())
}

/// Runs `/usr/bin/true` with arguments that a rule can know it by: its process id.
fn run_true(arguments: &[&str]) -> u32 {
    let mut child = Command::new("/usr/bin/true")
        .args(arguments)
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
    assert!(child.wait().unwrap().success());
    child.id()
}
