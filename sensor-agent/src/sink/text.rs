//! The text format: `TIME: Priority message`.

use std::borrow::Cow;
use std::io::{self, Write};

use sensor_proto::v1::{HookRun, Priority, RulesReload};

use super::time::UtcTime;
use super::{Line, colour, escape, json, names};

/// Writes one line without its newline.
pub(super) fn write(line: Line<'_>, coloured: bool, out: &mut Vec<u8>) -> io::Result<()> {
    let (time, priority, message) = match line {
        Line::Detection(detection) => (
            &detection.time,
            detection.priority(),
            Cow::Borrowed(&*detection.output),
        ),
        Line::Gap(gap) => (&gap.time, json::GAP_PRIORITY, json::gap_message(gap).into()),
        Line::HookRun(run) => (
            &run.time,
            hook_run_priority(run),
            json::hook_run_message(run).into(),
        ),
        Line::RulesReload(reload) => (
            &reload.time,
            reload_priority(reload),
            json::reload_message(reload).into(),
        ),
    };
    let time = UtcTime::new(time.as_ref());
    let name = names::priority_name(priority);
    if coloured {
        let (dim, reset, tint) = (colour::DIM, colour::RESET, colour::of(priority));
        write!(out, "{dim}{}:{reset} {tint}{name}{reset} ", time.clock())?;
    } else {
        write!(out, "{}: {name} ", time.clock())?;
    }
    escape::write_plain(out, &message)
}

/// The priority of a line about new rules.
pub(super) fn reload_priority(reload: &RulesReload) -> Priority {
    if reload.applied {
        Priority::Notice
    } else {
        Priority::Error
    }
}

/// The priority of a line about a hook's run.
pub(super) fn hook_run_priority(run: &HookRun) -> Priority {
    use sensor_proto::v1::hook_run::Outcome;
    match run.outcome() {
        Outcome::Failed | Outcome::TimedOut => Priority::Error,
        Outcome::Refused => Priority::Warning,
        Outcome::Unspecified | Outcome::Observed | Outcome::Done | Outcome::Suppressed => Priority::Notice,
    }
}
