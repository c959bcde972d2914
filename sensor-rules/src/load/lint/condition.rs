//! Lints about conditions.

use std::collections::{BTreeMap, BTreeSet};

use super::item::NAME_FIELDS;
use super::walk::{Part, Texts};
use super::{Lint, place};
use crate::ast::{Check, Literal, Op, Operand, Right};
use crate::field::EventType;
use crate::load::compile::{Compiled, CompiledRule, is_too_wide};
use crate::load::info::Loaded;
use crate::load::suggest::nearest;

/// Events that a busy host has by the hundred thousand each second.
const HOT_EVENTS: &[&str] = &[
    "open",
    "openat",
    "openat2",
    "creat",
    "close",
    "read",
    "write",
    "pread",
    "pwrite",
    "readv",
    "writev",
    "stat",
    "lstat",
    "fstat",
    "newfstatat",
    "access",
    "mmap",
    "mprotect",
    "futex",
    "poll",
    "ppoll",
    "epoll_wait",
    "select",
    "recvfrom",
    "recvmsg",
    "sendto",
    "sendmsg",
    "connect",
    "accept",
    "accept4",
    "socket",
    "fcntl",
    "ioctl",
    "lseek",
];
/// Nested alternatives that are looked into. Deeper ones are left alone.
const WAYS_DEPTH_MAX: usize = 16;
/// Parts of one condition that are looked at, macros put in.
const PARTS_MAX: usize = 100_000;
/// Values of one list that are compared with the names of lists.
const VALUES_MAX: usize = 200;

struct Linter<'a> {
    loaded: &'a Loaded,
    texts: Texts<'a>,
    rule: &'a CompiledRule,
    item: String,
    lints: &'a mut Vec<Lint>,
    parts_left: usize,
}

pub(super) fn lint(loaded: &Loaded, compiled: &Compiled, rule: &CompiledRule, lints: &mut Vec<Lint>) {
    let texts = Texts {
        collector: &loaded.collector,
        compiled,
    };
    let item = format!("rule {:?}", loaded.rules[rule.position].name);
    let mut linter = Linter {
        loaded,
        texts,
        rule,
        item,
        lints,
        parts_left: PARTS_MAX,
    };
    linter.events();
    linter.conjunction(Part::whole(rule), &[], 0);
}

impl<'a> Linter<'a> {
    fn push(&mut self, id: &'static str, message: String, span: Option<super::Span>, help: &str) {
        let help = Some(help.to_owned()).filter(|help| !help.is_empty());
        self.lints.push(Lint {
            id,
            message,
            span,
            help,
            item: self.item.clone(),
        });
    }

    fn events(&mut self) {
        let info = &self.loaded.rules[self.rule.position];
        if info.source != "syscall" {
            return;
        }
        if self.rule.event_types.is_empty() {
            let message = format!(
                "rule `{}` can never match: no event meets its condition",
                info.name
            );
            self.push(
                "rule-never-matches",
                message,
                info.span,
                "its tests of `evt.type` or `evt.num` exclude each other",
            );
        } else if is_too_wide(&self.rule.event_types) {
            let count = self.rule.event_types.len();
            let message = format!("rule `{}` is evaluated for {count} types of events", info.name);
            self.push(
                "no-event-type",
                message,
                info.span,
                "name the events, as in `evt.type in (execve, execveat) and …`",
            );
        }
    }

