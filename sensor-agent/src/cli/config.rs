//! `sensor config`: checks a configuration, or shows what can be configured.

use std::path::PathBuf;

use clap::Args;

use super::{Exit, colour_errors, fail, print, say};
use crate::config::{self, LoadError, schema};

/// Arguments of `sensor config`.
#[derive(Debug, Clone, Args)]
#[command(after_long_help = "\
Examples:
  sensor config --print-default > /etc/sensor/sensor.yaml
  sensor config --check /etc/sensor/sensor.yaml
  sensor config --schema > sensor.schema.json

Exit codes:
  0  done; with --check: nothing is wrong
  1  the file cannot be read
  2  something is wrong with the configuration")]
#[group(required = true, multiple = false)]
pub struct ConfigArgs {
    /// Print every key with its description and its default
    #[arg(long)]
    print_default: bool,
    /// Say everything that is wrong with a file and the SENSOR_ variables
    #[arg(long, value_name = "FILE")]
    check: Option<PathBuf>,
    /// Print the JSON schema of the file, for editors
    #[arg(long)]
    schema: bool,
}

pub(super) fn run(args: &ConfigArgs) -> Exit {
    if let Some(path) = &args.check {
        return match config::load(Some(path), std::env::vars_os(), &[]) {
            Ok(loaded) => {
                for warning in &loaded.warnings {
                    say(&format_args!("warning: {warning}"));
                }
                print(&format!("{}: ok\n", path.display()))
            }
            Err(error) => fail_to_load(&error),
        };
    }
    if args.schema {
        return match schema::json() {
            Ok(text) => print(&format!("{text}\n")),
            Err(error) => fail(Exit::Failed, &error),
        };
    }
    print(&schema::example())
}

/// Says why there is no configuration.
pub(crate) fn fail_to_load(error: &LoadError) -> Exit {
    match error {
        LoadError::Invalid(errors) => {
            say(&errors.render(colour_errors()));
            let things = if errors.count() == 1 {
                "thing is"
            } else {
                "things are"
            };
            fail(
                Exit::Wrong,
                &format_args!("{} {things} wrong with the configuration", errors.count()),
            )
        }
        LoadError::Read { .. } => fail(Exit::Failed, error),
        LoadError::NoConfiguration { .. } => fail(Exit::Wrong, error),
    }
}
