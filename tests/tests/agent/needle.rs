//! A needle in a flood: what one container does to hide, and what others lose by it.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::{Child, Stdio},
    time::{Duration, Instant},
};

use sensor_proto::v1::subscribe_response::Item;
use sensor_tests::{
    cgroup::Cgroup,
    client::Subscription,
    helper, report,
    sensor::Sensor,
    wait::{self, DEADLINE},
};

use crate::{balance::counted, machine};

/// How often each attack is repeated.
const TIMES: u32 = 20;

/// Each is one program with arguments, and a rule finds it: by the file, the program, or the peer.
const ATTACKS: [(&str, &[&str]); 10] = [
    (
        "evt.type = openat and fd.name = /etc/shadow",
        &["/bin/cat", "/etc/shadow"],
    ),
    (
        "evt.type = openat and fd.name = /etc/gshadow",
        &["/bin/cat", "/etc/gshadow"],
    ),
    (
        "evt.type = openat and fd.name = /proc/1/environ",
        &["/bin/cat", "/proc/1/environ"],
    ),
    (
        "evt.type = openat and fd.name endswith /kcore",
        &["/usr/bin/head", "-c", "1", "/proc/kcore"],
    ),
    (
        "evt.type = openat and evt.is_open_write = true and fd.name = /dev/shm/sensor-e2e-needle",
        &["/bin/cp", "/etc/hostname", "/dev/shm/sensor-e2e-needle"],
    ),
    (
        "evt.type = execve and proc.args = e2e-needle-one",
        &["/bin/true", "e2e-needle-one"],
    ),
    (
        "evt.type = execve and proc.cmdline contains e2e-needle-two",
        &["/bin/sh", "-c", ": e2e-needle-two"],
    ),
    (
        "evt.type = execve and proc.name = base64 and proc.args contains e2e-needle",
        &["/usr/bin/base64", "--version", "e2e-needle"],
    ),
    (
        "evt.type = connect and fd.sport = 1",
        &["/bin/bash", "-c", ": > /dev/tcp/127.0.0.1/1 || true"],
    ),
    (
        "evt.type = connect and fd.sport = 2",
        &["/bin/bash", "-c", ": > /dev/udp/127.0.0.1/2"],
    ),
];

/// No kernel program decides this one, so every open is reported.
const EVERY_OPEN: &str = "
- rule: flood
  desc: asks for every open and matches none
  condition: evt.type in (open, openat) and fd.name contains e2e-no-such-file
  output: opened
  priority: NOTICE
";

fn rules() -> String {
    let needles = ATTACKS.iter().enumerate().map(|(number, (condition, _))| {
        format!(
            "- rule: needle {number}\n  desc: an attack\n  condition: {condition}\n  output: found\n  priority: NOTICE\n"
        )
    });
    std::iter::once(EVERY_OPEN.to_owned()).chain(needles).collect()
}

/// Two programs that open a file as fast as they can.
struct Flood(Vec<Child>);

impl Flood {
    fn start(cgroup: &Cgroup, program: &Path) -> Self {
        let start = || {
            let mut command = cgroup.command(program);
            let command = command.args(["flood-open", "300", "/etc/hostname", "100000000"]);
            command.stdout(Stdio::null()).spawn().unwrap()
        };
        Self((0..2).map(|_| start()).collect())
    }
}

