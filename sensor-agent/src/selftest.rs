//! The self-test: does what is attached still tell what happens?
//!
//! From time to time the agent compares its links and maps with what it set up ([`crate::kernel::integrity`]), and starts
//! a canary: a process of its own in a cgroup of its own, which does one harmless thing for each hook and each filter
//! that is in use ([`act`], [`canary`]). Each thing must come back as an event, all the way through the kernel's filters,
//! the rings and the decoder ([`round`]); what does not is told in log, status, metrics and stream ([`health`]).
//!
//! What comes back is kept from the rules of users. Nobody can hide behind it: an event is the canary's only if it is one
//! of the few that this round expects, made by the child that the agent itself started, about a name that was drawn for
//! this round, and each only once.

pub mod act;
pub mod canary;
pub mod health;
pub mod round;

use std::{
    fmt::Write as _,
    io::{self, Read as _},
    net::{Ipv4Addr, Ipv6Addr, TcpListener},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use sensor_rules::{
    load::{LoadOptions, Loader},
    partial::Demand,
};

use self::{
    act::{Act, Wanted},
    health::Health,
    round::Round,
};
use crate::{kernel::attach::Probes, run::canaries::Canaries};

/// In which a canary must have done what it does, and in which its events must have come.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often is looked whether all have come.
const LOOK: Duration = Duration::from_millis(20);
/// What the canary's folders begin with.
const FOLDER: &str = ".sensor-canary-";

/// The self-test of a running agent.
pub struct SelfTest {
    interval: Duration,
    /// Where canaries have their folders, with the part of the name that was drawn for this run of the agent.
    base: PathBuf,
    /// Where canaries connect to.
    listeners: (Option<TcpListener>, Option<TcpListener>),
    canaries: Canaries,
    health: Arc<Health>,
    agent: u32,
}

/// What a round came to.
enum Came {
    /// All that was expected.
    All,
    /// Without these.
    Without(Vec<Wanted>),
    /// It could not be done.
    Not(String),
}

/// Names and ports drawn for one run of the agent, before filters are made.
#[derive(Debug)]
pub struct Secret {
    base: PathBuf,
    listeners: (Option<TcpListener>, Option<TcpListener>),
}

/// The ports where canaries connect to, over IPv4 and IPv6.
fn ports(listeners: &(Option<TcpListener>, Option<TcpListener>)) -> [Option<u16>; 2] {
    [&listeners.0, &listeners.1].map(|listener| Some(listener.as_ref()?.local_addr().ok()?.port()))
}

impl Secret {
    /// Draws the names; folders will be in the first of these places that can be written.
    ///
    /// # Errors
    /// When there is no randomness, or no place.
    pub fn draw(socket: Option<&Path>) -> io::Result<Self> {
        let secret = random()?;
        let places = socket.and_then(Path::parent).map(Path::to_owned).into_iter();
        let mut failed = io::Error::from(io::ErrorKind::NotFound);
        for place in places.chain(["/run".into(), std::env::temp_dir()]) {
            let base = place
                .canonicalize()
                .map(|place| place.join(format!("{FOLDER}{secret}")));
            let tried = base.and_then(|base| {
                std::fs::create_dir(&base)?;
                std::fs::remove_dir(&base)?;
                Ok(base)
            });
            match tried {
                Ok(base) => {
                    let listeners = (
                        TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).ok(),
                        TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).ok(),
                    );
                    return Ok(Self { base, listeners });
                }
                Err(error) => failed = error,
            }
        }
        Err(failed)
    }

    /// What the kernel's filters must let through for the canary: what it does below its folders and at its ports. Who
    /// asks whether a signal may be sent has no name to be told apart by.
    #[must_use]
    pub fn demands(&self) -> Vec<Demand> {
        let base = self.base.display();
        let name = self.base.file_name().unwrap_or_default().display();
        let ports: Vec<_> = ports(&self.listeners)
            .into_iter()
            .flatten()
            .map(|port| port.to_string())
            .collect();
        let mut conditions = vec![
            format!("evt.type in (open, openat, openat2) and fd.name startswith \"{base}\""),
            format!(
                "evt.type in (mkdirat, renameat, linkat, symlinkat, unlinkat, fchmodat, chdir) and fs.path.name startswith \"{base}\""
            ),
            format!("evt.type = memfd_create and evt.arg.name startswith \"{name}\""),
            "evt.type = kill and evt.rawarg.sig = 0".to_owned(),
        ];
        if !ports.is_empty() {
            conditions.push(format!(
                "evt.type = connect and fd.sport in ({})",
                ports.join(", ")
            ));
        }
        let mut text = String::new();
        for (number, condition) in conditions.iter().enumerate() {
            let _infallible = writeln!(
                text,
                "- rule: canary {number}\n  desc: what the self-test does\n  condition: {condition}\n  output: canary\n  priority: DEBUG"
            );
        }
        let mut loader = Loader::new(LoadOptions::default());
        loader.add_file("canary", text.as_bytes());
        loader
            .finish()
            .rule_set
            .map_or_else(Vec::new, |set| set.demands().to_vec())
    }
}

