//! Waiting for something to become true: with a deadline, never for a fixed time.

use std::time::{Duration, Instant};

/// How long anything may take on a busy machine.
pub const DEADLINE: Duration = Duration::from_secs(20);

/// How many times as long everything may take: for machines that are emulated (`cargo xtask vmtest`).
const PATIENCE: &str = "SENSOR_TESTS_PATIENCE";

/// What this time is on this machine.
#[must_use]
pub fn patient(deadline: Duration) -> Duration {
    let patience = std::env::var(PATIENCE).ok().and_then(|text| text.parse().ok());
    deadline * patience.unwrap_or(1)
}

/// Asks again and again until there is an answer, or the time is over.
pub fn until<T>(deadline: Duration, mut ask: impl FnMut() -> Option<T>) -> Option<T> {
    let end = Instant::now() + patient(deadline);
    loop {
        if let Some(answer) = ask() {
            return Some(answer);
        }
        if Instant::now() >= end {
            return None;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}
