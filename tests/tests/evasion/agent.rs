//! The agent that the tests about files, programs and containers share: one set of rules, `rules.yaml`.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex, PoisonError, Weak},
    time::{Duration, Instant},
};

use sensor_proto::v1::{Detection, subscribe_response::Item};
use sensor_tests::{
    client::{Client, Subscription},
    helper,
    lock::{self, Claim},
    report,
    sensor::Sensor,
    wait::DEADLINE,
};

const RULES: &str = include_str!("rules.yaml");

/// An agent, a client of it, and a process that is older than it.
pub(crate) struct Agent {
    client: Client,
    // Ends after its clients, and before the machine is given back.
    sensor: Sensor,
    elder: Mutex<Child>,
    vault: Vault,
    _claim: Claim,
}

static RUNNING: Mutex<Weak<Agent>> = Mutex::new(Weak::new());

/// The agent, started if no test has it; `None` without root, which is said.
pub(crate) fn agent() -> Option<Arc<Agent>> {
    if !rustix::process::geteuid().is_root() {
        report::skip("not root");
        return None;
    }
    let mut running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(agent) = running.upgrade() {
        return Some(agent);
    }
    let claim = lock::shared().unwrap();
    let vault = Vault::new();
    let elder = elder(&vault);
    let sensor = Sensor::builder()
        .rules(RULES)
        .set("stdout.enabled=false")
        // Room for what else the machine does: these tests are not about loss.
        .set("kernel.activity_ring_bytes=67108864")
        // Whoever floods this cgroup besides them must not use up its budget.
        .set("kernel.cgroup_events_per_second=0")
        // And for the races' thousands, which every test's stream carries.
        .set("grpc.queue_items_max=65536")
        .start()
        .unwrap();
    let agent = Arc::new(Agent {
        client: sensor.client().unwrap(),
        sensor,
        elder: Mutex::new(elder),
        vault,
        _claim: claim,
    });
    *running = Arc::downgrade(&agent);
    Some(agent)
}

/// A process that opens the vault's folder before there is an agent, and the secret in it when it is told to.
fn elder(vault: &Vault) -> Child {
    let mut elder = Command::new(helper::path("names").unwrap())
        .arg("waiting")
        .args([&vault.secret, &vault.place])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let mut said = BufReader::new(elder.stdout.as_mut().unwrap());
    said.read_line(&mut line).unwrap();
    assert_eq!(line, "ready\n");
    elder
}

impl Agent {
    /// Detections from now on.
    pub(crate) fn watch(&self) -> Watch<'_> {
        Watch {
            stream: self.client.subscribe(None).unwrap(),
            sensor: &self.sensor,
        }
    }

    /// Where its configuration, its rules and its socket are.
    pub(crate) fn folder(&self) -> &Path {
        self.sensor.folder()
    }

    /// Has the process that is older than the agent open the secret of this vault: its id.
    pub(crate) fn tell_elder(&self) -> (u32, &Vault) {
        let mut elder = self.elder.lock().unwrap_or_else(PoisonError::into_inner);
        elder.stdin.as_mut().unwrap().write_all(b"now\n").unwrap();
        (elder.id(), &self.vault)
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let elder = self.elder.get_mut().unwrap_or_else(PoisonError::into_inner);
        // It ends by itself when its standard input is closed.
        drop(elder.stdin.take());
        let _ = elder.wait();
    }
}

/// A secret of the test's own, and a place for what the ways to it need.
pub(crate) struct Vault {
    _folder: tempfile::TempDir,
    pub(crate) secret: PathBuf,
    pub(crate) place: PathBuf,
}

impl Vault {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir_in("/tmp").unwrap();
        let path = |name: &str| {
            let path = folder.path().join(name);
            std::fs::create_dir(&path).unwrap();
            path
        };
        let secret = path("e2e-vault").join("shadow");
        std::fs::write(&secret, "secret\n").unwrap();
        Self {
            secret,
            place: path("place"),
            _folder: folder,
        }
    }
}

/// Detections.
pub(crate) struct Watch<'a> {
    stream: Subscription<'a>,
    sensor: &'a Sensor,
}

impl Watch<'_> {
    /// The first detection of a rule and a process that fits.
    pub(crate) fn of(&mut self, rule: &str, pid: u32, mut fits: impl FnMut(&Detection) -> bool) -> Detection {
        self.any(rule, |found| {
            found.rule == rule && pid_of(found) == pid && fits(found)
        })
    }

    /// The first detection that fits; `what` is named when none comes.
    pub(crate) fn any(&mut self, what: &str, mut fits: impl FnMut(&Detection) -> bool) -> Detection {
        let end = Instant::now() + DEADLINE;
        let mut gaps = Vec::new();
        while Instant::now() < end {
            match self.next(end.saturating_duration_since(Instant::now())) {
                Some(Item::Detection(found)) if fits(&found) => return found,
                // May be of others on this machine: it matters only if what is looked for does not come.
                Some(Item::Gap(gap)) => gaps.push(gap),
                Some(_) => {}
                None => break,
            }
        }
        panic!(
            "no {what:?} came; lost: {gaps:?}; the agent's log:\n{}",
            self.sensor.log()
        );
    }

    /// The next item; `None` when none came in time.
    pub(crate) fn next(&mut self, patience: Duration) -> Option<Item> {
        self.stream.next(patience).unwrap()
    }
}

/// The process that a detection is about.
pub(crate) fn pid_of(detection: &Detection) -> u32 {
    detection.process.as_ref().map_or(0, |process| process.pid)
}

/// Runs a helper to its good end: its process id and what it printed.
pub(crate) fn run(program: &'static str, arguments: &[&str]) -> (u32, String) {
    run_command(Command::new(helper::path(program).unwrap()).args(arguments))
}

/// Runs a command to its good end: its process id and what it printed.
pub(crate) fn run_command(command: &mut Command) -> (u32, String) {
    let child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let pid = child.id();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{command:?}: {output:?}");
    (pid, String::from_utf8(output.stdout).unwrap().trim().to_owned())
}

/// A path as text.
pub(crate) fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}
