//! What the inventory cannot know, because it was not collected, was left out in the kernel, or was lost.

use sensor_common::{
    counters::KindCounters,
    kind::{Kind, Shape},
    syscall::Call,
};
use sensor_proto::v1::{self, coverage::State};

use super::Live;
use crate::kernel::attach::{HookStatus, is_told_without_calls};

/// Of what each part of the inventory is made.
const ASPECTS: [(&str, &[Kind]); 4] = [
    ("programs", &[Kind::Exec]),
    ("ports", &[Kind::Listen, Kind::Bind]),
    ("peers", &[Kind::Connect, Kind::Send]),
    (
        "folders",
        &[
            Kind::Open,
            Kind::Rename,
            Kind::Link,
            Kind::Symlink,
            Kind::Unlink,
            Kind::Mkdir,
            Kind::Rmdir,
            Kind::Truncate,
            Kind::Mknod,
        ],
    ),
];

impl Live {
    /// What the inventory covers, part by part.
    #[must_use]
    pub fn coverage(&self) -> Vec<v1::Coverage> {
        let (hooks, calls, counted) = (self.hooks.load(), self.calls.load(), self.counted());
        let collected = |kind| missing_of(kind, &hooks, &calls);
        let counters = |kind| {
            let of_kind = counted.iter().find(|(counted, _)| *counted == kind);
            of_kind.map(|(_, counters)| *counters).unwrap_or_default()
        };
        ASPECTS
            .into_iter()
            .map(|(aspect, kinds)| coverage(aspect, kinds, collected, counters))
            .collect()
    }
}

/// What is not collected of a kind.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Missing {
    Nothing,
    /// All of it.
    All,
    /// What comes by these calls.
    Calls(Vec<&'static str>),
}

fn missing_of(kind: Kind, hooks: &[HookStatus], calls: &[Call]) -> Missing {
    let is_told = |hook: &HookStatus| hook.attached && hook.kinds.contains(&kind);
    // A hook that denies tells of what it denied alone.
    let tells_alone = |hook: &HookStatus| {
        !["sys_exit", "(deny)"].iter().any(|end| hook.name.ends_with(end)) && !hook.name.contains("io_uring")
    };
    let is_lifecycle = matches!(kind.shape(), Shape::Fork | Shape::Exec | Shape::Exit);
    if (is_lifecycle || is_told_without_calls(kind))
        && hooks.iter().any(|hook| is_told(hook) && tells_alone(hook))
    {
        return Missing::Nothing;
    }
    let (followed, mut missing): (Vec<_>, Vec<_>) = Call::ALL
        .into_iter()
        .filter(|call| call.kind() == Some(kind) && call.number_64().is_some())
        .partition(|call| calls.contains(call));
    missing.dedup();
    match (followed.is_empty(), missing.is_empty()) {
        (true, _) => Missing::All,
        (false, true) => Missing::Nothing,
        (false, false) => Missing::Calls(missing.into_iter().map(Call::name).collect()),
    }
}

fn coverage(
    aspect: &str,
    kinds: &[Kind],
    missing: impl Fn(Kind) -> Missing,
    counters: impl Fn(Kind) -> KindCounters,
) -> v1::Coverage {
    let (mut absent, mut calls, mut sentences) = (Vec::new(), Vec::new(), Vec::new());
    for kind in kinds {
        match missing(*kind) {
            Missing::Nothing => {}
            Missing::All => absent.push(kind.name()),
            Missing::Calls(names) => calls.extend(names),
        }
    }
    let state = match (absent.len() == kinds.len(), absent.is_empty() && calls.is_empty()) {
        (true, _) => State::None,
        (false, true) => State::Complete,
        (false, false) => State::Partial,
    };
    if !absent.is_empty() {
        sentences.push(format!(
            "not collected, because no loaded rule needs them or the profile leaves them out: events of {}",
            absent.join(", ")
        ));
    }
    if !calls.is_empty() {
        sentences.push(format!(
            "not collected, because no loaded rule needs them: {}",
            calls.join(", ")
        ));
    }
    let mut is_whole = true;
    for kind in kinds {
        let counted = counters(*kind);
        let lost = counted.lost_ring_full + counted.lost_scratch_busy + counted.lost_budget;
        for (count, what) in [
            (
                counted.filtered,
                "left out in the kernel, since no rule can match them or they are the sensor's own",
            ),
            (lost, "lost"),
        ] {
            if count > 0 {
                is_whole = false;
                sentences.push(format!("{count} events of {} were {what}", kind.name()));
            }
        }
    }
    let state = if state == State::Complete && !is_whole {
        State::Partial
    } else {
        state
    };
    v1::Coverage {
        aspect: aspect.to_owned(),
        state: state.into(),
        missing: sentences,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hook(name: &str, attached: bool, kinds: &[Kind]) -> HookStatus {
        HookStatus {
            name: name.into(),
            attached,
            kinds: kinds.into(),
            reason: String::new(),
        }
    }

    #[test]
    fn a_kind_is_missing_whole_by_calls_or_not_at_all() {
        let hooks = [
            hook("tp_btf/sched_process_exec", true, &[Kind::Exec]),
            hook("tp_btf/sys_exit", true, &[Kind::Open, Kind::Mkdir, Kind::Send]),
            hook("cgroup/connect4", true, &[Kind::Connect]),
            hook("cgroup/post_bind4", false, &[Kind::Bind]),
        ];
        let calls = [Call::Open, Call::OpenAt, Call::Mkdir, Call::Mkdirat];
        for (kind, expected) in [
            (Kind::Exec, Missing::Nothing),
            (Kind::Connect, Missing::Nothing),
            (Kind::Bind, Missing::All),
            (Kind::Mkdir, Missing::Nothing),
            (Kind::Rename, Missing::All),
            (
                Kind::Open,
                Missing::Calls(vec!["openat2", "creat", "open_by_handle_at"]),
            ),
        ] {
            assert_eq!(missing_of(kind, &hooks, &calls), expected, "{kind:?}");
        }
    }

    #[test]
    fn coverage_names_what_is_missing_and_how_often() {
        let kinds = [Kind::Open, Kind::Mkdir];
        let none = |_| KindCounters::default();
        let nothing = coverage("folders", &kinds, |_| Missing::Nothing, none);
        assert_eq!((nothing.state(), nothing.missing.len()), (State::Complete, 0));
        let all = coverage("folders", &kinds, |_| Missing::All, none);
        assert_eq!(all.state(), State::None);
        let some = coverage(
            "folders",
            &kinds,
            |kind| match kind {
                Kind::Open => Missing::Calls(vec!["creat"]),
                _ => Missing::All,
            },
            |kind| KindCounters {
                filtered: u64::from(kind == Kind::Open) * 7,
                ..KindCounters::default()
            },
        );
        assert_eq!(some.state(), State::Partial);
        let text = some.missing.join("\n");
        for part in ["events of mkdir", "creat", "7 events of open"] {
            assert!(text.contains(part), "{text}");
        }
    }
}
