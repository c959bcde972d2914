//! `sensor run`: puts the parts together, and takes them apart in the reverse order of the flow.
//!
//! Start: rules, programs, attach, what runs already, listeners, reader. Stop: detach, drain the rings,
//! close the hub, flush the readers.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use prometheus_client::metrics::counter::Counter;
use sensor_common::{kind::Ring, syscall::Call};
use sensor_rules::{diagnostic::Style, engine::RuleSet};
use tokio::signal::unix::{SignalKind, signal};

use crate::{
    cli::{Exit, args::RunArgs},
    clock::{self, Clock},
    config::Config,
    hub::{Hub, HubLimits},
    kernel::{
        attach::{Probes, Readers},
        load::{LoadError, LoadOptions},
        ring::{self, Stop},
    },
    metrics::Metrics,
    pipeline::{self, Pipeline},
    respond::Responder,
    rules::{self, Rules},
    serve::{self, Server},
    sink::{
        Encoder,
        writer::{Sinks, Target},
    },
    state::{State, StateLimits, seed},
    stats::Stats,
    status::Live,
    view::{Context, EventTypes},
};

mod answer;

/// How long readers of detections may take to read what is left when the agent stops.
const FLUSH: Duration = Duration::from_secs(5);

/// How long running hooks may go on when the agent stops.
const HOOKS: Duration = Duration::from_secs(5);

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
    Serve(#[from] serve::ServeError),
    #[error(transparent)]
    Other(#[from] anyhow::Error),
}

impl RunError {
    fn exit(&self) -> Exit {
        match self {
            Self::Config(_) | Self::Rules(_) | Self::Respond(_) => Exit::Wrong,
            Self::Kernel(_) | Self::PidNamespace => Exit::CannotRunHere,
            Self::Serve(_) | Self::Other(_) => Exit::Failed,
        }
    }
}

/// Runs the agent until it is told to stop.
#[must_use]
pub fn run(args: &RunArgs) -> Exit {
    let start_ns = clock::boot_ns();
    match prepare(args).and_then(|prepared| start(prepared, start_ns)) {
        Ok(()) => Exit::Done,
        Err(error) => crate::cli::fail(error.exit(), &error),
    }
}

/// What is known before anything is touched.
struct Prepared {
    config: Config,
    rules: Rules,
}

/// Reads configuration and rules: what is wrong with them is said before the kernel is asked for anything.
fn prepare(args: &RunArgs) -> Result<Prepared, RunError> {
    let loaded = args.load()?;
    crate::log::init(&loaded.config.log).map_err(anyhow::Error::from)?;
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
    let style = if crate::cli::may_colour(&std::io::stderr()) {
        Style::Color
    } else {
        Style::Plain
    };
    let rules = rules::load(&loaded.config.rules, style)?;
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
    })
}

fn start(prepared: Prepared, start_ns: u64) -> Result<(), RunError> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(anyhow::Error::from)?;
    runtime.block_on(Agent::run(prepared, start_ns))
}

/// The system calls whose events a rule can match.
fn calls(rules: &RuleSet, types: &EventTypes) -> Vec<Call> {
    let wanted = rules.event_types();
    Call::ALL
        .into_iter()
        .filter(|call| {
            types
                .of_call(*call)
                .is_some_and(|event_type| wanted.contains(event_type))
        })
        .collect()
}

/// Process id as the kernel counts, which is what records carry.
pub(crate) fn own_tgid() -> Result<u32, RunError> {
    let status = std::fs::read_to_string("/proc/self/status").map_err(anyhow::Error::from)?;
    // In a nested pid namespace with the host's /proc, NSpid lists the host's id first and more behind it.
    let ids = status
        .lines()
        .find_map(|line| line.strip_prefix("NSpid:"))
        .unwrap_or_default();
    let is_initial = rustix::fs::stat("/proc/self/ns/pid").is_ok_and(|stat| stat.st_ino == INITIAL_PID_NS);
    if ids.split_whitespace().count() > 1 || !is_initial {
        return Err(RunError::PidNamespace);
    }
    Ok(std::process::id())
}

/// `PROC_PID_INIT_INO` (`include/linux/proc_ns.h`): the inode number of the initial pid namespace.
const INITIAL_PID_NS: u64 = 0xEFFF_FFFC;

