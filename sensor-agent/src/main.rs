//! The `sensor` command.

use std::process::ExitCode;

use clap::Parser as _;
use sensor_agent::cli::Cli;

fn main() -> ExitCode {
    Cli::parse().run().into()
}
