//! Where detections go besides gRPC: standard output and files, one line each.
//!
//! A sink is a subscriber of the [`Hub`](crate::hub::Hub) with a thread of its own, because a pipe or
//! a disk may block.
//! Invariant: an item is one line, whatever bytes an attacker put into it; see [`escape`].

mod colour;
mod escape;
mod json;
mod names;
mod text;
mod time;
pub mod writer;

use sensor_proto::v1::{Detection, Gap, HookRun, RulesReload};

use crate::hub::Item;
pub use names::{mode_name, outcome_name, parse_priority, priority_name};
pub use writer::{Sinks, Target};

/// How items are written.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize, clap::ValueEnum,
)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// JSON lines with Falco's keys and ours.
    #[default]
    Json,
    /// `TIME: Priority message`.
    Text,
}

/// What one line is about.
#[derive(Debug, Clone, Copy)]
pub enum Line<'a> {
    /// A rule matched an event.
    Detection(&'a Detection),
    /// Something was lost.
    Gap(&'a Gap),
    /// The responder ran a hook.
    HookRun(&'a HookRun),
    /// The rules were read anew.
    RulesReload(&'a RulesReload),
}

impl<'a> From<&'a Item> for Line<'a> {
    fn from(item: &'a Item) -> Self {
        match item {
            Item::Detection(detection) => Self::Detection(detection),
            Item::Gap(gap) => Self::Gap(gap),
            Item::HookRun { run, .. } => Self::HookRun(run),
            Item::RulesReload(reload) => Self::RulesReload(reload),
        }
    }
}

/// Turns items into lines.
#[derive(Debug, Clone)]
pub struct Encoder {
    format: Format,
    /// Colour the text; only sensible on a terminal.
    colour: bool,
    /// For items that do not name the host themselves.
    hostname: String,
}

impl Encoder {
    /// An encoder. `colour` only matters to [`Format::Text`].
    #[must_use]
    pub fn new(format: Format, colour: bool, hostname: impl Into<String>) -> Self {
        Self {
            format,
            colour,
            hostname: hostname.into(),
        }
    }

    /// Appends one line, with its newline, to `text`.
    pub fn encode<'a>(&self, line: impl Into<Line<'a>>, text: &mut Vec<u8>) {
        written(match self.format {
            Format::Json => json::write(line.into(), &self.hostname, text),
            Format::Text => text::write(line.into(), self.colour, text),
        });
        text.push(b'\n');
    }
}

#[expect(
    clippy::expect_used,
    reason = "memory takes every byte, and every key of the JSON is a string"
)]
fn written(result: std::io::Result<()>) {
    result.expect("writing to memory does not fail");
}

#[cfg(test)]
mod tests;
