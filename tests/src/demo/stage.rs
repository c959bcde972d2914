//! What the demo is played on: a container, an agent, and a service with a hole in each place.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant, SystemTime},
};

use anyhow::Context as _;
use sensor_proto::v1::{Detection, StatusResponse, subscribe_response::Item};
use serde_json::json;

use super::{
    attack::Place,
    service::{self, Service},
};
use crate::{binary, container::Container, helper, interrupt, sensor::Sensor, watch::Watch};

/// The good content of the file that is tampered with.
pub(super) const GOOD: &str = "upstream = https://api.example.com\n";

/// Where the container sees the folder with that file.
pub(super) const SITE_INSIDE: &str = "/etc/shop";

/// The file's name in it.
pub(super) const SITE_FILE: &str = "shop.conf";

/// How often a wait looks whether the user wants to go.
const PAUSE: Duration = Duration::from_millis(100);

/// Everything that has to be cleaned up. Dropping it does so, the agent first.
#[derive(Debug)]
pub(super) struct Stage {
    watch: Watch,
    agent: Sensor,
    in_container: Service,
    container: Container,
    on_host: Service,
    host_process: HostProcess,
    scratch: tempfile::TempDir,
    folder: tempfile::TempDir,
    others: u64,
}

#[derive(Debug)]
struct HostProcess(Child);

impl Drop for HostProcess {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Stage {
    /// Starts everything, and returns when the agent watches and the subscription stands.
    pub(super) fn set() -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("sensor-demo-").tempdir()?;
        let scratch = tempfile::Builder::new()
            .prefix("sensor-demo-")
            .tempdir_in("/dev/shm")?;
        fs::copy("/bin/busybox", scratch.path().join("payload"))?;
        let make = |name: &str| {
            let made = folder.path().join(name);
            fs::create_dir(&made).map(|()| made)
        };
        let (site, host, inside) = (make("site")?, make("host")?, make("inside")?);
        fs::write(site.join(SITE_FILE), GOOD)?;
        let program = helper::path("service")?;
        let on_host = Service::new(&host)?;
        let host_process = HostProcess(
            Command::new(&program)
                .args(service::pipes(&host))
                .stdin(Stdio::null())
                .spawn()
                .context("the service")?,
        );
        let in_container = Service::new(&inside)?;
        let container = run_container(&program, &site, &inside)?;
        let agent = Sensor::builder()
            .rule_files(binary::repository().join("rules"))
            .config(&config(folder.path(), &site))
            .start()?;
        let watch = Watch::start(&agent.socket())?;
        Ok(Self {
            watch,
            agent,
            in_container,
            container,
            on_host,
            host_process,
            scratch,
            folder,
            others: 0,
        })
    }

    /// The service in `place`.
    pub(super) fn service(&mut self, place: Place) -> &mut Service {
        match place {
            Place::Host => &mut self.on_host,
            Place::Container => &mut self.in_container,
        }
    }

    /// The next item, or `None` when none came in time.
    pub(super) fn next(&mut self, timeout: Duration) -> anyhow::Result<Option<(SystemTime, Item)>> {
        let end = Instant::now() + timeout;
        loop {
            interrupt::check()?;
            let left = end.saturating_duration_since(Instant::now());
            let item = self.watch.next(left.min(PAUSE))?;
            if item.is_some() || left.is_zero() {
                return Ok(item);
            }
        }
    }

    /// Whether an item is about what the demo did: the rest of the machine may be busy, too. Others are counted.
    pub(super) fn is_ours(&mut self, item: &Item) -> bool {
        let is_ours = match item {
            Item::Detection(detection) => self.did(detection),
            Item::Gap(_) | Item::HookRun(_) | Item::RulesReload(_) => true,
        };
        self.others += u64::from(!is_ours);
        is_ours
    }

    fn did(&self, detection: &Detection) -> bool {
        if let Some(container) = &detection.container {
            return container.id == self.container.id();
        }
        let service = self.host_process.0.id();
        detection.process.as_ref().is_some_and(|process| {
            process.pid == service || process.ancestors.iter().any(|ancestor| ancestor.pid == service)
        })
    }

    /// Detections of other processes so far.
    pub(super) fn others(&self) -> u64 {
        self.others
    }

    /// The demo's own folder below `/dev/shm`, with a program in it.
    pub(super) fn scratch(&self) -> &Path {
        self.scratch.path()
    }

    /// The file that is tampered with, as the host sees it.
    pub(super) fn site_file(&self) -> PathBuf {
        self.folder.path().join("site").join(SITE_FILE)
    }

    /// The container's id.
    pub(super) fn container(&self) -> &str {
        self.container.id()
    }

    /// What the agent says of itself.
    pub(super) fn status(&self) -> anyhow::Result<StatusResponse> {
        self.agent.client()?.status()
    }

    /// What the agent has logged.
    pub(super) fn agent_log(&self) -> String {
        self.agent.log()
    }
}

fn run_container(program: &Path, site: &Path, pipes: &Path) -> anyhow::Result<Container> {
    let service = "/usr/sbin/shop";
    let [commands, times] = service::pipes(Path::new("/run/shop"));
    Container::builder()
        .overlay(true)
        .bind(site, SITE_INSIDE)
        .bind(pipes, "/run/shop")
        .file(service, fs::read(program)?, 0o755)
        .file(
            "/run/secrets/kubernetes.io/serviceaccount/token",
            "not a token\n",
            0o644,
        )
        .file("/opt/README", "what the shop needs\n", 0o644)
        .run(&[Path::new(service), &commands, &times])
}

/// A configuration with one hook that acts. JSON is YAML.
fn config(folder: &Path, site: &Path) -> String {
    json!({
        // Each attack is to be seen by its own rule, whatever others see in it.
        "rules": { "matching": "all" },
        "respond": {
            "mode": "act",
            "journal": folder.join("response.jsonl"),
            "kill_switch": folder.join("respond.off"),
            "breaker": folder.join("respond.breaker"),
            "hooks": [{
                "name": "restore",
                "builtin": "restore-file",
                "copies": folder.join("copies"),
                "paths": [site.join("*.conf")],
                "mode": "act",
            }],
            "bindings": [{ "rule": super::tamper::RULE, "hooks": ["restore"] }],
        },
    })
    .to_string()
}
