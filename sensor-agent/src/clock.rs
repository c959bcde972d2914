//! Between the kernel's clock and the calendar.
//!
//! Records carry `CLOCK_BOOTTIME`; people read wall-clock time. The distance between the two is measured
//! at start and again every second, so that a corrected clock shows in detections soon.

use rustix::time::{ClockId, Timespec, clock_gettime};

/// The distance from boot time to wall-clock time.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    offset_ns: i128,
}

impl Clock {
    /// Measures the distance.
    #[must_use]
    pub fn now() -> Self {
        let real = nanoseconds(clock_gettime(ClockId::Realtime));
        Self {
            offset_ns: i128::from(real) - i128::from(boot_ns()),
        }
    }

    /// Nanoseconds since 1970, from nanoseconds after boot.
    #[must_use]
    pub fn epoch_ns(self, boot_ns: u64) -> u64 {
        u64::try_from(i128::from(boot_ns) + self.offset_ns).unwrap_or(0)
    }

    /// Nanoseconds after boot, from nanoseconds since 1970.
    #[must_use]
    pub fn boot_ns_of(self, epoch_ns: u64) -> u64 {
        u64::try_from(i128::from(epoch_ns) - self.offset_ns).unwrap_or(0)
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