impl SelfTest {
    /// A self-test that has not begun.
    #[must_use]
    pub fn new(
        interval: Duration,
        secret: Secret,
        canaries: Canaries,
        health: Arc<Health>,
        agent: u32,
    ) -> Self {
        Self {
            interval,
            base: secret.base,
            listeners: secret.listeners,
            canaries,
            health,
            agent,
        }
    }

    /// How long until the next round.
    #[must_use]
    pub fn interval(&self) -> Duration {
        self.interval
    }

    /// Looks at everything once.
    pub async fn run(&mut self, probes: &mut Probes) {
        match probes.check() {
            Ok(found) => found.iter().for_each(|found| self.health.tampered(found)),
            Err(error) => tracing::debug!(%error, "links and maps cannot be compared with what was set up"),
        }
        let mut came = self.round(probes).await;
        if matches!(came, Came::Without(_)) {
            // A flood may have taken the place of one event; of two rounds in a row it takes no event that a process
            // makes first.
            came = self.round(probes).await;
        }
        match came {
            Came::All => self.health.judge(&[]),
            Came::Without(missing) => {
                let silent: Vec<_> = missing.iter().map(Wanted::silence).collect();
                self.health.judge(&silent);
            }
            Came::Not(why) => self
                .health
                .judge(&[format!("the self-test cannot be done: {why}")]),
        }
    }

    async fn round(&self, probes: &Probes) -> Came {
        let nonce = match random() {
            Ok(nonce) => nonce,
            Err(error) => return Came::Not(format!("no random name: {error}")),
        };
        let ports = ports(&self.listeners);
        let wanted = act::wanted(probes, ports);
        let folder = PathBuf::from(format!("{}-{nonce}", self.base.display()));
        let round = Arc::new(Round::new(self.agent, nonce, folder, ports, wanted));
        let came = match self.perform(&round).await {
            Ok(failed) => {
                let missing = round.missing().into_iter();
                // What the canary could not do has made no event.
                let missing: Vec<_> = missing.filter(|wanted| !failed.contains(&wanted.act)).collect();
                if missing.is_empty() {
                    Came::All
                } else {
                    Came::Without(missing)
                }
            }
            Err(why) => Came::Not(why),
        };
        // One that does not come ends with the next.
        let _ = self.canaries.send(None);
        // Connections that nobody needs any more.
        for listener in [&self.listeners.0, &self.listeners.1].into_iter().flatten() {
            let _ = listener.set_nonblocking(true);
            while listener.accept().is_ok() {}
        }
        came
    }

    /// Has a canary perform the round, and waits for its events. Returns what it could not do.
    async fn perform(&self, round: &Arc<Round>) -> Result<Vec<Act>, String> {
        if !self.canaries.send(Some(Arc::clone(round))) {
            return Err("the thread that matches takes no round".into());
        }
        let failed = tokio::time::timeout(PATIENCE, canary::run(round))
            .await
            .map_err(|_| "the canary did not end in time".to_owned())??;
        let end = tokio::time::Instant::now() + PATIENCE;
        while tokio::time::Instant::now() < end {
            let missing = round.missing();
            if missing.iter().all(|wanted| failed.contains(&wanted.act)) {
                break;
            }
            tokio::time::sleep(LOOK).await;
        }
        Ok(failed)
    }
}

/// 128 random bits, as hexadecimal digits.
fn random() -> io::Result<String> {
    let mut bytes = [0_u8; 16];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(format!("{:032x}", u128::from_ne_bytes(bytes)))
}
