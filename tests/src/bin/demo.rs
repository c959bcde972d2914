//! `cargo xtask demo`: attacks this machine and a container harmlessly, and shows what the agent detects.

use std::{io::Write as _, process::ExitCode};

use clap::Parser;
use sensor_tests::{demo, interrupt};

/// Attack this machine and a container harmlessly, and show what the agent detects.
///
/// Starts the agent with the rules of rules/, a container, and a service with a hole in each place; lets an attacker use
/// the holes; prints each detection as it arrives over gRPC, and how long it took. One attack tampers with a file in a
/// container's mount, and the agent puts it back. Ends everything that it started and removes what it made.
#[derive(Debug, Parser)]
#[command(
    name = "demo",
    after_long_help = "\
Needs root, runc, busybox-static and a C compiler; the agent is SENSOR_BIN, or beside this program.

Exit codes:
  0  every attack was detected, and the file was put back
  1  something was missed, or the demo cannot run here"
)]
struct Arguments {}

fn main() -> ExitCode {
    Arguments::parse();
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> anyhow::Result<bool> {
    interrupt::watch()?;
    interrupt::or_interrupted(demo::run())
}
