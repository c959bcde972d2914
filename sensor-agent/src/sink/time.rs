//! Times as Falco writes them: UTC, always with nine digits of a second.

use std::fmt::{self, Display};

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

/// A point in time, ready to be written.
#[derive(Debug, Clone, Copy)]
pub(super) struct UtcTime {
    civil: DateTime,
    nanoseconds: i128,
}

impl UtcTime {
    /// Times beyond the years -9999 to 9999 become the nearest of these; none is the start of 1970.
    pub(super) fn new(time: Option<&prost_types::Timestamp>) -> Self {
        let time = time.copied().unwrap_or_default();
        let timestamp =
            Timestamp::new(time.seconds, time.nanos.clamp(0, 999_999_999)).unwrap_or(if time.seconds < 0 {
                Timestamp::MIN
            } else {
                Timestamp::MAX
            });
        Self {
            civil: TimeZone::UTC.to_datetime(timestamp),
            nanoseconds: timestamp.as_nanosecond(),
        }
    }

    /// `HH:MM:SS.nnnnnnnnn`.
    pub(super) fn clock(self) -> impl Display {
        fmt::from_fn(move |formatter| {
            let time = self.civil.time();
            write!(
                formatter,
                "{:02}:{:02}:{:02}.{:09}",
                time.hour(),
                time.minute(),
                time.second(),
                time.subsec_nanosecond()
            )
        })
    }

    /// `YYYY-MM-DDTHH:MM:SS.nnnnnnnnnZ`.
    pub(super) fn rfc3339(self) -> impl Display {
        fmt::from_fn(move |formatter| {
            let date = self.civil.date();
            write!(
                formatter,
                "{:04}-{:02}-{:02}T{}Z",
                date.year(),
                date.month(),
                date.day(),
                self.clock()
            )
        })
    }

    /// Nanoseconds since 1970, which fit 64 bits from the year 1677 to 2262; beyond, the nearest of these.
    pub(super) fn epoch_ns(self) -> i64 {
        i64::try_from(self.nanoseconds).unwrap_or(if self.nanoseconds < 0 { i64::MIN } else { i64::MAX })
    }
}
