//! Ending early, by the way that cleans up: containers, cgroups, switches of the kernel.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use anyhow::{Context as _, ensure};
use tokio::signal::unix::{SignalKind, signal};

/// A signal is for the whole process, so this is, too.
static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// From now on, SIGINT and SIGTERM only make [`check`] fail.
pub fn watch() -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let signals = runtime.block_on(async {
        Ok::<_, std::io::Error>((signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?))
    });
    let (mut interrupt, mut terminate) = signals.context("cannot watch for signals")?;
    thread::spawn(move || {
        runtime.block_on(async {
            tokio::select! { _ = interrupt.recv() => {}, _ = terminate.recv() => {} }
        });
        INTERRUPTED.store(true, Ordering::Relaxed);
    });
    Ok(())
}

/// An error once the user wants to go.
pub fn check() -> anyhow::Result<()> {
    ensure!(
        !INTERRUPTED.load(Ordering::Relaxed),
        "interrupted; everything is cleaned up"
    );
    Ok(())
}

/// What `work` ends with; of an interruption, only that: what else fails then is a consequence of it, because the
/// agent may have got the signal, too.
pub fn or_interrupted<T>(work: anyhow::Result<T>) -> anyhow::Result<T> {
    check()?;
    work
}
