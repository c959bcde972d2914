//! Arguments that several commands share.

use std::path::PathBuf;

use clap::Args;

use crate::config::{self, LoadError, Loaded, Override};

/// Where the configuration comes from.
#[derive(Debug, Clone, Default, Args)]
pub struct ConfigArgs {
    /// The configuration file [default: /etc/sensor/sensor.yaml, if it exists]
    #[arg(short, long, value_name = "FILE", env = "SENSOR_CONFIG")]
    pub config: Option<PathBuf>,
    /// Set one key of the configuration, such as `grpc.queue_items_max=8192`; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = Override::from_flag)]
    pub overrides: Vec<Override>,
}

impl ConfigArgs {
    /// Reads the configuration: the file, the environment over it, the flags over both.
    ///
    /// # Errors
    /// As [`config::load`].
    pub fn load(&self) -> Result<Loaded, LoadError> {
        config::load(self.config.as_deref(), std::env::vars_os(), &self.overrides)
    }
}

/// Arguments of `sensor run`.
#[derive(Debug, Clone, Default, Args)]
#[command(after_long_help = "\
Examples:
  sensor run
  sensor run --config ./sensor.yaml --rules ./my-rules.yaml
  sensor run --set grpc.socket=/tmp/sensor.sock --set stdout.format=text

Signals:
  SIGTERM, SIGINT  stop: detach, hand out what was detected, exit with 0
  SIGHUP           read the rules anew; with errors in them the former ones stay in use
  SIGUSR1          open output files anew, for log rotation

Exit codes:
  0  stopped by a signal
  1  something failed while running
  2  wrong usage, configuration or rule
  3  cannot run here: permissions or kernel; `sensor doctor` says what is missing")]
pub struct RunArgs {
    /// Where the configuration comes from.
    #[command(flatten)]
    pub config: ConfigArgs,
    /// A rule file or a folder of them, instead of rules.files; may be repeated
    #[arg(short, long, value_name = "PATH")]
    pub rules: Vec<PathBuf>,
}

impl RunArgs {
    /// Reads the configuration with the flags of this command over it.
    ///
    /// # Errors
    /// As [`config::load`].
    pub fn load(&self) -> Result<Loaded, LoadError> {
        let mut loaded = self.config.load()?;
        if !self.rules.is_empty() {
            loaded.config.rules.files.clone_from(&self.rules);
        }
        Ok(loaded)
    }
}
