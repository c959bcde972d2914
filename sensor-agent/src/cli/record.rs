//! Arguments of `sensor record`.

use std::{path::PathBuf, time::Duration};

use clap::{Args, ValueEnum};

use super::args::{ConfigArgs, RunArgs};
use crate::recording::writer::SIZE_BYTES_MIN;

/// Arguments of `sensor record`.
#[derive(Debug, Clone, Args)]
#[command(after_long_help = "\
Records what the kernel reports and what became known of containers, users and pods meanwhile: inputs, no results. `sensor
replay` runs rules over it, with the code that runs live, as often as you like and with rules that you write later.

It is a sensor of its own beside a daemon that may run: no server listens, no hook runs, nothing is denied. By default all
kinds of events are recorded, and none is left out in the kernel, which costs more than a daemon does. Command lines and
file names are in the file, which only its owner may read.

Examples:
  sensor record -w incident.rec
  sensor record -w minute.rec --duration 1m --max-size 100M
  sensor record -w mine.rec --rules ./my-rules.yaml --events rules
  sensor replay minute.rec --rules ./my-rules.yaml

Signals:
  SIGTERM, SIGINT  stop: detach, write what is left and the mark of the end, exit with 0
  SIGHUP           nothing: rules are not read anew while they are used for a recording

Exit codes:
  0  recorded: stopped by a signal, after --duration, or at --max-size
  1  something failed while running; the file can be replayed up to there
  2  wrong usage, configuration or rule, or the file is there already
  3  cannot run here: permissions or kernel; `sensor doctor` says what is missing")]
pub struct RecordArgs {
    /// The file; it must not be there yet
    #[arg(short, long, value_name = "FILE")]
    pub write: PathBuf,
    /// Stop after this time, such as 30s, 5m, 1h
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub duration: Option<Duration>,
    /// Stop when the file has this size, such as 100M or 4G
    #[arg(long, value_name = "SIZE", value_parser = size, default_value = "1G")]
    pub max_size: u64,
    /// Also match these rules, and write detections to standard output; a file or a folder; may be repeated
    #[arg(short, long, value_name = "PATH")]
    pub rules: Vec<PathBuf>,
    /// What is recorded
    #[arg(long, value_enum, default_value_t)]
    pub events: Events,
    /// Where the configuration comes from.
    #[command(flatten)]
    pub config: ConfigArgs,
}

/// What is recorded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Events {
    /// All kinds, whatever the rules need
    #[default]
    All,
    /// What the rules given with --rules need, and processes
    Rules,
}

impl RecordArgs {
    /// As arguments of `sensor run`.
    pub(crate) fn as_run(&self) -> RunArgs {
        RunArgs {
            config: self.config.clone(),
            rules: self.rules.clone(),
        }
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    let help = || format!("`{text}` is no time: use 30s, 5m or 1h");
    let unit = text
        .find(|char: char| !char.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(unit);
    let number: u64 = number.parse().map_err(|_| help())?;
    let seconds = match unit {
        "" | "s" => Some(number),
        "m" => number.checked_mul(60),
        "h" => number.checked_mul(3600),
        _ => None,
    };
    match seconds {
        Some(0) => Err("the time must be longer than nothing".into()),
        Some(seconds) => Ok(Duration::from_secs(seconds)),
        None => Err(help()),
    }
}

fn size(text: &str) -> Result<u64, String> {
    let help = || format!("`{text}` is no size: use bytes, or 100K, 100M, 4G");
    let unit = text
        .find(|char: char| !char.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(unit);
    let number: u64 = number.parse().map_err(|_| help())?;
    let factor = match unit {
        "" => 1,
        "K" => 1 << 10,
        "M" => 1 << 20,
        "G" => 1 << 30,
        _ => return Err(help()),
    };
    let bytes = number.checked_mul(factor).ok_or_else(help)?;
    if bytes < SIZE_BYTES_MIN {
        return Err(format!(
            "the least is {}M: what runs already is written first",
            SIZE_BYTES_MIN >> 20
        ));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_sizes_are_read() {
        let seconds = |text| duration(text).ok().map(|time| time.as_secs());
        let times = [
            ("5", Some(5)),
            ("30s", Some(30)),
            ("2m", Some(120)),
            ("1h", Some(3600)),
            ("0", None),
            ("", None),
            ("m", None),
            ("1d", None),
            ("18446744073709551615h", None),
        ];
        for (text, expected) in times {
            assert_eq!(seconds(text), expected, "{text}");
        }
        let sizes = [
            ("1048576", Some(1 << 20)),
            ("2048K", Some(2 << 20)),
            ("3M", Some(3 << 20)),
            ("4G", Some(4 << 30)),
            ("1K", None),
            ("1T", None),
            ("18446744073709551615G", None),
        ];
        for (text, expected) in sizes {
            assert_eq!(size(text).ok(), expected, "{text}");
        }
    }
}
