//! An agent with a rule that prints all that is known of a container.

use sensor_proto::v1::Detection;
use sensor_tests::{
    client::{Client, Subscription},
    engine::{Engine, Kind},
    lock::{self, Claim},
    report,
    sensor::{Builder, Sensor},
    wait::DEADLINE,
};

const RULES: &str = r"
- rule: exec
  desc: every fact of a container
  condition: evt.type in (execve, execveat)
  output: >
    %proc.name %proc.args %proc.is_container_exec %container.id %container.full_id %container.name %container.type
    %container.image %container.image.repository %container.image.tag %container.image.id %container.privileged
    %container.host_network %container.host_pid %container.label[team] %container.mount.dest[/srv*] %container.unverified
    %container.start_ts %container.outer.id %container.shares_pids_with %cgroup.moved %k8s.pod.name %k8s.ns.name %k8s.pod.uid %k8s.pod.sandbox_id
    %k8s.pod.label[app] %meta.pending %evt.incomplete %user.uid %user.vuid %user.name
    %user.homedir %user.shell %group.gid %group.vgid %group.name %thread.cgroups
  priority: NOTICE
";

/// An agent of the test's own.
pub(crate) struct Agent {
    // Ends before the machine is given back.
    pub(crate) sensor: Sensor,
    pub(crate) client: Client,
    _claim: Claim,
}

impl Agent {
    /// A program of the host's that says a word.
    pub(crate) fn echo(&self, word: &str) {
        let status = std::process::Command::new("/bin/echo").arg(word).status();
        assert!(status.unwrap().success(), "{}", self.sensor.log());
    }
}

/// Starts an agent; `None` where one of the engines cannot run, which is said.
pub(crate) fn agent(kinds: &[Kind]) -> Option<Agent> {
    agent_with(kinds, |builder| builder)
}

/// The same, with settings that the test adds once it has the machine to itself.
pub(crate) fn agent_with(kinds: &[Kind], set: impl FnOnce(Builder) -> Builder) -> Option<Agent> {
    agent_by(kinds, RULES, set)
}

/// The same, with other rules.
pub(crate) fn agent_by(kinds: &[Kind], rules: &str, set: impl FnOnce(Builder) -> Builder) -> Option<Agent> {
    if !rustix::process::geteuid().is_root() {
        report::skip("not root");
        return None;
    }
    if let Some(missing) = kinds.iter().find_map(|kind| kind.missing()) {
        report::skip(missing);
        return None;
    }
    // One at a time: engines of two tests would name the same words.
    let claim = lock::alone().unwrap();
    let builder = Sensor::builder()
        .rules(rules)
        .set("stdout.enabled=false")
        .set("kernel.activity_ring_bytes=67108864");
    let sensor = set(builder).start().unwrap();
    let client = sensor.client().unwrap();
    Some(Agent {
        sensor,
        client,
        _claim: claim,
    })
}

/// The first exec whose arguments contain a word.
pub(crate) fn find(stream: &mut Subscription<'_>, agent: &Agent, word: &str) -> Detection {
    use sensor_tests::values::Values as _;

    let found = stream
        .find(DEADLINE, |detection| {
            // The engine's own programs name the word, too, on the host.
            detection.text("proc.name") == "echo"
                && detection.text("proc.args").split(' ').any(|one| one == word)
        })
        .unwrap();
    found.unwrap_or_else(|| panic!("no exec with {word}; the agent's log:\n{}", agent.sensor.log()))
}

/// An engine that runs.
pub(crate) fn engine(kind: Kind) -> Engine {
    Engine::start(kind).unwrap()
}
