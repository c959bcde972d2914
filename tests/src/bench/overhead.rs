//! What programs lose by the agent's presence: the same loads with and without it, in turns.

use std::collections::BTreeMap;

use super::{
    arm::Arm,
    progress,
    report::{Section, Table},
    statistics::{median, with_spread},
    workload::{Done, Loads, WORKLOADS},
};

/// Short runs of each load in one turn of an arm; their median counts.
const RUNS: usize = 5;

/// Nanoseconds of one operation.
#[derive(Clone, Copy, Debug)]
struct Time {
    clock: f64,
    processor: f64,
}

/// By load, then by round.
type Times = BTreeMap<&'static str, Vec<Time>>;

/// What an arm's loads took, and what they took without an agent right before.
#[derive(Debug, Default)]
struct Pairs {
    alone: Times,
    watched: Times,
}

/// Takes turns, and compares each turn of an arm with the bare machine right before it.
pub(super) fn run(rounds: u32) -> anyhow::Result<Section> {
    let loads = Loads::build()?;
    let arms = Arm::all();
    let mut pairs: Vec<Pairs> = arms.iter().map(|_| Pairs::default()).collect();
    for round in 0..rounds {
        // Another arm begins in each round, so that none has a place of its own.
        let first = usize::try_from(round)? % arms.len();
        for arm in (0..arms.len()).map(|step| (first + step) % arms.len()) {
            progress(&format!(
                "  round {} of {rounds}, {}",
                round + 1,
                arms[arm].name()
            ))?;
            measure(&loads, &mut pairs[arm].alone)?;
            let running = arms[arm].start()?;
            measure(&loads, &mut pairs[arm].watched)?;
            drop(running);
        }
    }
    Ok(section(&arms, &pairs))
}

fn measure(loads: &Loads, times: &mut Times) -> anyhow::Result<()> {
    for workload in &WORKLOADS {
        let runs = (0..RUNS).map(|_| loads.run(workload, workload.times));
        let runs = runs.collect::<anyhow::Result<Vec<_>>>()?;
        let middle = |of: fn(&Done) -> f64| median(&runs.iter().map(of).collect::<Vec<f64>>());
        let time = Time {
            clock: middle(Done::each),
            processor: middle(Done::each_used),
        };
        times.entry(workload.name).or_default().push(time);
    }
    Ok(())
}

fn section(arms: &[Arm], pairs: &[Pairs]) -> Section {
    let names = arms.iter().map(Arm::name);
    let mut ratios = Table::new(["Load", "Alone, ns"].into_iter().chain(names.clone()));
    let mut added = Table::new(["Load"].into_iter().chain(names));
    for workload in &WORKLOADS {
        let alone: Vec<f64> = pairs
            .iter()
            .flat_map(|pair| &pair.alone[workload.name])
            .map(|time| time.clock)
            .collect();
        let each = |compare: fn(&Time, &Time) -> f64, digits| {
            pairs.iter().map(move |pair| {
                let both = pair.watched[workload.name].iter().zip(&pair.alone[workload.name]);
                let compared: Vec<f64> = both.map(|(watched, alone)| compare(watched, alone)).collect();
                with_spread(&compared, digits)
            })
        };
        let head = [workload.title.to_owned(), format!("{:.0}", median(&alone))];
        ratios.row(
            head.into_iter()
                .chain(each(|watched, alone| watched.clock / alone.clock, 2)),
        );
        let head = [workload.title.to_owned()];
        added.row(
            head.into_iter()
                .chain(each(|watched, alone| watched.processor - alone.processor, 0)),
        );
    }
    let text = format!(
        "Time of one operation with the agent, as a multiple of the time without it right before: the median over the \
         rounds, and the quartiles. Each round has {RUNS} short runs of each load in each turn.\n\n{ratios}\n\
         Nanoseconds of the load's own processor time that are added to one operation, that is without what it waits \
         for, be it the agent or another program that has the core:\n\n{added}"
    );
    Section {
        title: "What programs lose",
        text,
    }
}
