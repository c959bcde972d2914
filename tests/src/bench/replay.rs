//! Events a second of whole rule sets over a recorded mix of exec, open and connect.

use std::{
    net::{TcpListener, TcpStream},
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use serde_json::Value;

use super::{
    agent::Rules,
    report::{Section, Table},
    statistics::{grouped, median, number, with_spread},
};
use crate::{binary, sensor::Sensor};

/// For how long the mix runs.
const MIX: Duration = Duration::from_secs(5);

/// How often each rule set is run over it.
const ROUNDS: usize = 9;

/// What a busy machine does: programs are started, which open their libraries and read files.
const SCRIPT: &str = "for name in /etc/hostname /etc/passwd /etc/hosts; do cat $name; done; ls /usr/bin /etc; head -c1 /etc/passwd";

/// Records the mix, and runs the rules over it.
pub(super) fn run() -> anyhow::Result<Section> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("mix.rec");
    record(&file)?;
    let mut table = Table::new(["", "events/s, median [quartiles]", "ns an event", "detections"]);
    let mut events = 0;
    for rules in [Some(Rules::Ours), Rules::falco()].into_iter().flatten() {
        let (mut speeds, mut detections) = (vec![], 0);
        for _ in 0..ROUNDS {
            let told = replay(&file, &rules)?;
            let of = |name: &str| told[name].as_u64().context("the summary lacks a number");
            events = of("events")?;
            detections = of("detections")?;
            speeds.push(number(events) * 1e9 / number(of("elapsed_ns")?));
        }
        table.row([
            rules.name().into(),
            with_spread(&speeds, 0),
            format!("{:.0}", 1e9 / median(&speeds)),
            grouped(detections),
        ]);
    }
    let text = format!(
        "A mix of shells, `cat`, `ls` and TCP connects is recorded for {} s by `sensor record`, with every kind of event \
         ({} events), and replayed {ROUNDS} times on one core by `sensor replay --no-cost`: reading, decompressing, \
         decoding, state, matching, and writing what is found.\n\n{table}",
        MIX.as_secs(),
        grouped(events)
    );
    Ok(Section {
        title: "Rules over a recorded mix",
        text,
    })
}

fn record(file: &Path) -> anyhow::Result<()> {
    let sensor = Sensor::builder().record(file).start()?;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let end = Instant::now() + MIX;
    while Instant::now() < end {
        let status = Command::new("/bin/sh")
            .args(["-c", SCRIPT])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .status()?;
        ensure!(status.success(), "the mix ended with {status}");
        for _ in 0..10 {
            drop(TcpStream::connect(address)?);
            drop(listener.accept()?);
        }
    }
    let (status, log, _) = sensor.stop()?;
    ensure!(status.success(), "the recording ended with {status}:\n{log}");
    Ok(())
}

fn replay(file: &Path, rules: &Rules) -> anyhow::Result<Value> {
    let path = match rules {
        Rules::Falco(path) => path.clone(),
        _ => binary::repository().join("rules"),
    };
    let done = Command::new(binary::sensor())
        .arg("replay")
        .arg(file)
        .arg("--rules")
        .arg(path)
        .args(["--summary", "json", "--no-cost"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .env_remove("SENSOR_CONFIG")
        .env_remove("SENSOR_BIN")
        .output()?;
    let said = String::from_utf8_lossy(&done.stderr);
    ensure!(
        done.status.success(),
        "the replay ended with {}:\n{said}",
        done.status
    );
    let last = said.lines().last().unwrap_or_default();
    serde_json::from_str(last).with_context(|| format!("no summary:\n{said}"))
}
