//! As many events as this machine can make, and where each of them went.

use std::{collections::BTreeMap, thread, time::Duration};

use sensor_proto::v1::KindCounters;

use super::{
    agent::{Agent, Rules, kind, resident},
    progress,
    report::{Section, Table},
    statistics::{grouped, number},
    workload::{Done, Loads, Running},
};
use crate::interrupt;

/// What is asked for.
struct Asked {
    title: &'static str,
    /// Processes that start programs: one alone waits for each that it started.
    starters: u32,
    /// Programs a second, of all of them.
    execs_per_second: u32,
    /// Processes that open a file.
    openers: u32,
    /// Opens a second of each.
    opens_per_second: u32,
}

/// Programs and opens, more than a machine with two cores makes and watches, too; and opens alone, as fast as they go.
const FLOODS: [Asked; 2] = [
    Asked {
        title: "programs and opens",
        starters: 3,
        execs_per_second: 5_000,
        openers: 1,
        opens_per_second: 300_000,
    },
    Asked {
        title: "opens alone",
        starters: 0,
        execs_per_second: 0,
        openers: 2,
        opens_per_second: 100_000_000,
    },
];

/// Between two looks at the agent's memory.
const LOOK: Duration = Duration::from_millis(50);

const MIB: f64 = 1024.0 * 1024.0;

/// Floods the agent, once with each rule set, and draws up the balance.
pub(super) fn run(seconds: u32) -> anyhow::Result<Section> {
    let loads = Loads::build()?;
    let [mix, _] = &FLOODS;
    let mut text = format!(
        "For {seconds} s, {} processes start programs and another opens a file, at up to {} and {} a second; then two open a file \
         as fast as they can. Every event that the kernel side saw is accounted for: seen = filtered + sent + lost, and sent = \
         delivered once the rings are read. Seen is more than made where other processes were at work, too.\n",
        mix.starters,
        grouped(mix.execs_per_second.into()),
        grouped(mix.opens_per_second.into())
    );
    for rules in [Rules::Ours].into_iter().chain(Rules::falco()) {
        for asked in &FLOODS {
            progress(&format!("  {}, {}", rules.name(), asked.title))?;
            text.push_str(&flood(&loads, &rules, asked, seconds)?);
        }
    }
    Ok(Section { title: "Flood", text })
}

fn flood(loads: &Loads, rules: &Rules, asked: &Asked, seconds: u32) -> anyhow::Result<String> {
    let agent = Agent::start(rules)?;
    let before = agent.settled()?;
    let (at_rest, used) = (resident(agent.pid())?, agent.processor_time()?);
    let starters =
        (0..asked.starters).map(|_| loads.flood_exec(seconds, asked.execs_per_second / asked.starters));
    let starters = starters.collect::<anyhow::Result<Vec<_>>>()?;
    let openers = (0..asked.openers).map(|_| loads.flood_open(seconds, asked.opens_per_second));
    let mut openers = openers.collect::<anyhow::Result<Vec<_>>>()?;
    let mut peak = at_rest;
    for opener in &mut openers {
        while !opener.is_over()? {
            interrupt::check()?;
            peak = peak.max(resident(agent.pid())?);
            thread::sleep(LOOK);
        }
    }
    let mut made = BTreeMap::new();
    for (name, running) in [("exec", starters), ("open", openers)] {
        let done = running
            .into_iter()
            .map(Running::done)
            .collect::<anyhow::Result<Vec<_>>>()?;
        made.extend(done.into_iter().reduce(Done::beside).map(|all| (name, all)));
    }
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
        "\n**With {}, {}**: resident memory {:.1} MiB at rest, {:.1} MiB at most; processor time {:.2} s.\n\n{table}",
        rules.name(),
        asked.title,
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
