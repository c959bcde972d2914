//! Colours of the text format.

use sensor_proto::v1::Priority;

/// Ends a colour.
pub(super) const RESET: &str = "\x1b[0m";
/// The colour of what is less important.
pub(super) const DIM: &str = "\x1b[2m";

/// The colour of a priority.
pub(super) fn of(priority: Priority) -> &'static str {
    match priority {
        Priority::Emergency | Priority::Alert | Priority::Critical => "\x1b[1;31m",
        Priority::Error => "\x1b[31m",
        Priority::Warning => "\x1b[33m",
        Priority::Notice => "\x1b[36m",
        Priority::Informational | Priority::Debug | Priority::Unspecified => "\x1b[2m",
    }
}
