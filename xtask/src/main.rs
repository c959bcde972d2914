//! Developer tasks: `cargo xtask --help`.
//!
//! One file a command in `command/`; what several of them need lies beside this file. Each
//! command prepares what it depends on, so a newcomer can start with any of them.
#![expect(
    clippy::print_stdout,
    reason = "a command line tool reports on standard output"
)]
#![expect(clippy::print_stderr, reason = "progress and errors go to standard error")]

mod command;
mod ebpf_recipe;
mod oci;
mod process;
mod repo;
mod report;
mod root;
mod rules;
mod step;
mod tally;

use std::process::ExitCode;

use clap::Parser;

use crate::command::Xtask;
use crate::repo::Repo;

fn main() -> ExitCode {
    let command = Xtask::parse();
    match Repo::find().and_then(|repo| command.run(&repo)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