struct Agent;

impl Agent {
    async fn run(prepared: Prepared, start_ns: u64) -> Result<(), RunError> {
        let Prepared { config, rules } = prepared;
        let mut terminate = signal(SignalKind::terminate()).map_err(anyhow::Error::from)?;
        let mut interrupt = signal(SignalKind::interrupt()).map_err(anyhow::Error::from)?;
        let mut reopen = signal(SignalKind::user_defined1()).map_err(anyhow::Error::from)?;
        let types = EventTypes::new().map_err(anyhow::Error::from)?;
        let (mut probes, readers) = Probes::load(&LoadOptions {
            btf: config.kernel.btf.clone(),
            lifecycle_ring_bytes: config.kernel.lifecycle_ring_bytes,
            activity_ring_bytes: config.kernel.activity_ring_bytes,
            drop_failed: config.kernel.drop_failed_exit,
            agent_tgid: own_tgid()?,
        })?;
        let metrics = Metrics::new();
        let hub = Hub::new(limits(&config), metrics.subscribers.clone());
        metrics.set_hub(&hub);
        let hostname: Arc<str> = config.hostname.clone().unwrap_or_else(hostname).into();
        let encoder = |format, colour| Encoder::new(format, colour, &*hostname);
        let mut sinks = Sinks::default();
        if config.stdout.enabled {
            let colour = crate::cli::may_colour(&std::io::stdout());
            sinks
                .start(
                    &hub,
                    Target::Stdout,
                    encoder(config.stdout.format, colour),
                    metrics.sinks.clone(),
                )
                .map_err(anyhow::Error::from)?;
        }
        if config.file.enabled {
            let target = Target::File(config.file.path.clone());
            sinks
                .start(
                    &hub,
                    target,
                    encoder(config.file.format, false),
                    metrics.sinks.clone(),
                )
                .map_err(anyhow::Error::from)?;
        }
        let responder =
            answer::start(&config.respond, &hub, &metrics, &hostname).map_err(RunError::Respond)?;

        // Attached before what runs already is read, so that nothing falls between.
        probes.attach_lifecycle()?;
        let limits = StateLimits {
            processes_max: config.state.processes_max as usize,
            exited_keep_ns: u64::from(config.state.exited_keep_s) * 1_000_000_000,
            cgroups_max: config.state.containers_max as usize,
        };
        let mut state = State::new(limits);
        let seeded = seed::from_proc(&mut state);
        probes.set_calls(&calls(&rules.set, &types))?;
        tracing::info!(processes = seeded, "the processes that run already are known");

        let context = Context {
            types,
            clock: Clock::now(),
            hostname: Arc::clone(&hostname),
            start_ns,
        };
        let stats = Arc::new(Stats::default());
        let Readers {
            lifecycle,
            activity,
            counters,
        } = readers;
        let counters = Arc::new(counters);
        let rule_counters: Vec<Counter> = rules
            .set
            .rules()
            .iter()
            .map(|rule| {
                metrics
                    .detections
                    .of_rule(&rule.name, crate::detection::priority(rule.priority))
            })
            .collect();
        let live = Arc::new(Live {
            stats: Arc::clone(&stats),
            counters: Arc::clone(&counters),
            hooks: probes.hooks(),
            degraded: degraded(&probes),
            hostname: Arc::clone(&hostname),
            start_epoch_ns: context.clock.epoch_ns(start_ns),
            rule_files: rules.files,
            rules: rules
                .set
                .rules()
                .iter()
                .zip(&rule_counters)
                .map(|(rule, counter)| (rule.name.to_string(), counter.clone()))
                .collect(),
            rules_defined: rules.defined,
            tables_max: (limits.processes_max as u64, limits.cgroups_max as u64),
        });
        metrics.set_live_source(Arc::clone(&live) as _);
        let parts = serve::Parts {
            hub: Arc::clone(&hub),
            status: live,
            metrics: Arc::clone(&metrics),
        };
        let server = Server::start(&config.grpc, &config.metrics, parts).await?;
        let pipeline = Pipeline::new(pipeline::Parts {
            state,
            rules: Arc::new(rules.set),
            context,
            hub: Arc::clone(&hub),
            stats: Arc::clone(&stats),
            rule_counters,
            counters,
        });
        let reader = Reader::start(lifecycle, activity, pipeline, stats)?;
        server.set_ready(true).await;
        tracing::info!(start_ms = (clock::boot_ns() - start_ns) / 1_000_000, "ready");

        let mut ended = reader.ended;
        let failed = loop {
            tokio::select! {
                _ = terminate.recv() => break false,
                _ = interrupt.recv() => break false,
                _ = reopen.recv() => sinks.reopen(),
                _ = &mut ended => break true,
            }
        };
        tracing::info!("stopping");
        if let Err(error) = probes.detach() {
            tracing::error!(%error, "the programs could not be detached one by one; the kernel detaches them at exit");
        }
        reader.stop.stop();
        let joined = tokio::task::spawn_blocking(move || reader.thread.join()).await;
        responder.stop(HOOKS).await;
        server.shutdown(FLUSH).await;
        let unfinished = tokio::task::spawn_blocking(move || sinks.finish(FLUSH))
            .await
            .unwrap_or_default();
        for sink in unfinished {
            tracing::error!(sink, "detections were not written in time and are lost");
        }
        match joined {
            Ok(Ok(Ok(()))) if !failed => Ok(()),
            Ok(Ok(Err(error))) => Err(anyhow::anyhow!("cannot wait for the rings: {error}").into()),
            _ => Err(anyhow::anyhow!("the thread that reads the rings ended by itself").into()),
        }
    }
}