impl Drop for Flood {
    fn drop(&mut self) {
        for child in &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Performs every attack in a cgroup, again and again.
fn attack(cgroup: &Cgroup) {
    for _ in 0..TIMES {
        for (_, words) in ATTACKS {
            let status = cgroup
                .command(Path::new(words[0]))
                .args(&words[1..])
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status();
            status.unwrap();
        }
    }
}

/// Detections by rule, and events that gaps tell of in this time; until all are there, or for 5 s.
fn found(stream: &mut Subscription<'_>) -> (BTreeMap<String, u32>, u64) {
    let end = Instant::now() + Duration::from_secs(5);
    let (mut found, mut missing) = (BTreeMap::new(), 0);
    while Instant::now() < end && found.values().sum::<u32>() < TIMES * 10 {
        match stream.next(Duration::from_millis(200)).unwrap() {
            Some(Item::Detection(detection)) => *found.entry(detection.rule).or_default() += 1,
            Some(Item::Gap(gap)) => missing += gap.count,
            _ => {}
        }
    }
    (found, missing)
}

#[test]
fn a_flood_hides_nothing_of_another_container_and_its_own_gaps_are_told() {
    let Some(_machine) = machine() else { return };
    let program: PathBuf = helper::path("load").unwrap();
    let noisy = Cgroup::new("/sensor-e2e-noisy").unwrap();
    let quiet = Cgroup::new("/sensor-e2e-quiet").unwrap();
    // With its filter the kernel would leave the whole flood out: no rule can match it.
    let sensor = Sensor::builder()
        .rules(&rules())
        .set("kernel.filter=false")
        .start()
        .unwrap();
    let client = sensor.client().unwrap();
    let mut stream = client.subscribe(None).unwrap();

    let flood = Flood::start(&noisy, &program);
    wait::until(DEADLINE, || {
        let (delivered, _) = counted(&client.status().unwrap(), noisy.id().unwrap());
        (delivered.get("open").copied() > Some(10_000)).then_some(())
    })
    .expect("a flood is on its way");
    attack(&quiet);
    let (elsewhere, _) = found(&mut stream);
    attack(&noisy);
    let (beside, missing) = found(&mut stream);
    drop(flood);
    let _ = std::fs::remove_file("/dev/shm/sensor-e2e-needle");

    let number = |found: &BTreeMap<String, u32>| found.values().sum::<u32>();
    let (delivered, lost) = counted(&client.status().unwrap(), noisy.id().unwrap());
    report::note(format_args!(
        "another container: {} of 200; the same: {} of 200; the flood: {delivered:?}, lost {lost:?}, told of meanwhile {missing}",
        number(&elsewhere),
        number(&beside),
    ));
    assert_eq!(number(&elsewhere), 200, "{elsewhere:?}");
    assert!(number(&beside) == 200 || missing > 0, "{beside:?}");
}

/// What the flood's own cgroup loses by its budget is counted to the last one.
#[test]
fn what_a_budget_leaves_out_is_counted_exactly() {
    let Some(_machine) = machine() else { return };
    let cgroup = Cgroup::new("/sensor-e2e-budget").unwrap();
    let sensor = Sensor::builder()
        .rules(EVERY_OPEN)
        .set("kernel.cgroup_events_per_second=1000")
        .set("kernel.filter=false")
        .start()
        .unwrap();
    let client = sensor.client().unwrap();
    let storm = helper::path("storm").unwrap();
    let output = cgroup
        .command(&storm)
        .args(["opens", "50000", "/dev/null"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let id = cgroup.id().unwrap();
    let mut books = (0, 0);
    wait::until(DEADLINE, || {
        let (delivered, lost) = counted(&client.status().unwrap(), id);
        let of = |counts: &BTreeMap<String, u64>| counts.get("open").copied().unwrap_or(0);
        books = (of(&delivered), of(&lost));
        // The helper is linked statically or opens its libraries besides.
        (books.0 + books.1 >= 50_000).then_some(())
    });
    let (delivered, lost) = books;
    report::note(format_args!(
        "50,000 opens: {delivered} delivered, {lost} left out"
    ));
    assert!((50_000..50_010).contains(&(delivered + lost)), "{books:?}");
    assert!(
        (250..40_000).contains(&delivered),
        "a quarter of a second's at once, then the rate: {books:?}"
    );
    let kinds = client.status().unwrap().kinds;
    let open = kinds.iter().find(|kind| kind.kind == "open").unwrap();
    assert!(open.lost["budget"] >= lost, "{open:?}");
}
