//! The agent's parts, put together in the order of the flow and taken apart in the reverse order.

use std::{sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use prometheus_client::metrics::counter::Counter;
use sensor_common::syscall::Call;
use sensor_rules::engine::RuleSet;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::{
    Prepared, RunError,
    answer::{self, Answering},
    enforcer::Enforcer,
    feed::{Feed, Sources},
    filters::set_filters,
    own_tgid,
    pulse::Pulse,
    reader::Reader,
    reload::{self, Reloader, Trigger},
    server,
    watch::MaybeWatch,
};
use crate::{
    cli::args::RunArgs,
    clock::{self, Clock},
    config::{Config, Profile},
    detection,
    hub::{Hub, HubLimits},
    identity::{environment::Mask, program::Bounds, worker::Identity},
    kernel::{
        attach::{Probes, Readers, is_told_without_calls},
        counters::Counters,
        fields::MissingField,
        load::LoadOptions,
        memory,
        ring::Control,
    },
    kubernetes::{self, Kubernetes},
    metrics::Metrics,
    pipeline::{self, Pipeline, publish::Ids},
    recording::tap::Tap,
    runtime::{
        socket::{Health, Sockets},
        worker::Worker,
    },
    selftest::{Secret, SelfTest, health::Health as SelfHealth},
    serve::Server,
    sink::{
        Encoder, Format,
        writer::{Sinks, Target},
    },
    state::{State, StateLimits, seed::Seed, workload::feed},
    stats::Stats,
    status::{Live, LiveRules},
    view::{Context, EventTypes},
};

/// How long readers of detections may take to read what is left when the agent stops.
const FLUSH: Duration = Duration::from_secs(5);

/// How long running hooks may go on when the agent stops.
const HOOKS: Duration = Duration::from_secs(5);

/// Runs until a signal says stop.
pub(super) async fn run(args: &RunArgs, mut prepared: Prepared, start_ns: u64) -> Result<(), RunError> {
    let mut signals = Signals::listen(prepared.record.is_none())?;
    let types = EventTypes::new().map_err(anyhow::Error::from)?;
    let (mut probes, readers) = Probes::load(&load_options(&prepared.config)?)?;
    let outputs = Outputs::start(&prepared.config)?;

    // Attached before what runs already is read, so that nothing falls between.
    probes.attach_lifecycle()?;
    let limits = state_limits(&prepared.config);
    let mut state = State::new(limits);
    let seed = Seed::from_proc();
    let seed_to_record = prepared.record.is_some().then(|| seed.clone());
    let seeded = state.plant(seed);
    tracing::info!(processes = seeded, "the processes that run already are known");
    // A recording has no canary: whoever plays it back could not tell its events.
    let secret = if prepared.record.is_some() {
        None
    } else {
        draw_secret(&prepared.config)
    };
    set_filters(&mut probes, &prepared, secret.as_ref(), &types)?;
    attach_activity(&mut probes, &prepared, &types)?;
    let enforcer = if prepared.rules.deny.is_empty() {
        None
    } else {
        let config = &prepared.config.enforce;
        let attached = probes.attach_enforcement(&prepared.rules.deny, config)?;
        Some(Enforcer::start(attached, config, &outputs.metrics))
    };

    let hostname = Arc::clone(&outputs.hostname);
    let context = Context {
        types,
        clock: Clock::now(),
        hostname,
        start_ns,
    };
    let interval = Duration::from_secs(prepared.config.selftest.interval_s.into());
    // A recording may be made beside a daemon, whose notes are not its own.
    let socket = prepared
        .config
        .grpc
        .socket
        .clone()
        .filter(|_| prepared.record.is_none());
    let plan = prepared.record.take().zip(seed_to_record);
    let (tap, mut recording) = match plan {
        Some((plan, seed)) => Some(plan.start(&prepared.config, &context, &probes, &seed)?).unzip(),
        None => (None, None),
    };
    let begin = Begin { state, context, tap };
    let watched = Watched::start(prepared, args, &outputs, &probes, readers, begin).await?;
    let Watched {
        server,
        mut reader,
        mut reloader,
        counters,
        kubernetes,
        health,
    } = watched;
    let pulse = Pulse::start(socket.as_deref(), Arc::clone(&health));
    let agent = own_tgid()?;
    let mut selftest = secret.map(|secret| SelfTest::new(interval, secret, reader.canaries(), health, agent));
    server.set_ready(true).await;
    tracing::info!(start_ms = (clock::boot_ns() - start_ns) / 1_000_000, "ready");
    if let Err(error) = memory::give_back_program() {
        tracing::debug!(%error, "memory of the start stays in use");
    }

    let told = signals.wait(
        &mut reader,
        &outputs.sinks,
        &mut reloader,
        &mut probes,
        selftest.as_mut(),
    );
    let why = if let Some(recording) = &mut recording {
        tokio::select! {
            () = told => "stopped",
            why = recording.over() => why,
        }
    } else {
        told.await;
        "stopped"
    };
    tracing::info!("stopping");
    pulse.stop().await;
    // Before the end of calls is no longer told: nothing is denied that nobody hears of.
    if let Some(enforcer) = enforcer {
        enforcer.stop().await;
    }
    drop(kubernetes);
    if let Err(error) = probes.detach() {
        tracing::error!(%error, "the programs could not be detached; the kernel detaches them when the agent ends");
    }
    let read = reader.finish().await;
    outputs.finish(server).await;
    let recorded = recording.map_or(Ok(()), |recording| recording.finish(why, &counters));
    read.and(recorded)
}

/// Draws the self-test's names; without them there is none, which is said.
fn draw_secret(config: &Config) -> Option<Secret> {
    if config.selftest.interval_s == 0 {
        return None;
    }
    Secret::draw(config.grpc.socket.as_deref())
        .inspect_err(
            |error| tracing::warn!(%error, "there is no self-test: no folder for its canaries can be made"),
        )
        .ok()
}

/// Attaches what the profile and the loaded rules ask for.
fn attach_activity(probes: &mut Probes, prepared: &Prepared, types: &EventTypes) -> Result<(), RunError> {
    probes.set_profile(prepared.config.kernel.profile, !prepared.rules.deny.is_empty());
    let wanted = calls(&prepared.rules.set, types);
    probes.follow(&wanted)?;
    for hook in probes.refused() {
        tracing::warn!(hook = hook.name, reason = hook.reason, "a hook cannot be used");
    }
    Ok(())
}

/// What the profile keeps loaded rules from seeing, as sentences, which are logged.
fn unseen(prepared: &Prepared, types: &EventTypes) -> Vec<String> {
    if prepared.config.kernel.profile != Profile::Lite {
        return Vec::new();
    }
    let set = &prepared.rules.set;
    let missing: Vec<_> = calls(set, types)
        .into_iter()
        .filter(|call| !call.kind().is_some_and(is_told_without_calls))
        .filter_map(|call| types.of_call(call))
        .collect();
    let rules: Vec<_> = set
        .rules_and_types()
        .filter(|(_, types)| missing.iter().any(|event_type| types.contains(*event_type)))
        .map(|(rule, _)| &*rule.name)
        .collect();
    if rules.is_empty() {
        return Vec::new();
    }
    let names: Vec<_> = missing.iter().map(|event_type| event_type.name()).collect();
    let sentence = format!(
        "kernel.profile is lite: system calls are not followed, so that {} rules do not see {}: {}",
        rules.len(),
        names.join(", "),
        rules.join(", ")
    );
    tracing::warn!("{sentence}");
    vec![sentence]
}

/// Where detections go.
struct Outputs {
    hostname: Arc<str>,
    metrics: Arc<Metrics>,
    hub: Arc<Hub>,
    sinks: Sinks,
    answering: Answering,
}

impl Outputs {
    fn start(config: &Config) -> Result<Self, RunError> {
        let metrics = Metrics::new();
        let hub = Hub::new(hub_limits(config), metrics.subscribers.clone());
        metrics.set_hub(&hub);
        let hostname: Arc<str> = config.hostname.clone().unwrap_or_else(hostname).into();
        let mut sinks = Sinks::default();
        let mut sink = |target, format: Format, colour| {
            let encoder = Encoder::new(format, colour, &*hostname);
            sinks
                .start(&hub, target, encoder, metrics.sinks.clone())
                .map_err(anyhow::Error::from)
        };
        if config.stdout.enabled {
            let colour = crate::cli::may_colour(&std::io::stdout());
            sink(Target::Stdout, config.stdout.format, colour)?;
        }
        if config.file.enabled {
            sink(Target::File(config.file.path.clone()), config.file.format, false)?;
        }
        let answering =
            answer::start(&config.respond, &hub, &metrics, &hostname).map_err(RunError::Respond)?;
        Ok(Self {
            hostname,
            metrics,
            hub,
            sinks,
            answering,
        })
    }

    /// Hands out what is left: hooks first, since what they do is told on the stream.
    async fn finish(self, server: Server) {
        self.answering.stop(HOOKS).await;
        server.shutdown(FLUSH).await;
        let sinks = self.sinks;
        let unfinished = tokio::task::spawn_blocking(move || sinks.finish(FLUSH))
            .await
            .unwrap_or_default();
        for sink in unfinished {
            tracing::error!(sink, "detections were not written in time and are lost");
        }
    }
}

/// What events are matched with from the first one on.
struct Begin {
    state: State,
    context: Context,
    tap: Option<Tap>,
}

/// What runs once events are matched.
struct Watched {
    server: Server,
    reader: Reader,
    reloader: Reloader,
    counters: Arc<Counters>,
    kubernetes: Option<Kubernetes>,
    health: Arc<SelfHealth>,
}

impl Watched {
    /// Starts the server and the reader: from here on events are matched.
    async fn start(
        prepared: Prepared,
        args: &RunArgs,
        outputs: &Outputs,
        probes: &Probes,
        readers: Readers,
        begin: Begin,
    ) -> Result<Self, RunError> {
        let Begin { state, context, tap } = begin;
        let degraded = lost_here(&prepared, probes, &context.types);
        let Prepared {
            config,
            rules,
            digest,
            ..
        } = prepared;
        let Outputs { metrics, hub, .. } = outputs;
        let limits = state_limits(&config);
        let (facts, told) = feed::channel();
        let (worker, identity, runtimes) = look_for_facts(&config, &facts, metrics)?;
        let kubernetes = kubernetes::start(
            &config.kubernetes,
            &context.hostname,
            limits.cgroups_max,
            facts,
            &metrics.kubernetes,
        )?;
        let stats = Arc::new(Stats::default());
        let counters = Arc::new(readers.counters);
        let rule_counters = rule_counters(&rules.set, metrics);
        let in_use = Arc::new(rules.set);
        let live_rules = LiveRules {
            files: rules.files,
            rules: reload::live_rules(&in_use, &rule_counters),
            defined: rules.defined,
            generation: 1,
            since_epoch_ns: context.clock.epoch_ns(clock::boot_ns()),
            ..LiveRules::default()
        };
        metrics.rules.in_use(live_rules.enabled().into(), 1);
        let health = Arc::new(SelfHealth::new(Arc::clone(hub), Arc::clone(&context.hostname)));
        let live = Arc::new(Live {
            health: Arc::clone(&health),
            stats: Arc::clone(&stats),
            counters: Arc::clone(&counters),
            identity: identity.counts(),
            hooks: ArcSwap::from_pointee(probes.hooks()),
            calls: ArcSwap::from_pointee(probes.calls().to_vec()),
            kubernetes: kubernetes
                .as_ref()
                .map(|kubernetes| Arc::clone(&kubernetes.health)),
            runtimes,
            degraded,
            hostname: Arc::clone(&context.hostname),
            start_epoch_ns: context.clock.epoch_ns(context.start_ns),
            rules: ArcSwap::from_pointee(live_rules),
            inventory_max: u64::from(config.inventory.enabled) * u64::from(config.inventory.workloads_max),
            tables_max: (limits.processes_max as u64, limits.cgroups_max as u64),
        });
        metrics.set_live_source(Arc::clone(&live) as _);
        let control = Control::new().map_err(anyhow::Error::from)?;
        let (server, questions) = server::start(&config, hub, metrics, &live, &control).await?;
        let types = context.types;
        let mut pipeline = Pipeline::new(pipeline::Parts {
            state,
            rules: Arc::clone(&in_use),
            context,
            outlet: Box::new(Arc::clone(hub)),
            ids: Ids::Random,
            costs: None,
            stats: Arc::clone(&stats),
            rule_counters,
            programs: config.identity.programs,
            hold_ns: facts_wait_ns(&config),
        });
        pipeline.keep_inventory(&config.inventory);
        let sources = Sources {
            facts: told,
            worker,
            identity,
            counters: Arc::clone(&counters),
            stats: Arc::clone(&stats),
        };
        let feed = Feed::new(pipeline, sources, tap);
        let reader = Reader::start(readers.rings, readers.asleep, feed, stats, control, questions)?;
        let reloader = Reloader {
            args: args.clone(),
            config,
            types,
            in_use,
            deny: rules.deny,
            swapper: reader.swapper(),
            live,
            metrics: Arc::clone(metrics),
            hub: Arc::clone(hub),
            digest,
        };
        Ok(Self {
            server,
            reader,
            reloader,
            counters,
            kubernetes,
            health,
        })
    }
}

/// Starts the threads that look for facts of containers, users and programs; how the runtimes' sockets do.
fn look_for_facts(
    config: &Config,
    facts: &feed::FactSender,
    metrics: &Metrics,
) -> Result<(Worker, Identity, Vec<Arc<Health>>), RunError> {
    let waits = Duration::from_millis(config.state.facts_wait_ms.into());
    let sockets = Sockets::start(&config.runtimes, waits, facts, &metrics.runtimes);
    let sockets = sockets.map_err(anyhow::Error::from)?;
    let health = sockets.health();
    let worker = Worker::start(facts.clone(), sockets).map_err(anyhow::Error::from)?;
    let bounds = Bounds {
        file_bytes_max: config.identity.file_bytes_max.into(),
        bytes_per_second: config.identity.bytes_per_second.into(),
    };
    let mask = Mask::new(&config.identity.secret_names);
    let identity = Identity::start(facts.clone(), bounds, mask).map_err(anyhow::Error::from)?;
    Ok((worker, identity, health))
}

/// One counter a rule, in the rules' order.
pub(super) fn rule_counters(rules: &RuleSet, metrics: &Metrics) -> Vec<Counter> {
    let counter = |rule: &sensor_rules::engine::Rule| {
        metrics
            .detections
            .of_rule(&rule.name, detection::priority(rule.priority))
    };
    rules.rules().iter().map(counter).collect()
}

/// The signals that the agent answers.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    reopen: Signal,
    reload: Signal,
    /// Rules may be read anew; not while their inputs are recorded.
    reloads: bool,
}

