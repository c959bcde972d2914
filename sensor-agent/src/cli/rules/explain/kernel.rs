//! `sensor rules explain --kernel`: what of the rules is decided in the kernel.

use std::fmt::Write as _;

use sensor_rules::load::Loaded;
use serde_json::{Value, json};

use super::super::{Format, clean, print_json, rule};
use crate::{
    cli::{Exit, fail, print},
    kernel::filter::explain::{Explained, Tested, Verdict, explain},
    view::EventTypes,
};

/// A rule's name, and what the kernel makes of it for each kind of event.
type Rule<'a> = (&'a str, Vec<Explained>);

pub(super) fn run(loaded: &Loaded, only: Option<&str>, format: Format) -> Result<Exit, Exit> {
    if let Some(name) = only {
        rule(loaded, name)?;
    }
    let types = EventTypes::new().map_err(|error| fail(Exit::Failed, &error))?;
    let Some(set) = &loaded.rule_set else {
        return Err(fail(Exit::Wrong, &"the rules cannot be loaded"));
    };
    let rules: Vec<Rule<'_>> = set
        .rules()
        .iter()
        .zip(set.demands())
        .filter(|(rule, _)| only.is_none_or(|only| rule.name == only))
        .map(|(rule, demand)| (rule.name.as_str(), explain(demand, &types)))
        .collect();
    Ok(match format {
        Format::Text => print(&text(&rules)),
        Format::Json => print_json(&Value::Array(rules.iter().map(as_json).collect())),
    })
}

const fn verdict(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Whole => "decided",
        Verdict::Part => "decided in part",
        Verdict::Nothing => "not decided: every event of the kind passes",
    }
}

fn text(rules: &[Rule<'_>]) -> String {
    let mut out = String::new();
    // Writing to a string does not fail.
    for (name, kinds) in rules {
        let _ = writeln!(out, "{}", clean(name));
        if kinds.is_empty() {
            let _ = writeln!(
                out,
                "  no kind of event that filters see (exec, fork and exit always pass)"
            );
        }
        for one in kinds {
            let early = if one.is_early {
                ", first before names are read"
            } else {
                ""
            };
            let begins = if one.begins {
                ", also on cgroups before the call"
            } else {
                ""
            };
            let (kind, verdict) = (one.kind.name(), verdict(one.verdict));
            let _ = writeln!(out, "  {kind}: {verdict}{early}{begins}");
            for (list, sign) in [(&one.decided, '+'), (&one.undecided, '?')] {
                for tested in list {
                    let _ = writeln!(out, "    {sign} {}", clean(&tested.test));
                    if !tested.why.is_empty() {
                        let _ = writeln!(out, "        {}", tested.why);
                    }
                    if !tested.instead.is_empty() {
                        let _ = writeln!(out, "        better: {}", tested.instead);
                    }
                }
            }
        }
    }
    let all = |verdict| {
        rules
            .iter()
            .flat_map(|(_, kinds)| kinds)
            .filter(|one| one.verdict == verdict)
            .count()
    };
    let _ = writeln!(
        out,
        "{} pairs of rule and kind decided, {} in part, {} not",
        all(Verdict::Whole),
        all(Verdict::Part),
        all(Verdict::Nothing)
    );
    out
}

fn as_json((name, kinds): &Rule<'_>) -> Value {
    let tests = |list: &[Tested]| {
        let each = list
            .iter()
            .map(|one| json!({ "test": one.test, "why": one.why, "instead": one.instead }));
        Value::Array(each.collect())
    };
    let kinds = kinds.iter().map(|one| {
        json!({
            "kind": one.kind.name(),
            "verdict": match one.verdict {
                Verdict::Whole => "whole",
                Verdict::Part => "part",
                Verdict::Nothing => "nothing",
            },
            "early": one.is_early,
            "begins": one.begins,
            "decided": tests(&one.decided),
            "undecided": tests(&one.undecided),
        })
    });
    json!({ "rule": name, "kinds": kinds.collect::<Vec<_>>() })
}
