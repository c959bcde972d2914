//! A needle in a flood: what one container does to hide, and what others lose by it.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant, SystemTime},
};

use sensor_proto::v1::{Gap, subscribe_response::Item};
use sensor_tests::{
    cgroup::Cgroup,
    client::Subscription,
    helper, report,
    sensor::Sensor,
    wait::{self, DEADLINE},
};

use crate::{Ended, balance::counted, machine};

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

/// What a flood is made of: the helper's arguments.
const OPENS: &[&str] = &["flood-open", "300", "/etc/hostname", "100000000"];
const EXECS: &[&str] = &["flood-exec", "300", "/bin/true", "100000000"];
const CONNECTS: &[&str] = &["tcp", "100000000"];

/// Programs that do something as fast as they can.
fn flood_from(cgroup: &Cgroup, program: &Path, each: &[&[&str]]) -> Ended {
    let start = |arguments: &&[&str]| {
        let mut command = cgroup.command(program);
        command.args(*arguments).stdout(Stdio::null()).spawn().unwrap()
    };
    Ended(each.iter().map(start).collect())
}

/// One attack that was made: which, by which process, and when.
struct Attempt {
    number: usize,
    pid: u32,
    between: (SystemTime, SystemTime),
}

impl Attempt {
    /// The kind of event by which it is found.
    fn kind(&self) -> &'static str {
        let (condition, _) = ATTACKS[self.number];
        let kinds = [("openat", "open"), ("execve", "exec"), ("connect", "connect")];
        let kind = kinds.iter().find(|(event, _)| condition.contains(event));
        kind.map_or("", |(_, kind)| kind)
    }

    /// Whether a gap tells of a loss of this kind, by this cgroup, at this time.
    fn is_covered_by(&self, gap: &Gap, cgroup: u64) -> bool {
        let at = |time: Option<prost_types::Timestamp>| time.and_then(|time| SystemTime::try_from(time).ok());
        let (Some(since), Some(time)) = (at(gap.since), at(gap.time)) else {
            return false;
        };
        gap.kind == self.kind()
            && gap.cgroup_id == cgroup
            && since <= self.between.1
            && time >= self.between.0
    }
}

/// Performs every attack in a cgroup, again and again.
fn attack(cgroup: &Cgroup, times: u32) -> Vec<Attempt> {
    let mut attempts = Vec::new();
    for _ in 0..times {
        for (number, (_, words)) in ATTACKS.into_iter().enumerate() {
            let begun = SystemTime::now();
            let mut child = cgroup
                .command(Path::new(words[0]))
                .args(&words[1..])
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            let pid = child.id();
            child.wait().unwrap();
            attempts.push(Attempt {
                number,
                pid,
                between: (begun, SystemTime::now()),
            });
        }
    }
    attempts
}

/// The attempts that were not told, and the gaps that were; until all are there, or for 5 s.
fn missed(stream: &mut Subscription<'_>, attempts: Vec<Attempt>) -> (Vec<Attempt>, Vec<Gap>) {
    let end = Instant::now() + Duration::from_secs(5);
    let (mut missing, mut gaps) = (attempts, Vec::new());
    while Instant::now() < end && !missing.is_empty() {
        match stream.next(Duration::from_millis(200)).unwrap() {
            Some(Item::Detection(found)) => {
                let pid = found.process.as_ref().map_or(0, |process| process.pid);
                missing.retain(|made| made.pid != pid || found.rule != format!("needle {}", made.number));
            }
            Some(Item::Gap(gap)) => gaps.push(gap),
            _ => {}
        }
    }
    (missing, gaps)
}

/// Floods from one cgroup while attacks are made in another and then in the same: what was missed of each.
fn needles(flood: &[&[&str]], kind: &str, begun: u64, times: u32) {
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

    let flood = flood_from(&noisy, &program, flood);
    wait::until(DEADLINE, || {
        let (delivered, _) = counted(&client.status().unwrap(), noisy.id().unwrap());
        (delivered.get(kind).copied() > Some(begun)).then_some(())
    })
    .expect("a flood is on its way");
    let made = attack(&quiet, times);
    let (elsewhere, _) = missed(&mut stream, made);
    let made = attack(&noisy, times);
    let (beside, gaps) = missed(&mut stream, made);
    drop(flood);
    let _ = std::fs::remove_file("/dev/shm/sensor-e2e-needle");

    let id = noisy.id().unwrap();
    let (delivered, lost) = counted(&client.status().unwrap(), id);
    let uncovered: Vec<_> = beside
        .iter()
        .filter(|made| !gaps.iter().any(|gap| made.is_covered_by(gap, id)))
        .map(|made| (made.number, made.kind(), made.between))
        .collect();
    let all = times * 10;
    report::note(format_args!(
        "another container: {} of {all}; the same: {} of {all}, {} misses covered by gaps; the flood: {delivered:?}, lost {lost:?}",
        all as usize - elsewhere.len(),
        all as usize - beside.len(),
        beside.len() - uncovered.len(),
    ));
    let elsewhere: Vec<_> = elsewhere.iter().map(|made| made.number).collect();
    assert!(elsewhere.is_empty(), "missed in another container: {elsewhere:?}");
    assert!(uncovered.is_empty(), "no gap covers {uncovered:?}: {gaps:#?}");
}

#[test]
fn f01_a_flood_of_opens_hides_nothing_of_another_container_and_each_own_miss_is_covered_by_a_gap() {
    let Some(_machine) = machine() else { return };
    needles(&[OPENS, OPENS], "open", 10_000, TIMES);
}

#[test]
fn f02_a_flood_of_programs_and_connects_hides_nothing_of_another_container() {
    let Some(_machine) = machine() else { return };
    needles(&[EXECS, CONNECTS], "exec", 200, 2);
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
