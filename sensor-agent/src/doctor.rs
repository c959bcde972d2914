//! `sensor doctor`: what works here, what does not, and what is lost by it.
//!
//! Every hook is judged by loading and attaching it, never by the kernel's version.

mod checks;
mod show;

use clap::Args;

use crate::{
    cli::{Exit, args::ConfigArgs},
    sink::Format,
};

/// Arguments of `sensor doctor`.
#[derive(Debug, Clone, Args)]
#[command(after_long_help = "\
Exit codes:
  0  the sensor can run here, with what is said to be lost, if anything
  2  the configuration is wrong
  3  the sensor cannot run here

Examples:
  sensor doctor
  sensor doctor --format json | jq '.checks[] | select(.state != \"ok\")'")]
pub struct DoctorArgs {
    /// Where the configuration comes from.
    #[command(flatten)]
    pub config: ConfigArgs,
    /// How the result is written
    #[arg(long, value_enum, default_value = "text")]
    pub format: Format,
}

/// How a check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum CheckState {
    /// As it should be.
    Ok,
    /// Nothing to judge: a fact worth knowing.
    Info,
    /// The sensor runs, but something is lost.
    Degraded,
    /// The sensor cannot run.
    Failed,
}

/// One thing that was looked at.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Check {
    /// What kind of thing: `permission`, `kernel`, `hook`, `field`, `runtime`.
    pub area: &'static str,
    /// Which.
    pub name: String,
    /// How it ended.
    pub state: CheckState,
    /// What was found.
    pub found: String,
    /// What does not work for want of it; empty where nothing is lost.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub lost: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub help: String,
}

impl Check {
    fn new(area: &'static str, name: impl Into<String>, state: CheckState, found: impl Into<String>) -> Self {
        Self {
            area,
            name: name.into(),
            state,
            found: found.into(),
            lost: String::new(),
            help: String::new(),
        }
    }

    fn losing(mut self, lost: impl Into<String>) -> Self {
        self.lost = lost.into();
        self
    }

    fn helped_by(mut self, help: impl Into<String>) -> Self {
        self.help = help.into();
        self
    }
}

/// Looks at everything and says what was found.
#[must_use]
pub fn run(args: &DoctorArgs) -> Exit {
    let config = match args.config.load() {
        Ok(loaded) => loaded.config,
        Err(error) => return crate::cli::fail(Exit::Wrong, &error),
    };
    let checks = checks::all(&config);
    let text = match args.format {
        Format::Text => show::text(&checks, crate::cli::may_colour(&std::io::stdout())),
        Format::Json => show::json(&checks),
    };
    match crate::cli::print(&text) {
        Exit::Done if checks.iter().any(|check| check.state == CheckState::Failed) => Exit::CannotRunHere,
        exit => exit,
    }
}
