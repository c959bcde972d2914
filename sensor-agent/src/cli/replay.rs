//! `sensor replay`: rules over a recording.

mod lines;
mod summary;

use std::{
    io::{self, IsTerminal as _},
    path::PathBuf,
    sync::Arc,
    time::Instant,
};

use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};
use sensor_rules::{diagnostic::Style, engine::RuleSet};

use self::lines::Lines;
use super::{
    Exit,
    args::{ConfigArgs, RunArgs},
    colour_errors,
    config::fail_to_load,
    fail, may_colour, say,
};
use crate::{
    recording::{
        header::{Header, HeaderError},
        reader::Reader,
    },
    replay::Replay,
    rules,
    sink::{Encoder, Format},
};

/// Arguments of `sensor replay`.
#[derive(Debug, Clone, Args)]
#[command(after_long_help = "\
Runs rules over what `sensor record` has written, with the code that runs live: with the same rules it finds what was found
then. Detections go to standard output as `sensor run` writes them; their ids are derived from the recording, so that two
replays are the same byte for byte. How long things took then is kept: nothing waits for a clock now.

The summary, on standard error, tells for each rule how many events it was tested for, how many it matched, and what
testing it has cost. A part that rules share costs the first of them alone.

Examples:
  sensor replay incident.rec
  sensor replay incident.rec --rules ./new-rule.yaml --format text
  sensor replay incident.rec --rules ./rules --summary json >detections.jsonl 2>summary.json

Exit codes:
  0  all of it was replayed
  1  it cannot be read, or standard output cannot be written
  2  wrong usage, configuration or rule; no recording, or one of another version
  4  it is cut or damaged: what came before was replayed, and the place is named")]
pub struct ReplayArgs {
    /// The recording
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// A rule file or a folder of them, instead of rules.files; may be repeated
    #[arg(short, long, value_name = "PATH")]
    rules: Vec<PathBuf>,
    /// How detections are written
    #[arg(long, value_enum, default_value_t = Format::Json)]
    format: Format,
    /// How the summary is written
    #[arg(long, value_enum, default_value_t)]
    summary: SummaryFormat,
    /// Measure no costs: as fast as it goes
    #[arg(long)]
    no_cost: bool,
    /// Where the configuration comes from; of it, the keys below `rules` count
    #[command(flatten)]
    config: ConfigArgs,
}

/// How the summary is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
enum SummaryFormat {
    /// A table
    #[default]
    Text,
    /// One JSON object
    Json,
    /// Not at all; no cost is measured then
    None,
}

pub(super) fn run(args: &ReplayArgs) -> Exit {
    replay(args).unwrap_or_else(|exit| exit)
}

fn replay(args: &ReplayArgs) -> Result<Exit, Exit> {
    let rules = Arc::new(load_rules(args)?);
    let (mut reader, len) = Reader::open(&args.file).map_err(|error| {
        let exit = match error {
            HeaderError::Io(_) => Exit::Failed,
            _ => Exit::Wrong,
        };
        fail(exit, &format_args!("{} {error}", args.file.display()))
    })?;
    let header = reader.header().clone();
    warn_of_unseen(&header, &rules);
    let bar = progress(len);
    let colour = args.format == Format::Text && may_colour(&io::stdout());
    let encoder = Encoder::new(args.format, colour, header.hostname.as_str());
    let (lines, state) = Lines::new(encoder, bar.clone());
    let with_costs = args.summary != SummaryFormat::None && !args.no_cost;
    let begin = Instant::now();
    let mut replay = Replay::new(&header, Arc::clone(&rules), Box::new(lines), with_costs)
        .map_err(|error| fail(Exit::Failed, &error))?;
    let done = replay.run(&mut reader, |position| {
        bar.set_position(position);
        state.can_be_written()
    });
    let told = replay.finish();
    let elapsed = begin.elapsed();
    bar.finish_and_clear();
    state.finish().map_err(|error| {
        fail(
            Exit::Failed,
            &format_args!("cannot write to standard output: {error}"),
        )
    })?;
    match args.summary {
        SummaryFormat::Text => say(&summary::text(&header, &rules, &told, elapsed)),
        SummaryFormat::Json => say(&summary::json(&header, &rules, &told, elapsed)),
        SummaryFormat::None => {}
    }
    match done {
        Ok(()) => Ok(Exit::Done),
        Err(fault) => Err(fail(
            Exit::Damaged,
            &format_args!(
                "{} is damaged {fault}; what came before was replayed",
                args.file.display()
            ),
        )),
    }
}

fn load_rules(args: &ReplayArgs) -> Result<RuleSet, Exit> {
    let with_rules = RunArgs {
        config: args.config.clone(),
        rules: args.rules.clone(),
    };
    let loaded = with_rules.load().map_err(|error| fail_to_load(&error))?;
    let style = if colour_errors() {
        Style::Color
    } else {
        Style::Plain
    };
    let rules = rules::load(&loaded.config.rules, style).map_err(|error| fail(Exit::Wrong, &error))?;
    for warning in &rules.warnings {
        say(warning);
    }
    Ok(rules.set)
}

/// Names the rules that cannot match here, because nothing that they look at was recorded.
fn warn_of_unseen(header: &Header, rules: &RuleSet) {
    let is_recorded = |name: &str| header.events.iter().any(|event| event == name);
    let unseen: Vec<&str> = rules
        .rules_and_types()
        .filter(|(_, types)| !types.iter().any(|event_type| is_recorded(event_type.name())))
        .map(|(rule, _)| &*rule.name)
        .collect();
    if !unseen.is_empty() {
        say(&format_args!(
            "warning: {} rules look at events that were not recorded: {}",
            unseen.len(),
            unseen.join(", ")
        ));
    }
    for sentence in &header.degraded {
        say(&format_args!(
            "warning: where this was recorded, {}",
            super::clean(sentence)
        ));
    }
}

/// How far the file has been read, on a terminal only.
fn progress(len: u64) -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let template = "{wide_bar} {bytes} of {total_bytes}, {bytes_per_sec}, {eta}";
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(len).with_style(style)
}
