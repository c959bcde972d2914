//! As many events as this machine can make, and where each of them went.

use std::{collections::BTreeMap, thread, time::Duration};

use anyhow::Context as _;
use sensor_proto::v1::KindCounters;

use super::{
    agent::{Agent, Rules, kind, resident},
    progress,
    report::{Section, Table},
    statistics::{grouped, number},
    workload::{Done, Loads, Running},
};
use crate::interrupt;

/// What is asked for. A machine with two cores does not make that many and watch them, too.
const EXECS_PER_SECOND: u32 = 5_000;
/// How many processes share them: one alone waits for each program that it started.
const STARTERS: u32 = 3;
const OPENS_PER_SECOND: u32 = 300_000;

/// Between two looks at the agent's memory.
const LOOK: Duration = Duration::from_millis(50);

const MIB: f64 = 1024.0 * 1024.0;

/// Floods the agent, once with each rule set, and draws up the balance.
pub(super) fn run(seconds: u32) -> anyhow::Result<Section> {
    let loads = Loads::build()?;
    let mut text = format!(
        "{STARTERS} processes start programs and another opens a file, for {seconds} s and at up to {} and {} a second. Every event \
         that the kernel side saw is accounted for: seen = filtered + sent + lost, and sent = delivered once the rings are \
         read. Seen is more than made where other processes were at work, too.\n",
        grouped(EXECS_PER_SECOND.into()),
        grouped(OPENS_PER_SECOND.into())
    );
    for rules in [Rules::Ours].into_iter().chain(Rules::falco()) {
        progress(&format!("  {}", rules.name()))?;
        text.push_str(&flood(&loads, &rules, seconds)?);
    }
    Ok(Section { title: "Flood", text })
}

fn flood(loads: &Loads, rules: &Rules, seconds: u32) -> anyhow::Result<String> {
    let agent = Agent::start(rules)?;
    let before = agent.settled()?;
    let (at_rest, used) = (resident(agent.pid())?, agent.processor_time()?);
    let starters = (0..STARTERS).map(|_| loads.flood_exec(seconds, EXECS_PER_SECOND / STARTERS));
    let starters = starters.collect::<anyhow::Result<Vec<_>>>()?;
    let mut opens = loads.flood_open(seconds, OPENS_PER_SECOND)?;
    let mut peak = at_rest;
    while !opens.is_over()? {
        interrupt::check()?;
        peak = peak.max(resident(agent.pid())?);
        thread::sleep(LOOK);
    }
    let starts = starters
        .into_iter()
        .map(Running::done)
        .collect::<anyhow::Result<Vec<_>>>()?;
    let starts = starts
        .into_iter()
        .reduce(Done::beside)
        .context("nothing was started")?;
    let made = BTreeMap::from([("exec", starts), ("open", opens.done()?)]);
    let after = agent.settled()?;
    let used = agent.processor_time()?.saturating_sub(used);
    let mut table = Table::new([
        "Kind",
        "Made",
        "a second",
        "Seen",
        "Filtered",
        "Sent",
        "Delivered",
        "Lost",
        "Unaccounted for",
    ]);
    for name in ["exec", "fork", "exit", "open", "connect"] {
        table.row(balance(made.get(name), kind(&before, name)?, kind(&after, name)?));
    }
    Ok(format!(
        "\n**With {}**: resident memory {:.1} MiB at rest, {:.1} MiB at most; processor time {:.2} s.\n\n{table}",
        rules.name(),
        number(at_rest) / MIB,
        number(peak) / MIB,
        used.as_secs_f64(),
    ))
}

fn balance(made: Option<&Done>, before: &KindCounters, after: &KindCounters) -> [String; 9] {
    let lost = |kind: &KindCounters| kind.lost.values().sum::<u64>();
    let since = |of: fn(&KindCounters) -> u64| of(after) - of(before);
    let (seen, filtered, sent) = (
        since(|kind| kind.seen),
        since(|kind| kind.filtered),
        since(|kind| kind.sent),
    );
    let (delivered, lost) = (since(|kind| kind.delivered), lost(after) - lost(before));
    // Signed: too many would be as wrong as too few.
    let missing = i128::from(seen) - i128::from(filtered) - i128::from(sent) - i128::from(lost);
    let unread = i128::from(sent) - i128::from(delivered);
    [
        after.kind.clone(),
        made.map_or("-".into(), |made| grouped(made.operations)),
        made.map_or("-".into(), |made| format!("{:.0}", made.per_second())),
        grouped(seen),
        grouped(filtered),
        grouped(sent),
        grouped(delivered),
        grouped(lost),
        (missing + unread).to_string(),
    ]
}
