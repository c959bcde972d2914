//! What the Kubernetes API tells of this node's pods: names, labels, owners.
//!
//! A pod's uid is in its cgroup's path, so an event finds its pod from the first exec on; this module only
//! supplies what belongs to the uid. It runs in tasks of its own and hands facts over through a bounded
//! channel: no event ever waits for the API server, and without it everything else goes on.
//!
//! Invariant: it reads. It has no request that changes anything.

mod api;
pub(crate) mod fuzzing;
mod owner;
mod parse;
mod split;
#[cfg(test)]
mod tests;
mod watch;

use std::collections::{HashMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

pub use api::Server;

use crate::config::KubernetesConfig;
use crate::metrics::KubernetesMetrics;
use crate::state::workload::feed::FactSender;

/// Where Kubernetes puts the service account's files into each container.
const ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// Bytes of a node's name; Kubernetes allows 253.
const NODE_BYTES_MAX: usize = 253;

/// What is followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Settings {
    /// The node's name in Kubernetes.
    pub(crate) node: String,
    /// Pods that are remembered.
    pub(crate) pods_max: usize,
}

/// Why pods cannot be followed: a fault of the configuration.
#[derive(Debug, thiserror::Error)]
pub enum KubernetesError {
    /// Neither set nor in the environment.
    #[error(
        "kubernetes.enabled is true, but kubernetes.api_server is not set and KUBERNETES_SERVICE_HOST is not in the environment"
    )]
    NoServer,
    /// Not an address.
    #[error("kubernetes.api_server is `{0}`; it must be https://HOST[:PORT], or http:// for a local proxy")]
    BadServer(String),
    /// Not a name.
    #[error("the node's name `{0}` is none that Kubernetes allows; set kubernetes.node")]
    BadNode(String),
}

/// Whether pods are followed at this moment, and why not.
#[derive(Debug, Default)]
pub struct Health {
    fault: ArcSwapOption<String>,
}

impl Health {
    fn fails(&self, why: String) {
        self.fault.store(Some(Arc::new(why)));
    }

    fn works(&self) {
        self.fault.store(None);
    }

    /// What is wrong, as a sentence for `Agent.Status`.
    #[must_use]
    pub fn degraded(&self) -> Option<String> {
        let why = self.fault.load_full()?;
        Some(format!("pods are not followed, new ones have no names: {why}"))
    }
}

/// The running tasks; dropping them ends them.
#[derive(Debug)]
pub struct Kubernetes {
    _tasks: JoinSet<()>,
    /// See [`Health`].
    pub health: Arc<Health>,
}

/// Starts to follow the pods of this node, where there is an API server to ask, and tells `facts` of them.
///
/// # Errors
/// When the configuration wants it and says too little.
pub fn start(
    config: &KubernetesConfig,
    hostname: &str,
    pods_max: usize,
    facts: FactSender,
    metrics: &KubernetesMetrics,
) -> Result<Option<Kubernetes>, KubernetesError> {
    let environment = |name| std::env::var(name).ok();
    let Some(server) = server(config, environment, Path::new(ACCOUNT))? else {
        return Ok(None);
    };
    let node = config.node.clone().unwrap_or_else(|| hostname.to_owned());
    let is_name = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-".contains(&byte);
    if node.is_empty() || node.len() > NODE_BYTES_MAX || !node.bytes().all(is_name) {
        return Err(KubernetesError::BadNode(node));
    }
    let server = Arc::new(server);
    let health = Arc::new(Health::default());
    health.fails("the API server has not answered yet".to_owned());
    let (questions, asked) = mpsc::channel(owner::QUEUE_MAX);
    let (tell, answers) = mpsc::channel(owner::QUEUE_MAX);
    let mut tasks = JoinSet::new();
    tasks.spawn(owner::answer(Arc::clone(&server), asked, tell, metrics.clone()));
    let watcher = watch::Watcher {
        server,
        settings: Settings { node, pods_max },
        facts,
        questions,
        answers,
        metrics: metrics.clone(),
        health: Arc::clone(&health),
        known: HashMap::new(),
        departed: VecDeque::new(),
        owners: owner::Owners::default(),
    };
    tasks.spawn(watcher.run());
    Ok(Some(Kubernetes {
        _tasks: tasks,
        health,
    }))
}

/// The server that is to be asked; `None` where there is none and none is wanted.
fn server(
    config: &KubernetesConfig,
    environment: impl Fn(&'static str) -> Option<String>,
    account: &Path,
) -> Result<Option<Server>, KubernetesError> {
    if config.enabled == Some(false) {
        return Ok(None);
    }
    let file = |set: &Option<PathBuf>, name| {
        let default = account.join(name);
        set.clone().or_else(|| default.exists().then_some(default))
    };
    let host = environment("KUBERNETES_SERVICE_HOST").filter(|host| !host.is_empty());
    let mut server = match (&config.api_server, host) {
        (Some(address), _) => parse_server(address)?,
        // A pod that was not given an account is not meant to ask.
        (None, Some(_)) if config.enabled.is_none() && file(&config.token_file, "token").is_none() => {
            return Ok(None);
        }
        (None, Some(host)) => Server {
            is_tls: true,
            host,
            port: environment("KUBERNETES_SERVICE_PORT")
                .and_then(|port| port.parse().ok())
                .unwrap_or(443),
            token_file: None,
            ca_file: None,
        },
        (None, None) if config.enabled == Some(true) => return Err(KubernetesError::NoServer),
        (None, None) => return Ok(None),
    };
    server.token_file = file(&config.token_file, "token");
    server.ca_file = file(&config.ca_file, "ca.crt");
    Ok(Some(server))
}

/// `https://host[:port]`, an IPv6 address in brackets.
fn parse_server(address: &str) -> Result<Server, KubernetesError> {
    let bad = || KubernetesError::BadServer(address.to_owned());
    let (scheme, rest) = address.split_once("://").ok_or_else(bad)?;
    let is_tls = match scheme {
        "https" => true,
        "http" => false,
        _ => return Err(bad()),
    };
    let authority: hyper::http::uri::Authority = rest.trim_end_matches('/').parse().map_err(|_| bad())?;
    let host = authority.host().trim_start_matches('[').trim_end_matches(']');
    if host.is_empty() || authority.as_str().contains('@') {
        return Err(bad());
    }
    Ok(Server {
        is_tls,
        host: host.to_owned(),
        port: authority.port_u16().unwrap_or(if is_tls { 443 } else { 80 }),
        token_file: None,
        ca_file: None,
    })
}

/// A text as part of a path or query: all but what RFC 3986 calls unreserved is escaped.
fn escape(text: &str) -> String {
    use std::fmt::Write as _;

    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            // Writing to a string does not fail.
            let _written = write!(escaped, "%{byte:02X}");
        }
    }
    escaped
}
