//! Running a command as root.

use std::fs;
use std::io::{IsTerminal, stdin};
use std::os::unix::fs::MetadataExt;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::process;

/// A command that runs as root: directly when we are root, through sudo otherwise.
///
/// `why` completes the sentence "root is needed to …". Environment variables for the program must be given
/// in `environment`, since sudo drops the others.
pub(crate) fn command(program: &str, why: &str, environment: &[(&str, &str)]) -> Result<Command> {
    if is_root()? {
        let mut command = Command::new(program);
        command.envs(environment.iter().copied());
        return Ok(command);
    }
    if process::find("sudo").is_none() {
        bail!("root is needed to {why}, and there is no sudo here: run this command as root");
    }
    let mut command = Command::new("sudo");
    if !stdin().is_terminal() {
        // Nobody is there to type a password: fail at once rather than wait.
        command.arg("--non-interactive");
    }
    command
        .arg("--")
        .arg("env")
        .args(environment.iter().map(|(name, value)| format!("{name}={value}")));
    command.arg(program);
    Ok(command)
}

/// Whether this process runs as root.
fn is_root() -> Result<bool> {
    let own = fs::metadata("/proc/self").context("cannot read /proc/self: is /proc mounted?")?;
    Ok(own.uid() == 0)
}
