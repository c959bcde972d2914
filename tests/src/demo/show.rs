//! What the demo shows, and how.

use std::{fmt::Display, io::Write, time::Duration};

use sensor_proto::v1::{Detection, Gap, HookRun, Priority, StatusResponse};

use super::{Outcome, attack::Place, stage::Stage, tamper::Tampering};

const RED: &str = "31";
const GREEN: &str = "32";
const YELLOW: &str = "33";
const CYAN: &str = "36";
const BOLD: &str = "1";
const DIM: &str = "2";

/// Characters of a command that are shown.
const COMMAND_CHARS_MAX: usize = 60;

/// Where the demo writes. That its reader may have gone away is no failure of the demo.
pub(super) struct Show<'a> {
    out: Box<dyn Write + 'a>,
    colour: bool,
}

impl<'a> Show<'a> {
    pub(super) fn new(out: impl Write + 'a, colour: bool) -> Self {
        Self {
            out: Box::new(out),
            colour,
        }
    }

    /// Something that takes a moment.
    pub(super) fn step(&mut self, what: &str) {
        self.line(format_args!("{what} ..."));
    }

    /// What there is before anything happens.
    pub(super) fn stage(&mut self, stage: &Stage) {
        let id = &stage.container()[..12];
        self.line(format_args!(
            "container {id} (runc, overlay root, own network) and the agent are ready"
        ));
        let heading = self.paint(BOLD, "\nAttacks, and the detections as they arrive over gRPC");
        self.line(heading);
    }

    /// An attack that is about to happen.
    pub(super) fn attack(&mut self, title: &str, place: Place) {
        let title = self.paint(BOLD, title);
        self.line(format_args!("\n{title} {}", preposition(place)));
    }

    /// A detection that has arrived.
    pub(super) fn detection(&mut self, detection: &Detection, after: Duration) {
        let priority = detection.priority();
        let name = priority.as_str_name().trim_start_matches("PRIORITY_");
        let name = self.paint(colour_of(priority), &format!("{name:<13}"));
        let place = detection
            .container
            .as_ref()
            .map_or("host", |container| &container.id[..12]);
        let command = detection.process.as_ref().map_or("", |process| &process.cmdline);
        let command: String = command
            .chars()
            .filter(|c| !c.is_control())
            .take(COMMAND_CHARS_MAX)
            .collect();
        let after = milliseconds(after);
        self.line(format_args!(
            "  {after:>9}  {name} {}  [{place}]  {command}",
            detection.rule
        ));
    }

    /// A hook that has run.
    pub(super) fn hook_run(&mut self, run: &HookRun, after: Duration) {
        let after = milliseconds(after);
        let hook = self.paint(CYAN, &format!("hook {:<8}", run.hook));
        self.line(format_args!("  {after:>9}  {hook} {}", run.detail));
    }

    /// Something that was lost.
    pub(super) fn gap(&mut self, gap: &Gap) {
        let lost = self.paint(RED, "LOST");
        self.line(format_args!(
            "             {lost} {} {} ({})",
            gap.count, gap.kind, gap.cause
        ));
    }

    /// Each attack, and what saw it.
    pub(super) fn table(&mut self, outcomes: &[Outcome]) {
        let width = |of: fn(&Outcome) -> &str| {
            outcomes
                .iter()
                .map(|outcome| of(outcome).len())
                .max()
                .unwrap_or(0)
        };
        let (titles, rules) = (width(|outcome| outcome.title), width(|outcome| outcome.rule));
        let heading = format!(
            "\n{:<titles$}  {:<9}  {:<rules$}  {:>9}",
            "Attack", "Where", "Detected by", "After"
        );
        let heading = self.paint(BOLD, &heading);
        self.line(heading);
        for Outcome {
            title,
            place,
            rule,
            after,
        } in outcomes
        {
            let after = match after {
                Some(after) => self.paint(GREEN, &format!("{:>9}", milliseconds(*after))),
                None => self.paint(RED, "   missed"),
            };
            self.line(format_args!(
                "{title:<titles$}  {:<9}  {rule:<rules$}  {after}",
                place_name(*place)
            ));
        }
    }

    /// What happened to the file.
    pub(super) fn tampering(&mut self, tampering: &Tampering) {
        let heading = self.paint(BOLD, "\nThe file in the container's mount");
        self.line(heading);
        self.line(format_args!("  before        {}", tampering.before.trim_end()));
        let written = self.paint(RED, tampering.written);
        self.line(format_args!("  attacker      {written}"));
        let colour = if tampering.restored.is_some() { GREEN } else { RED };
        let after = self.paint(colour, tampering.after.trim_end());
        let how = tampering.restored.map_or("not put back".to_owned(), |restored| {
            format!("put back {} after the attack", milliseconds(restored))
        });
        self.line(format_args!("  afterwards    {after}  ({how})"));
    }

    /// What the agent counted.
    pub(super) fn health(&mut self, status: &StatusResponse, others: u64) {
        let sum = |of: fn(&sensor_proto::v1::KindCounters) -> u64| status.kinds.iter().map(of).sum::<u64>();
        let (seen, delivered) = (sum(|kind| kind.seen), sum(|kind| kind.delivered));
        let lost = sum(|kind| kind.lost.values().sum());
        let start = milliseconds(Duration::from_nanos(status.start_to_first_event_ns));
        let rules = status.rules.as_ref().map_or(0, |rules| rules.enabled);
        self.line(format_args!(
            "\n{rules} rules; first event {start} after the agent's start; {seen} events seen, {delivered} matched against \
             the rules, {lost} lost"
        ));
        if others > 0 {
            self.line(format_args!(
                "{others} detections of other processes on this machine are not shown"
            ));
        }
    }

    /// The last line.
    pub(super) fn verdict(&mut self, attacks: usize, missed: &[&Outcome], restored: bool) {
        for Outcome {
            title, place, rule, ..
        } in missed
        {
            let missed = self.paint(RED, "missed");
            self.line(format_args!(
                "{missed}: {title} {}: no detection by the rule \"{rule}\"",
                preposition(*place)
            ));
        }
        if !restored {
            let failed = self.paint(RED, "not put back");
            self.line(format_args!("{failed}: the file in the container's mount"));
        }
        if missed.is_empty() && restored {
            let all = self.paint(
                GREEN,
                &format!("All {attacks} attacks were detected, and the file is as it was."),
            );
            self.line(all);
        }
    }

    /// What the agent wrote while it should have seen more.
    pub(super) fn log(&mut self, log: &str) {
        self.line(format_args!("\nThe agent's log:\n{log}"));
    }

    fn paint(&self, colour: &str, text: &str) -> String {
        if self.colour {
            format!("\x1b[{colour}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }

    fn line(&mut self, line: impl Display) {
        let _ = writeln!(self.out, "{line}");
        let _ = self.out.flush();
    }
}

fn colour_of(priority: Priority) -> &'static str {
    match priority {
        Priority::Emergency | Priority::Alert | Priority::Critical | Priority::Error => RED,
        Priority::Warning => YELLOW,
        Priority::Notice => CYAN,
        Priority::Unspecified | Priority::Informational | Priority::Debug => DIM,
    }
}

fn place_name(place: Place) -> &'static str {
    match place {
        Place::Host => "host",
        Place::Container => "container",
    }
}

fn preposition(place: Place) -> &'static str {
    match place {
        Place::Host => "on the host",
        Place::Container => "in the container",
    }
}

fn milliseconds(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1e3)
}