    /// Looks at the tests that must all hold, given those that hold around them.
    fn conjunction(&mut self, part: Part<'a>, around: &[&'a Check], depth: usize) {
        let mut tests: Vec<(Part<'a>, &'a Check)> = Vec::new();
        let mut others: Vec<Part<'a>> = Vec::new();
        part.conjuncts(
            self.texts,
            &mut |part, check| tests.push((part, check)),
            &mut |part| others.push(part),
        );
        self.parts_left = self.parts_left.saturating_sub(tests.len() + others.len());
        if self.parts_left == 0 || depth > WAYS_DEPTH_MAX {
            return;
        }
        let required: Vec<&Check> = tests
            .iter()
            .filter(|(part, _)| !part.negated)
            .map(|(_, check)| *check)
            .chain(around.iter().copied())
            .collect();
        self.contradiction(&tests);
        // Of `not (a and b)` each way is negated, but neither excuses anything alone.
        let excuses = depth == 0 || tests.iter().any(|(part, _)| !part.negated);
        for &(part, check) in &tests {
            if excuses {
                self.rename_evades(part, check);
            }
            self.list_name_typo(part, check);
            self.expensive(part, check, &required);
        }
        for other in others {
            for way in other.ways() {
                self.conjunction(way, &required, depth + 1);
            }
        }
    }

    /// One field that must have two values.
    fn contradiction(&mut self, tests: &[(Part<'a>, &'a Check)]) {
        let mut allowed: BTreeMap<String, BTreeSet<&[u8]>> = BTreeMap::new();
        for (part, check) in tests.iter().filter(|(part, _)| !part.negated) {
            let (Some(field), Some(values)) = (self.single_valued(check), wanted_values(check)) else {
                continue;
            };
            let values: BTreeSet<&[u8]> = values.iter().map(|value| &*value.bytes).collect();
            let still = match allowed.get(&field) {
                Some(earlier) => earlier.intersection(&values).copied().collect(),
                None => values,
            };
            if still.is_empty() && !self.rule.event_types.is_empty() {
                let message = format!(
                    "`{field}` cannot have this value too: another test of the same `and` wants another"
                );
                let span = place(part.text, check.span);
                self.push(
                    "rule-never-matches",
                    message,
                    span,
                    "join the tests with `or`, or use one `in (…)`",
                );
            }
            allowed.insert(field, still);
        }
    }

    /// The name of a field that has one value for one event, so that two different values exclude each other.
    fn single_valued(&self, check: &Check) -> Option<String> {
        let Operand::Field(name) = &check.left else {
            return None;
        };
        let field = self
            .loaded
            .catalogue
            .resolve(&name.name, name.argument.as_deref())
            .ok()?;
        let of_any_ancestor = field.field.is_ancestry() && name.argument.is_none();
        (!of_any_ancestor && !field.is_list() && field.field.endpoints().is_none()).then(|| name.to_string())
    }

    fn rename_evades(&mut self, part: Part<'a>, check: &Check) {
        let excuses = match check.op {
            Op::Ne => !part.negated,
            Op::Eq | Op::EqEq | Op::In | Op::StartsWith | Op::EndsWith | Op::Contains | Op::Glob => {
                part.negated
            }
            _ => false,
        };
        let Operand::Field(field) = &check.left else {
            return;
        };
        let of_name = NAME_FIELDS.contains(&&*field.name) && !wants_no_name(check);
        if part.in_exception || !excuses || !of_name {
            return;
        }
        let message = format!(
            "a process escapes this rule by taking a name that `{}` allows",
            field.name
        );
        let span = place(part.text, check.span);
        self.push(
            "rename-evades",
            message,
            span,
            "excuse programs by `proc.exepath`, or use an exception with more fields",
        );
    }

    fn list_name_typo(&mut self, part: Part<'a>, check: &Check) {
        let Right::List(values) = &check.right else { return };
        for value in values.iter().take(VALUES_MAX) {
            let Ok(text) = std::str::from_utf8(&value.bytes) else {
                continue;
            };
            // Lists are named like this, values seldom are.
            if text.len() < 6 || !text.contains('_') {
                continue;
            }
            let lists = self.texts.collector.lists.iter().map(|list| &*list.name);
            let Some(meant) = nearest(text, lists).map(str::to_owned) else {
                continue;
            };
            let message = format!("`{text}` is taken for text, but there is a list `{meant}`");
            self.push(
                "list-name-typo",
                message,
                place(part.text, value.span),
                &format!("did you mean `{meant}`?"),
            );
        }
    }

    fn expensive(&mut self, part: Part<'a>, check: &Check, required: &[&Check]) {
        if !is_expensive(check) || part.in_exception || required.iter().any(|other| is_cheap_guard(other)) {
            return;
        }
        let hot = HOT_EVENTS.iter().filter_map(|name| EventType::from_name(name));
        let hot: Vec<_> = hot
            .filter(|event| self.rule.event_types.contains(*event))
            .collect();
        let Some(first) = hot.first() else { return };
        let message = format!(
            "`{}` is tested on every `{}` event",
            check.op.keyword(),
            first.name()
        );
        let help = "add a test that is cheap and seldom true beside it, such as `=`, `in` or `startswith`";
        self.push(
            "expensive-on-hot-event",
            message,
            place(part.text, check.span),
            help,
        );
    }
}

/// The values of which the field must have one.
fn wanted_values(check: &Check) -> Option<&[Literal]> {
    match (&check.right, check.op, check.modifier) {
        (Right::Value(value), Op::Eq | Op::EqEq, None) => Some(std::slice::from_ref(value)),
        (Right::List(values), Op::In, None) => Some(values),
        _ => None,
    }
}

fn is_expensive(check: &Check) -> bool {
    matches!(check.op, Op::Regex | Op::Glob | Op::IGlob)
}

/// Whether a test asks for no name at all: `proc.name = "<NA>"`.
fn wants_no_name(check: &Check) -> bool {
    let is_none = |value: &Literal| matches!(&*value.bytes, b"" | b"<NA>" | b"N/A");
    match &check.right {
        Right::Value(value) => is_none(value),
        Right::List(values) => values.iter().all(is_none),
        Right::Nothing | Right::Operand(_) => false,
    }
}

/// A test that costs little and that few events meet; which event it is does not count.
fn is_cheap_guard(check: &Check) -> bool {
    let Operand::Field(field) = &check.left else {
        return false;
    };
    let about_event = field.name.starts_with("evt.type") || matches!(&*field.name, "evt.dir" | "evt.num");
    let cheap = matches!(
        check.op,
        Op::Eq | Op::EqEq | Op::In | Op::StartsWith | Op::EndsWith | Op::Contains | Op::Pmatch
    ) || check.op.is_order();
    cheap && !about_event
}
