//! Thousands of containers, one after another: what the agent still holds when they are gone.

use std::time::{Duration, Instant};

use anyhow::Context as _;

use super::{
    agent::{Agent, Rules, resident},
    progress,
    report::{Section, Table},
    statistics::{grouped, number},
};
use crate::{container, scrape, wait};

/// How many containers are on their way at a time.
const AT_ONCE: usize = 3;

/// Looks at the agent's memory on the way.
const LOOKS: usize = 5;

/// How long the agent may take to forget.
const FORGET: Duration = Duration::from_mins(2);

const MIB: f64 = 1024.0 * 1024.0;

/// What is looked at.
const SAMPLES: [(&str, &str); 3] = [
    ("containers", "sensor_table_entries{table=\"containers\"}"),
    ("cgroups", "sensor_table_entries{table=\"cgroups\"}"),
    ("processes", "sensor_table_entries{table=\"processes\"}"),
];

/// Runs so many containers.
pub(super) fn run(containers: usize) -> anyhow::Result<Section> {
    let each = containers / LOOKS;
    // Without an agent first, for comparison.
    let begin = Instant::now();
    container::churn(each, AT_ONCE)?;
    let alone = begin.elapsed().as_secs_f64() / number(each as u64);
    let address = scrape::free_address()?;
    let agent = Agent::start_with(
        &Rules::Ours,
        &[&format!("metrics.address={address}"), "state.exited_keep_s=5"],
    )?;
    let sample = |name: &str| -> anyhow::Result<f64> {
        Ok(scrape::scrape(address)?.get(name).copied().unwrap_or(f64::NAN))
    };
    let mut table = Table::new([
        "Containers so far",
        "Resident, MiB",
        "Containers",
        "Cgroups",
        "Processes",
    ]);
    let mut look = |so_far: String| -> anyhow::Result<f64> {
        let memory = number(resident(agent.pid())?) / MIB;
        let mut row = vec![so_far, format!("{memory:.1}")];
        for (_, name) in SAMPLES {
            row.push(format!("{:.0}", sample(name)?));
        }
        table.row(row);
        Ok(memory)
    };
    // The tables are counted once a second.
    wait::until(FORGET, || (sample(SAMPLES[1].1).ok()? > 0.0).then_some(()))
        .context("the agent counts no cgroups")?;
    look("0".into())?;
    let before = SAMPLES.map(|(_, name)| sample(name).unwrap_or(f64::NAN));
    let used = agent.processor_time()?;
    let mut spent = Duration::ZERO;
    for turn in 1..=LOOKS {
        let begin = Instant::now();
        container::churn(each, AT_ONCE)?;
        spent += begin.elapsed();
        progress(&format!("  {} containers", turn * each))?;
        look(grouped((turn * each) as u64))?;
    }
    let used = agent.processor_time()?.saturating_sub(used);
    let is_forgotten = wait::until(FORGET, || {
        let now = SAMPLES.map(|(_, name)| sample(name).unwrap_or(f64::NAN));
        (now[0] <= before[0] && now[1] <= before[1]).then_some(())
    });
    look("at rest again".into())?;
    let made = number((LOOKS * each) as u64);
    let [asked, unverified, refused, unready] = [
        "sensor_containers_asked_total",
        "sensor_containers_unverified_total",
        "sensor_containers_refused_total",
        "sensor_records_unready_total",
    ]
    .map(|name| sample(name).unwrap_or(f64::NAN));
    let stale = if is_forgotten.is_some() {
        "No table holds more than before"
    } else {
        "**Tables hold more than before**"
    };
    let text = format!(
        "runc runs {} containers that say a word and end, {AT_ONCE} at a time, with our rules: {:.1} a second, {:.2} times as long \
         as without the agent right before. The agent used {:.2} ms of processor time for each. Facts were looked for {asked:.0} \
         times; {unverified:.0} containers stayed unverified, {refused:.0} were not looked for, and {unready:.0} records did not get \
         their facts in time. {stale}, once ended processes are forgotten (5 s).\n\n{table}",
        grouped((LOOKS * each) as u64),
        made / spent.as_secs_f64(),
        spent.as_secs_f64() / made / alone,
        used.as_secs_f64() * 1e3 / made,
    );
    Ok(Section {
        title: "Churn of containers",
        text,
    })
}
