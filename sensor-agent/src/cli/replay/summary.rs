//! What a replay ends with: how much there was, and rules × hits × cost.

use std::{fmt::Write as _, time::Duration};

use sensor_rules::engine::RuleSet;
use serde_json::{Value, json};

use crate::{
    cli::table::Table,
    pipeline::costs::Cost,
    recording::{header::Header, item::Lost},
    replay::Told,
};

/// Rules with their costs, the dearest first. Rules that were never tested are left out.
fn tested<'a>(rules: &'a RuleSet, told: &Told) -> Vec<(&'a str, Cost)> {
    let costs = told.costs.as_ref().map_or(&[][..], |costs| costs.rules());
    let mut tested: Vec<(&str, Cost)> = rules
        .rules()
        .iter()
        .zip(costs)
        .filter(|(_, cost)| cost.tested > 0)
        .map(|(rule, cost)| (&*rule.name, *cost))
        .collect();
    tested.sort_by_key(|(_, cost)| std::cmp::Reverse(cost.ns));
    tested
}

#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a figure for people"
)]
fn a_second(count: u64, elapsed: Duration) -> u64 {
    (count as f64 / elapsed.as_secs_f64().max(1e-9)) as u64
}

/// For people.
pub(super) fn text(header: &Header, rules: &RuleSet, told: &Told, elapsed: Duration) -> String {
    let mut text = String::new();
    let tested = tested(rules, told);
    let mut table = Table::new(["RULE", "TESTED", "HITS", "NS", "NS/TEST"]);
    for (name, cost) in &tested {
        table.row([
            (*name).to_owned(),
            cost.tested.to_string(),
            cost.hits.to_string(),
            cost.ns.to_string(),
            (cost.ns / cost.tested.max(1)).to_string(),
        ]);
    }
    if !table.is_empty() {
        table.render(&mut text);
    }
    if let Some(costs) = &told.costs {
        let (all, selection) = (rules.rules().len(), costs.selection());
        // Writing to a string does not fail.
        let _ = writeln!(
            text,
            "  {} of {all} rules were not tested: no event's type, names and paths left them possible",
            all - tested.len()
        );
        let _ = writeln!(
            text,
            "  finding the rules to test: {} ns for {} events",
            selection.ns, selection.tested
        );
    }
    let _ = writeln!(
        text,
        "{} records, {} events, {} detections, recorded on {} (kernel {}) by sensor {}; {:.2} s, {} events/s",
        told.records,
        told.events,
        told.detections.iter().sum::<u64>(),
        crate::cli::clean(&header.hostname),
        crate::cli::clean(&header.kernel),
        crate::cli::clean(&header.sensor),
        elapsed.as_secs_f64(),
        a_second(told.events, elapsed),
    );
    for warning in warnings(told) {
        let _ = writeln!(text, "warning: {warning}");
    }
    text.truncate(text.trim_end().len());
    text
}

/// What keeps a replay from telling all.
fn warnings(told: &Told) -> Vec<String> {
    let mut warnings = Vec::new();
    if told.lost != Lost::default() {
        warnings.push(format!(
            "{} records and {} other items are missing in the recording: the file was full or the disk too slow",
            told.lost.records, told.lost.others
        ));
    }
    let lost: u64 = told
        .end
        .iter()
        .flat_map(|end| &end.kinds)
        .fold(0, |sum, kind| sum.saturating_add(kind.lost));
    if lost > 0 {
        warnings.push(format!(
            "{lost} events were lost before they could be recorded, each told as a gap"
        ));
    }
    if told.malformed > 0 {
        warnings.push(format!("{} records were not understood", told.malformed));
    }
    if told.evicted > 0 {
        warnings.push(format!(
            "full tables have forgotten {} entries: another replay may tell what comes after otherwise",
            told.evicted
        ));
    }
    warnings
}

/// For programs.
pub(super) fn json(header: &Header, rules: &RuleSet, told: &Told, elapsed: Duration) -> Value {
    let of_rules = tested(rules, told)
        .into_iter()
        .map(|(name, cost)| json!({ "rule": name, "tested": cost.tested, "hits": cost.hits, "ns": cost.ns }));
    json!({
        "recording": {
            "id": header.id,
            "sensor": header.sensor,
            "kernel": header.kernel,
            "hostname": header.hostname,
            "events": header.events,
            "end": told.end,
        },
        "records": told.records,
        "malformed": told.malformed,
        "events": told.events,
        "detections": told.detections.iter().sum::<u64>(),
        "lost": told.lost,
        "evicted": told.evicted,
        "elapsed_ns": u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX),
        "selection_ns": told.costs.as_ref().map(|costs| costs.selection().ns),
        "rules": of_rules.collect::<Vec<_>>(),
        "warnings": warnings(told),
    })
}