impl Signals {
    fn listen(reloads: bool) -> Result<Self, RunError> {
        let listen = |kind| signal(kind).map_err(anyhow::Error::from);
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
            reopen: listen(SignalKind::user_defined1())?,
            reload: listen(SignalKind::hangup())?,
            reloads,
        })
    }

    /// Waits for the signal to stop, or for the reader to end by itself; meanwhile does what other signals ask for.
    async fn wait(
        &mut self,
        reader: &mut Reader,
        sinks: &Sinks,
        reloader: &mut Reloader,
        probes: &mut Probes,
        mut selftest: Option<&mut SelfTest>,
    ) {
        let mut due = tokio::time::Instant::now();
        let config_file = reloader.args.config.config.clone();
        let mut watch = MaybeWatch::new(&reloader.config, config_file.as_deref());
        loop {
            let trigger = tokio::select! {
                _ = self.terminate.recv() => return,
                _ = self.interrupt.recv() => return,
                _ = &mut reader.ended => return,
                _ = self.reopen.recv() => {
                    sinks.reopen();
                    continue;
                }
                _ = self.reload.recv(), if self.reloads => Trigger::Signal,
                () = watch.changed() => Trigger::FilesChanged,
                () = tokio::time::sleep_until(due), if selftest.is_some() => {
                    let Some(selftest) = &mut selftest else { continue };
                    due = tokio::time::Instant::now() + selftest.interval();
                    tokio::select! {
                        _ = self.terminate.recv() => return,
                        _ = self.interrupt.recv() => return,
                        () = selftest.run(probes) => continue,
                    }
                }
            };
            // Hostile rules may take long to be refused, and are no reason not to stop.
            tokio::select! {
                _ = self.terminate.recv() => return,
                _ = self.interrupt.recv() => return,
                () = reloader.reload(probes, trigger) => {}
            }
            watch.refresh(&reloader.config, config_file.as_deref());
        }
    }
}