fn limits(config: &Config) -> HubLimits {
    HubLimits {
        queue_items_max: std::num::NonZeroUsize::new(config.grpc.queue_items_max as usize)
            .unwrap_or(std::num::NonZeroUsize::MIN),
        subscribers_max: config.grpc.subscribers_max as usize,
    }
}

/// What this kernel lacks, as sentences.
fn degraded(probes: &Probes) -> Vec<String> {
    let lacks = |field: &crate::kernel::fields::MissingField| {
        let why = field.reason.as_deref().unwrap_or("the kernel does not have it");
        format!(
            "without {}: {} is missing ({why})",
            field.without.unwrap_or("every event"),
            field.name
        )
    };
    probes.missing_fields().iter().map(lacks).collect()
}

fn hostname() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// The thread that reads the rings and owns the pipeline.
struct Reader {
    stop: Stop,
    thread: std::thread::JoinHandle<Result<(), rustix::io::Errno>>,
    /// Resolves when the thread has ended.
    ended: tokio::sync::oneshot::Receiver<()>,
}

impl Reader {
    fn start(
        mut lifecycle: aya::maps::RingBuf<aya::maps::MapData>,
        mut activity: aya::maps::RingBuf<aya::maps::MapData>,
        pipeline: Pipeline,
        stats: Arc<Stats>,
    ) -> Result<Self, RunError> {
        let stop =
            Stop::new().map_err(|error| anyhow::anyhow!("cannot make an event descriptor: {error}"))?;
        let stopped = stop.clone();
        let (end, ended) = tokio::sync::oneshot::channel();
        let thread = std::thread::Builder::new()
            .name("pipeline".into())
            .spawn(move || {
                // Dropped when the thread ends, however it ends.
                let _end: tokio::sync::oneshot::Sender<()> = end;
                let mut work = Work { pipeline, stats };
                ring::read(&mut lifecycle, &mut activity, &stopped, &mut work)
            })
            .map_err(anyhow::Error::from)?;
        Ok(Self { stop, thread, ended })
    }
}

/// The pipeline as the reader of the rings sees it.
struct Work {
    pipeline: Pipeline,
    stats: Arc<Stats>,
}

impl ring::Sink for Work {
    fn record(&mut self, ring: Ring, bytes: &[u8]) {
        self.pipeline.handle(ring, bytes);
    }

    fn tick(&mut self) {
        self.pipeline.tick();
    }

    fn busy(&mut self, time: Duration) {
        self.stats
            .busy_ns
            .add(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
    }
}

/// The responder's place in the run.
pub(crate) struct Answering {
    responder: Arc<Responder>,
    task: tokio::task::JoinHandle<()>,
}

impl Answering {
    async fn stop(self, timeout: Duration) {
        self.task.abort();
        self.responder.shutdown(Instant::now() + timeout).await;
    }
}
