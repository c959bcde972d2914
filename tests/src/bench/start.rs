//! Start to first event; memory and processor time of an agent that has nothing to do.

use std::{thread, time::Duration};

use super::{
    agent::{Agent, Rules, resident},
    report::{Section, Table},
    statistics::{number, with_spread},
};

const STARTS: usize = 5;

/// How long an agent is left alone.
const REST: Duration = Duration::from_secs(2);

const MIB: f64 = 1024.0 * 1024.0;

/// Starts the agent a few times and leaves it alone.
pub(super) fn run() -> anyhow::Result<Section> {
    let (mut first_event, mut memory, mut maps, mut processor) = (vec![], vec![], vec![], vec![]);
    for _ in 0..STARTS {
        let agent = Agent::start(&Rules::Ours)?;
        first_event.push(number(agent.status()?.start_to_first_event_ns) / 1e6);
        let before = agent.processor_time()?;
        // Not a wait for something: this is what is measured.
        thread::sleep(REST);
        let used = agent.processor_time()?.saturating_sub(before);
        processor.push(100.0 * used.as_secs_f64() / REST.as_secs_f64());
        memory.push(number(resident(agent.pid())?) / MIB);
        maps.push(number(agent.map_bytes()?) / MIB);
    }
    let mut table = Table::new(["", "median [quartiles]"]);
    table.row([
        "start of the process to the first event read, ms".into(),
        with_spread(&first_event, 0),
    ]);
    table.row(["resident memory at rest, MiB".into(), with_spread(&memory, 1)]);
    table.row([
        "kernel memory of its maps and rings, MiB".into(),
        with_spread(&maps, 1),
    ]);
    table.row([
        "processor time at rest, % of a core".into(),
        with_spread(&processor, 2),
    ]);
    let text = format!(
        "{STARTS} starts with our rules. At rest means {} s without a load of ours; what else runs on the machine is \
         watched all the same.\n\n{table}",
        REST.as_secs()
    );
    Ok(Section {
        title: "Start and rest",
        text,
    })
}
