//! Between the kernel's clock and the calendar.
//!
//! Records carry `CLOCK_BOOTTIME`; people read wall-clock time. The distance between the two is measured
//! at start and again every second, so that a corrected clock shows in detections soon.

use rustix::time::{ClockId, Timespec, clock_gettime};

/// The distance from boot time to wall-clock time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clock {
    offset_ns: i64,
}

impl Clock {
    /// Measures the distance.
    #[must_use]
    pub fn now() -> Self {
        let real = nanoseconds(clock_gettime(ClockId::Realtime));
        Self {
            offset_ns: real.cast_signed().saturating_sub_unsigned(boot_ns()),
        }
    }

    /// A distance that was measured before, in nanoseconds.
    #[must_use]
    pub const fn from_offset_ns(offset_ns: i64) -> Self {
        Self { offset_ns }
    }

    /// The distance, in nanoseconds.
    #[must_use]
    pub const fn offset_ns(self) -> i64 {
        self.offset_ns
    }

    /// Nanoseconds since 1970, from nanoseconds after boot.
    #[must_use]
    pub fn epoch_ns(self, boot_ns: u64) -> u64 {
        boot_ns.saturating_add_signed(self.offset_ns)
    }

    /// Nanoseconds after boot, from nanoseconds since 1970.
    #[must_use]
    pub fn boot_ns_of(self, epoch_ns: u64) -> u64 {
        epoch_ns.saturating_add_signed(self.offset_ns.saturating_neg())
    }
}

/// Nanoseconds after boot, now.
#[must_use]
pub fn boot_ns() -> u64 {
    nanoseconds(clock_gettime(ClockId::Boottime))
}

fn nanoseconds(time: Timespec) -> u64 {
    u64::try_from(time.tv_sec).unwrap_or(0) * 1_000_000_000 + u64::try_from(time.tv_nsec).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a14_a_clock_that_is_set_changes_what_is_shown_and_no_order() {
        const YEAR_NS: i64 = 365 * 86_400 * 1_000_000_000;
        let (first, second) = (5_000_000_000, 5_000_000_001);
        let right = Clock::from_offset_ns(50 * YEAR_NS);
        for set_by in [-YEAR_NS, 0, YEAR_NS, -51 * YEAR_NS, i64::MAX] {
            let clock = Clock::from_offset_ns(right.offset_ns().saturating_add(set_by));
            // Events are ordered by the time since boot, which nobody sets; the calendar never turns them round.
            assert!(clock.epoch_ns(first) <= clock.epoch_ns(second), "{set_by}");
        }
        assert_eq!(right.boot_ns_of(right.epoch_ns(first)), first);
        let before = boot_ns();
        assert!(boot_ns() >= before);
    }
}
