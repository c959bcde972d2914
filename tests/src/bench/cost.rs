//! What one event costs: nanoseconds in the kernel, by its own count, and in the agent, by its processor time.

use std::{fs, path::Path};

use anyhow::Context as _;

use super::{
    agent::{Agent, Rules, kind},
    progress,
    report::{Section, Table},
    statistics::{grouped, number, ratio},
    workload::{Loads, WORKLOADS, Workload},
};

/// Runs of the length that the other benchmarks use.
const LENGTH: u64 = 5;

const SWITCH: &str = "/proc/sys/kernel/bpf_stats_enabled";

/// The kernel's own count of its programs' time. Dropping it puts the switch back.
struct Counting(String);

impl Counting {
    fn start() -> anyhow::Result<Self> {
        let before = fs::read_to_string(SWITCH).with_context(|| SWITCH.to_owned())?;
        fs::write(Path::new(SWITCH), "1").with_context(|| SWITCH.to_owned())?;
        Ok(Self(before))
    }
}

impl Drop for Counting {
    fn drop(&mut self) {
        let _ = fs::write(SWITCH, &self.0);
    }
}

/// Runs each load once, longer, with the kernel's count switched on.
pub(super) fn run() -> anyhow::Result<Section> {
    let loads = Loads::build()?;
    let _counting = Counting::start()?;
    let mut table = Table::new([
        "Load",
        "Operations",
        "Program runs / operation",
        "Kernel, ns / run",
        "Kernel, ns / operation",
        "Delivered to the agent",
        "Agent, ns / event delivered",
    ]);
    let arms = [Rules::ExecOnly, Rules::Ours].into_iter().chain(Rules::falco());
    for rules in arms {
        progress(&format!("  {}", rules.name()))?;
        let agent = Agent::start(&rules)?;
        for workload in &WORKLOADS {
            table.row(measure(&loads, &agent, &rules, workload)?);
        }
    }
    let text = format!(
        "The kernel's time is `run_time_ns` of all our programs (`kernel.bpf_stats_enabled`) while the load ran; the count \
         itself reads the clock twice in each run, which is in the figures. The agent's is its processor time, shared out \
         among all events, of every kind, that were delivered to it meanwhile. What other processes of the machine did is \
         in both, so that they are upper bounds.\n\n{table}"
    );
    Ok(Section {
        title: "Cost of an event",
        text,
    })
}

fn measure(loads: &Loads, agent: &Agent, rules: &Rules, workload: &Workload) -> anyhow::Result<[String; 7]> {
    let before = (agent.settled()?, agent.kernel_time()?, agent.processor_time()?);
    let done = loads.run(workload, workload.times * LENGTH)?;
    let after = (agent.settled()?, agent.kernel_time()?, agent.processor_time()?);
    let runs = after.1.runs - before.1.runs;
    let kernel = after.1.nanoseconds - before.1.nanoseconds;
    let delivered =
        |kinds: &[sensor_proto::v1::KindCounters]| kinds.iter().map(|kind| kind.delivered).sum::<u64>();
    let all = delivered(&after.0) - delivered(&before.0);
    let of_kind = if workload.kind.is_empty() {
        0
    } else {
        kind(&after.0, workload.kind)?.delivered - kind(&before.0, workload.kind)?.delivered
    };
    let user = u64::try_from((after.2.saturating_sub(before.2)).as_nanos())?;
    // A handful of events of other processes tells nothing of what this load costs.
    let is_load = number(of_kind) > 0.5 * number(done.operations);
    let user = ratio(user, all).filter(|_| is_load);
    let or_dash =
        |value: Option<f64>, digits: usize| value.map_or("-".into(), |value| format!("{value:.digits$}"));
    Ok([
        format!("{}, {}", workload.title, rules.name()),
        grouped(done.operations),
        or_dash(ratio(runs, done.operations), 2),
        or_dash(ratio(kernel, runs), 0),
        or_dash(ratio(kernel, done.operations), 0),
        grouped(of_kind),
        or_dash(user, 0),
    ])
}
