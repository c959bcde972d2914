//! Detection latency: from the return of the system call to the subscriber.

use std::time::{Duration, UNIX_EPOCH};

use anyhow::ensure;
use sensor_proto::v1::subscribe_response::Item;

use super::{
    agent::{Agent, Rules},
    progress,
    report::{Section, Table},
    statistics::{grouped, quantile},
    workload::Loads,
};
use crate::{interrupt, watch::Watch};

/// A file whose opening our rules report.
const NEEDLE: &str = "/etc/shadow";
const RULE: &str = "Password file read";

const NEEDLES: u32 = 1000;

/// Between two needles: long enough that each finds the agent as it is without them, and a thousand a second.
const PAUSES: [Duration; 2] = [Duration::from_millis(3), Duration::from_millis(1)];

/// Opens per second of the load beside; 0 is none.
const LOADS: [u32; 3] = [0, 20_000, 100_000];

/// How long the last detections may take after the last needle.
const REST: Duration = Duration::from_secs(10);

/// Measures alone and beside a load.
pub(super) fn run() -> anyhow::Result<Section> {
    let loads = Loads::build()?;
    let agent = Agent::start(&Rules::Ours)?;
    let mut table = Table::new([
        "Load beside",
        "A needle each",
        "Needles",
        "Detected",
        "p50, ms",
        "p90, ms",
        "p99, ms",
        "max, ms",
    ]);
    for (pause, per_second) in PAUSES
        .into_iter()
        .flat_map(|pause| LOADS.map(|load| (pause, load)))
    {
        progress(&format!("  {per_second} opens/s beside"))?;
        let beside = (per_second > 0)
            .then(|| loads.flood_open(60, per_second))
            .transpose()?;
        let (found, samples) = needles(&loads, &agent, pause)?;
        drop(beside);
        let name = if per_second == 0 {
            "none".to_owned()
        } else {
            format!("{} opens/s", grouped(per_second.into()))
        };
        // With one missing it is not known which, and so not how long the others took.
        let times = [0.5, 0.9, 0.99, 1.0].map(|share| {
            samples.as_ref().map_or("-".to_owned(), |samples| {
                format!("{:.2}", quantile(samples, share))
            })
        });
        table.row(
            [
                name,
                format!("{} ms", pause.as_millis()),
                NEEDLES.to_string(),
                found.to_string(),
            ]
            .into_iter()
            .chain(times),
        );
    }
    let text = format!(
        "A process opens {NEEDLE} at this pace and notes the time when the call has returned; a subscriber over gRPC on the \
         unix socket notes when the detection arrives. The load beside opens another file, at this rate where the machine \
         can keep it.\n\n{table}"
    );
    Ok(Section {
        title: "Detection latency",
        text,
    })
}

/// How many needles were detected, and, when all were, the milliseconds from each call's return to its detection.
fn needles(loads: &Loads, agent: &Agent, pause: Duration) -> anyhow::Result<(usize, Option<Vec<f64>>)> {
    let mut watch = Watch::start(&agent.socket())?;
    let mut process = loads.needle(NEEDLES, NEEDLE, pause)?;
    let pid = process.pid();
    let mut arrivals = Vec::new();
    while arrivals.len() < NEEDLES as usize {
        let wait = if process.is_over()? {
            REST
        } else {
            Duration::from_millis(200)
        };
        interrupt::check()?;
        match watch.next(wait)? {
            Some((arrived, Item::Detection(detection)))
                if detection.rule == RULE && detection.process.as_ref().is_some_and(|by| by.pid == pid) =>
            {
                arrivals.push(arrived.duration_since(UNIX_EPOCH)?);
            }
            None if wait == REST => break,
            Some(_) | None => {}
        }
    }
    let stamps = process.output()?;
    let stamps = stamps.lines().map(str::parse).collect::<Result<Vec<u64>, _>>()?;
    ensure!(
        stamps.len() == NEEDLES as usize,
        "{} needles of {NEEDLES}",
        stamps.len()
    );
    // One process made them one after the other, so they come in that order. The kernel reports an event just before
    // the call returns, so that a detection can even come first.
    let wait = |(stamp, arrived): (&u64, &Duration)| {
        1e3 * arrived.saturating_sub(Duration::from_nanos(*stamp)).as_secs_f64()
    };
    let is_complete = arrivals.len() == stamps.len();
    Ok((
        arrivals.len(),
        is_complete.then(|| stamps.iter().zip(&arrivals).map(wait).collect()),
    ))
}
