//! The command line.
//!
//! Every command ends with one of the codes of [`Exit`]. What a command prints as its result goes
//! to standard output; everything else goes to standard error.

pub mod args;
mod config;
mod connect;
mod fields;
mod inventory;
pub(crate) mod record;
pub(crate) mod replay;
mod rules;
mod status;
mod table;
mod watch;

use std::io::{self, IsTerminal as _, Write as _};
use std::process::ExitCode;

use clap::{Parser, Subcommand};

pub use connect::{ConnectArgs, ConnectError};

/// A runtime threat sensor for containers and hosts.
///
/// `sensor` watches a Linux host from inside the kernel, recognises attacks by rules in the Falco language, and tells people
/// about them over gRPC, as JSON lines, or by running hooks.
#[derive(Debug, Parser)]
#[command(name = "sensor", version, propagate_version = true, max_term_width = 110, after_long_help = HELP_END)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What can be done.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Watch this machine
    Run(args::RunArgs),
    /// Record what happens on this machine, to run rules over it later
    Record(record::RecordArgs),
    /// Run rules over a recording
    Replay(replay::ReplayArgs),
    /// Show detections as they are made
    Watch(watch::WatchArgs),
    /// Show what a running sensor is doing, and how well
    Status(status::StatusArgs),
    /// Show what workloads were seen to do: programs, ports, peers, folders
    Inventory(inventory::InventoryArgs),
    /// Say what works on this machine, and what is lost
    Doctor(crate::doctor::DoctorArgs),
    /// Check a configuration, or show what can be configured
    Config(config::ConfigArgs),
    /// Check, list, show, explain, test and format rules
    Rules(rules::RulesArgs),
    /// List the fields that rules may name
    Fields(fields::FieldsArgs),
    /// Print the version
    Version,
    /// Do what the self-test asks for: the agent starts this
    #[command(hide = true)]
    Canary {
        /// What tells this canary from others
        nonce: String,
    },
}

const HELP_END: &str = "\
Exit codes:
  0  done
  1  something failed while running, or a test of a rule failed
  2  wrong usage, configuration, rule or filter
  3  cannot run here: permissions or kernel
  4  a recording is cut or damaged; it was replayed up to there";

/// How a command ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Done.
    Done,
    /// Something failed while running.
    Failed,
    /// Wrong usage, configuration, rule or filter.
    Wrong,
    /// Permissions or the kernel do not allow it.
    CannotRunHere,
    /// A recording is cut or damaged.
    Damaged,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Done => 0,
            Exit::Failed => 1,
            Exit::Wrong => 2,
            Exit::CannotRunHere => 3,
            Exit::Damaged => 4,
        })
    }
}

impl Cli {
    /// Does what the command line says.
    #[must_use]
    pub fn run(self) -> Exit {
        match self.command {
            Command::Run(args) => crate::run::run(&args),
            Command::Record(args) => crate::run::record::record(&args),
            Command::Replay(args) => replay::run(&args),
            Command::Watch(args) => watch::run(&args),
            Command::Status(args) => status::run(&args),
            Command::Inventory(args) => inventory::run(&args),
            Command::Doctor(args) => crate::doctor::run(&args),
            Command::Config(args) => config::run(&args),
            Command::Rules(args) => rules::run(&args),
            Command::Fields(args) => fields::run(&args),
            Command::Canary { nonce } => crate::selftest::canary::perform(&nonce),
            Command::Version => print(concat!("sensor ", env!("CARGO_PKG_VERSION"), "\n")),
        }
    }
}

/// Writes a command's result. A reader that has gone away, as in `sensor ... | head`, is no failure.
pub(crate) fn print(text: &str) -> Exit {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Ok(()) => Exit::Done,
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Exit::Done,
        Err(error) => fail(
            Exit::Failed,
            &format_args!("cannot write to standard output: {error}"),
        ),
    }
}

/// Says on standard error why a command ends, and returns `exit`.
pub(crate) fn fail(exit: Exit, why: &dyn std::fmt::Display) -> Exit {
    let why = why.to_string();
    // Annotated source text has its own heading.
    let heading = if why.starts_with("error") { "" } else { "error: " };
    say(&format_args!("{heading}{why}"));
    exit
}

/// Writes one line to standard error; should that be closed, nobody is there to be told.
pub(crate) fn say(line: &dyn std::fmt::Display) {
    let _nobody_reads = writeln!(io::stderr().lock(), "{line}");
}

/// Text of others without control characters, which could steer a terminal; line breaks stay.
pub(crate) fn clean(text: &str) -> String {
    text.replace(|char: char| char.is_control() && char != '\n', "\u{fffd}")
}

/// The same for one line: names are chosen by whoever we watch.
pub(crate) fn one_line(text: &str) -> String {
    text.replace(char::is_control, "\u{fffd}")
}

/// Whether output may be coloured: on a terminal, unless the user has set `NO_COLOR`.
pub(crate) fn may_colour(terminal: &impl io::IsTerminal) -> bool {
    terminal.is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Runs a future to its end in this thread.
pub(crate) fn block_on(future: impl Future<Output = Exit>) -> Exit {
    match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(future),
        Err(error) => fail(Exit::Failed, &format_args!("cannot start: {error}")),
    }
}

/// Whether standard error is a terminal that may be coloured.
pub(crate) fn colour_errors() -> bool {
    may_colour(&io::stderr()) && io::stderr().is_terminal()
}
