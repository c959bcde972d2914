//! `cargo xtask demo`: attacks this machine and a container harmlessly, and shows what the agent detects.

use std::{
    io::Write as _,
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use anyhow::{Context as _, ensure};
use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};

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
    let interrupted = Arc::new(AtomicBool::new(false));
    watch_signals(Arc::clone(&interrupted))?;
    let outcome = sensor_tests::demo::run(&interrupted);
    // What else fails then (the agent may have got the signal, too) is a consequence of it.
    ensure!(
        !interrupted.load(Ordering::Relaxed),
        "interrupted; everything is cleaned up"
    );
    outcome
}

/// Lets the demo clean up when the user ends it.
fn watch_signals(interrupted: Arc<AtomicBool>) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let (mut interrupt, mut terminate) = runtime
        .block_on(async {
            Ok::<_, std::io::Error>((signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?))
        })
        .context("cannot watch for signals")?;
    std::thread::spawn(move || {
        runtime.block_on(async {
            tokio::select! { _ = interrupt.recv() => {}, _ = terminate.recv() => {} }
        });
        interrupted.store(true, Ordering::Relaxed);
    });
    Ok(())
}
