//! `sensor run`: puts the parts together, and takes them apart in the reverse order of the flow.
//!
//! Start: rules, programs, attach, what runs already, listeners, reader. Stop: detach, drain the rings,
//! close the hub, flush the readers.

mod agent;
mod answer;
pub mod canaries;
mod enforcer;
mod feed;
mod filters;
mod inventory;
mod pulse;
mod reader;
pub(crate) mod record;
mod reload;
mod server;
mod watch;

use sensor_rules::diagnostic::Style;

use crate::{
    cli::{Exit, args::RunArgs},
    clock,
    config::{Config, Loaded},
    kernel::load::LoadError,
    recording::writer::RecordError,
    rules::{self, Rules},
    serve,
    state::process::INITIAL_PID_NS,
};

/// Why the agent cannot run, and how the command then ends.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RunError {
    #[error(transparent)]
    Config(#[from] crate::config::LoadError),
    #[error(transparent)]
    Rules(#[from] rules::RulesError),
    #[error("{0}")]
    Respond(String),
    #[error(transparent)]
    Kernel(#[from] LoadError),
    #[error(
        "the agent must see the machine's own process ids: run it outside a pid namespace, in Kubernetes with hostPID"
    )]
    PidNamespace,
    #[error(transparent)]
    Kubernetes(#[from] crate::kubernetes::KubernetesError),
    #[error(transparent)]
    Record(#[from] RecordError),
    #[error(transparent)]
    Serve(#[from] serve::ServeError),
    #[error(transparent)]
    Other(#[from] anyhow::Error),
}

impl RunError {
    fn exit(&self) -> Exit {
        match self {
            Self::Config(_)
            | Self::Rules(_)
            | Self::Respond(_)
            | Self::Kubernetes(_)
            | Self::Record(RecordError::Exists(_) | RecordError::Create { .. }) => Exit::Wrong,
            Self::Kernel(_) | Self::PidNamespace => Exit::CannotRunHere,
            Self::Record(_) | Self::Serve(_) | Self::Other(_) => Exit::Failed,
        }
    }
}

/// Runs the agent until it is told to stop.
#[must_use]
pub fn run(args: &RunArgs) -> Exit {
    let start_ns = clock::boot_ns();
    let prepared = args
        .load()
        .map_err(RunError::from)
        .and_then(|loaded| prepare(loaded, true));
    match prepared.and_then(|prepared| start(args, prepared, start_ns)) {
        Ok(()) => Exit::Done,
        Err(error) => crate::cli::fail(error.exit(), &error),
    }
}

/// What is known before anything is touched.
struct Prepared {
    config: Config,
    rules: Rules,
    /// Of what the rules were read from.
    digest: Option<[u8; 32]>,
    /// What is to be recorded besides.
    record: Option<record::Plan>,
}

/// Reads the rules, where there are to be any: what is wrong with them is said before the kernel is asked for anything.
fn prepare(loaded: Loaded, with_rules: bool) -> Result<Prepared, RunError> {
    crate::log::init(&loaded.config.log).map_err(anyhow::Error::from)?;
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
    let style = if crate::cli::may_colour(&std::io::stderr()) {
        Style::Color
    } else {
        Style::Plain
    };
    let digest = reload::digest(&loaded.config);
    let rules = if with_rules {
        rules::load(&loaded.config.rules, style)?
    } else {
        Rules::none()
    };
    for warning in &rules.warnings {
        crate::cli::say(warning);
    }
    tracing::info!(
        rules = rules.set.rules().len(),
        files = rules.files.len(),
        "rules loaded"
    );
    Ok(Prepared {
        config: loaded.config,
        rules,
        digest,
        record: None,
    })
}

fn start(args: &RunArgs, prepared: Prepared, start_ns: u64) -> Result<(), RunError> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(anyhow::Error::from)?;
    runtime.block_on(agent::run(args, prepared, start_ns))
}

/// Process id as the kernel counts, which is what records carry.
pub(crate) fn own_tgid() -> Result<u32, RunError> {
    let status = std::fs::read_to_string("/proc/self/status").map_err(anyhow::Error::from)?;
    // In a nested pid namespace with the host's /proc, NSpid lists the host's id first and more behind it.
    let ids = status
        .lines()
        .find_map(|line| line.strip_prefix("NSpid:"))
        .unwrap_or_default();
    let is_initial =
        rustix::fs::stat("/proc/self/ns/pid").is_ok_and(|stat| stat.st_ino == u64::from(INITIAL_PID_NS));
    if ids.split_whitespace().count() > 1 || !is_initial {
        return Err(RunError::PidNamespace);
    }
    Ok(std::process::id())
}
