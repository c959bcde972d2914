//! The head of a recording: what was recorded, where, and by which sensor.

use std::io::{self, Read, Write};

use sensor_common::LAYOUT_VERSION;
use serde::{Deserialize, Serialize};

use super::FORMAT_VERSION;
use crate::{
    clock::Clock,
    state::{StateLimits, programs::When},
};

/// The first bytes of a recording. The first of all is no text, the last shows a transfer that changed line ends.
pub const MAGIC: [u8; 8] = *b"\x89SENSOR\n";

/// Longest header, in bytes.
const HEADER_BYTES_MAX: u32 = 256 << 10;

/// More than this many processes or cgroups in the tables are a fault of the file: no configuration allows them.
const TABLE_MAX: usize = 1 << 22;

/// What all of a recording shares.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// Tells one recording from all others: 32 hexadecimal digits.
    pub id: String,
    /// The version of the sensor that recorded.
    pub sensor: String,
    /// The layout of the records.
    pub layout: u8,
    /// The kernel's release.
    pub kernel: String,
    /// The machine's architecture.
    pub machine: String,
    /// The name that detections carry.
    pub hostname: String,
    /// When the sensor started, in nanoseconds after boot.
    pub start_ns: u64,
    /// From then to the calendar's time, in nanoseconds.
    pub clock_offset_ns: i64,
    /// Falco's names of the event types that were recorded.
    pub events: Vec<String>,
    /// What could not be seen there, as sentences.
    pub degraded: Vec<String>,
    /// Bounds of the tables.
    pub processes_max: usize,
    /// How long an ended process is remembered, in nanoseconds.
    pub exited_keep_ns: u64,
    /// Bound of cgroups, containers, pods.
    pub cgroups_max: usize,
    /// How long records wait for facts of their container, in nanoseconds.
    pub facts_wait_ns: u64,
    /// When program files are looked at.
    #[serde(default)]
    pub programs: When,
}

/// Why a file is not taken for a recording.
#[derive(Debug, thiserror::Error)]
pub enum HeaderError {
    /// It cannot be read.
    #[error("cannot be read: {0}")]
    Io(#[from] io::Error),
    /// It begins with other bytes.
    #[error("is no recording of a sensor: it does not begin with its mark")]
    Magic,
    /// It ends within its header.
    #[error("is cut: it ends within its header")]
    Short,
    /// It is of a later sensor.
    #[error(
        "has format {found}, and this sensor ({own}) reads {FORMAT_VERSION}: it was recorded by sensor {by}; use that version or a later one"
    )]
    Newer {
        /// The format.
        found: u32,
        /// The version of the sensor that recorded, where it can be told.
        by: String,
        /// This sensor's version.
        own: &'static str,
    },
    /// Its records are laid out otherwise.
    #[error(
        "has records of layout {found}, and this sensor ({own}) reads {LAYOUT_VERSION}: it was recorded by sensor {by}; use that version"
    )]
    Layout {
        /// The layout.
        found: u8,
        /// The version of the sensor that recorded.
        by: String,
        /// This sensor's version.
        own: &'static str,
    },
    /// The sum is wrong or what it says makes no sense.
    #[error("has a damaged header: {0}")]
    Damaged(String),
}

impl Header {
    /// The recording's id.
    #[must_use]
    pub fn id_bytes(&self) -> [u8; 16] {
        u128::from_str_radix(&self.id, 16).unwrap_or(0).to_be_bytes()
    }

    /// Bounds of the tables.
    #[must_use]
    pub fn limits(&self) -> StateLimits {
        StateLimits {
            processes_max: self.processes_max,
            exited_keep_ns: self.exited_keep_ns,
            cgroups_max: self.cgroups_max,
        }
    }

    /// The clock, as it was at the start.
    #[must_use]
    pub fn clock(&self) -> Clock {
        Clock::from_offset_ns(self.clock_offset_ns)
    }

    /// Writes the head of a file. Returns its bytes.
    pub fn write(&self, file: &mut impl Write) -> io::Result<u64> {
        let text = serde_json::to_vec(self)?;
        let len = u32::try_from(text.len()).map_err(io::Error::other)?;
        let mut bytes = Vec::with_capacity(text.len() + 20);
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&FORMAT_VERSION.to_le_bytes());
        bytes.extend_from_slice(&len.to_le_bytes());
        bytes.extend_from_slice(&text);
        let sum = crc32fast::hash(&bytes);
        bytes.extend_from_slice(&sum.to_le_bytes());
        file.write_all(&bytes)?;
        Ok(bytes.len() as u64)
    }

    /// Reads the head of a file. Returns its bytes too.
    pub fn read(file: &mut impl Read) -> Result<(Self, u64), HeaderError> {
        let mut bytes = vec![0; 16];
        match file.read_exact(&mut bytes[..8]) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Err(HeaderError::Magic),
            read => read?,
        }
        if bytes[..8] != MAGIC {
            return Err(HeaderError::Magic);
        }
        exact(file, &mut bytes[8..])?;
        let number = |at: usize| u32::from_le_bytes(std::array::from_fn(|index| bytes[at + index]));
        let (version, len) = (number(8), number(12));
        if len > HEADER_BYTES_MAX {
            return Err(damaged(version, &[], "it is too long"));
        }
        bytes.resize(16 + len as usize + 4, 0);
        exact(file, &mut bytes[16..])?;
        let (covered, sum) = bytes.split_at(bytes.len() - 4);
        let text = &covered[16..];
        if version != FORMAT_VERSION {
            return Err(damaged(version, text, ""));
        }
        if crc32fast::hash(covered).to_le_bytes() != *sum {
            return Err(damaged(version, text, "its sum is wrong"));
        }
        let header: Self =
            serde_json::from_slice(text).map_err(|error| damaged(version, text, &error.to_string()))?;
        if header.layout != LAYOUT_VERSION {
            return Err(HeaderError::Layout {
                found: header.layout,
                by: header.sensor,
                own: env!("CARGO_PKG_VERSION"),
            });
        }
        if header.id.len() != 32 || u128::from_str_radix(&header.id, 16).is_err() {
            return Err(damaged(version, text, "its id is none"));
        }
        if header.processes_max > TABLE_MAX || header.cgroups_max > TABLE_MAX {
            return Err(damaged(version, text, "its tables are larger than any sensor's"));
        }
        let len = bytes.len() as u64;
        Ok((header, len))
    }
}

/// The fault of a header; where its version is another, that.
fn damaged(version: u32, text: &[u8], what: &str) -> HeaderError {
    if version > FORMAT_VERSION {
        let value: serde_json::Value = serde_json::from_slice(text).unwrap_or_default();
        let by = value["sensor"].as_str().unwrap_or("of an unknown version");
        return HeaderError::Newer {
            found: version,
            by: by.chars().filter(|char| !char.is_control()).take(40).collect(),
            own: env!("CARGO_PKG_VERSION"),
        };
    }
    HeaderError::Damaged(if version < FORMAT_VERSION {
        format!("there is no format {version}")
    } else {
        what.to_owned()
    })
}

fn exact(file: &mut impl Read, bytes: &mut [u8]) -> Result<(), HeaderError> {
    file.read_exact(bytes).map_err(|error| match error.kind() {
        io::ErrorKind::UnexpectedEof => HeaderError::Short,
        _ => HeaderError::Io(error),
    })
}
