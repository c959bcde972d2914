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

use crate::hub::Item;
pub use names::{mode_name, outcome_name, parse_priority, priority_name};

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

    /// Appends the item as one line, with its newline, to `line`.
    pub fn encode(&self, item: &Item, line: &mut Vec<u8>) {
        written(match self.format {
            Format::Json => json::write(item, &self.hostname, line),
            Format::Text => text::write(item, self.colour, line),
        });
        line.push(b'\n');
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