fn load_options(config: &Config) -> Result<LoadOptions, RunError> {
    Ok(LoadOptions {
        btf: config.kernel.btf.clone(),
        lifecycle_ring_bytes: config.kernel.lifecycle_ring_bytes,
        critical_ring_bytes: config.kernel.critical_ring_bytes,
        activity_ring_bytes: config.kernel.activity_ring_bytes,
        cgroup_events_per_second: config.kernel.cgroup_events_per_second,
        drop_failed: config.kernel.drop_failed_exit,
        agent_tgid: own_tgid()?,
    })
}

pub(super) fn state_limits(config: &Config) -> StateLimits {
    StateLimits {
        processes_max: config.state.processes_max as usize,
        exited_keep_ns: u64::from(config.state.exited_keep_s) * 1_000_000_000,
        cgroups_max: config.state.containers_max as usize,
    }
}

/// How long a record waits for facts of its container, in nanoseconds.
pub(super) fn facts_wait_ns(config: &Config) -> u64 {
    u64::from(config.state.facts_wait_ms) * 1_000_000
}

fn hub_limits(config: &Config) -> HubLimits {
    HubLimits {
        queue_items_max: std::num::NonZeroUsize::new(config.grpc.queue_items_max as usize)
            .unwrap_or(std::num::NonZeroUsize::MIN),
        subscribers_max: config.grpc.subscribers_max as usize,
    }
}

/// The system calls whose events a rule can match.
pub(super) fn calls(rules: &RuleSet, types: &EventTypes) -> Vec<Call> {
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

/// What does not work here from the start, as sentences.
fn lost_here(prepared: &Prepared, probes: &Probes, types: &EventTypes) -> Vec<String> {
    let mut sentences = unseen(prepared, types);
    sentences.extend(probes.missing_fields().iter().map(lacks));
    sentences.extend(probes.not_frozen().iter().cloned());
    sentences.extend(probes.untranslated().map(str::to_owned));
    sentences
}

/// What is lost for want of a field, as a sentence.
pub(super) fn lacks(field: &MissingField) -> String {
    let why = field.reason.as_deref().unwrap_or("the kernel does not have it");
    format!(
        "without {}: {} is missing ({why})",
        field.without.unwrap_or("every event"),
        field.name
    )
}

fn hostname() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}
