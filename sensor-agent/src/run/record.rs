//! `sensor record`: the agent, with all that its pipeline takes noted in a file, and without what a daemon has besides.

use std::time::Duration;

use sensor_common::{LAYOUT_VERSION, kind::Kind};

use super::{RunError, agent};
use crate::{
    cli::{
        Exit,
        record::{Events, RecordArgs},
    },
    clock,
    config::{Config, GrpcConfig, MetricsConfig, Profile},
    kernel::{attach::Probes, counters::Counters},
    recording::{
        header::Header,
        item::Counted,
        tap::Tap,
        writer::{Recorder, Target},
    },
    respond::config::RespondConfig,
    state::seed::Seed,
    view::Context,
};

/// What is to be recorded, and how long.
pub(super) struct Plan {
    target: Target,
    duration: Option<Duration>,
}

/// A recording that runs.
pub(super) struct Recording {
    recorder: Recorder,
    duration: Option<Duration>,
}

/// Records until it is told to stop, or the time or the file is over.
pub(crate) fn record(args: &RecordArgs) -> Exit {
    let start_ns = clock::boot_ns();
    match prepare(args).and_then(|prepared| super::start(&args.as_run(), prepared, start_ns)) {
        Ok(()) => Exit::Done,
        Err(error) => crate::cli::fail(error.exit(), &error),
    }
}

fn prepare(args: &RecordArgs) -> Result<super::Prepared, RunError> {
    let mut loaded = args.as_run().load()?;
    adapt(&mut loaded.config, args);
    let mut prepared = super::prepare(loaded, !args.rules.is_empty())?;
    // Nothing is denied, and so nothing about it told, by who only looks on.
    prepared.rules.deny.clear();
    let target = Target::create(&args.write, args.max_size)?;
    prepared.record = Some(Plan {
        target,
        duration: args.duration,
    });
    Ok(prepared)
}

/// Leaves out what only a daemon has, and what would keep events from the file.
fn adapt(config: &mut Config, args: &RecordArgs) {
    config.grpc = GrpcConfig {
        socket: None,
        tcp: None,
        ..config.grpc.clone()
    };
    config.metrics = MetricsConfig::default();
    config.respond = RespondConfig::default();
    config.file.enabled = false;
    config.stdout.enabled = !args.rules.is_empty();
    config.rules.watch = false;
    config.kernel.filter = false;
    if args.events == Events::All {
        config.kernel.profile = Profile::All;
    }
}

impl Plan {
    /// Begins: the header and what was there before are written.
    pub(super) fn start(
        self,
        config: &Config,
        context: &Context,
        probes: &Probes,
        seed: &Seed,
    ) -> Result<(Tap, Recording), RunError> {
        let types = &context.types;
        let always = ["clone", "execve", "execveat", "procexit"].map(str::to_owned);
        let mut events: Vec<String> = probes
            .calls()
            .iter()
            .filter_map(|call| types.of_call(*call))
            .map(|event_type| event_type.name().to_owned())
            .chain(always)
            .collect();
        events.sort();
        events.dedup();
        let limits = agent::state_limits(config);
        let uname = rustix::system::uname();
        let header = Header {
            id: uuid::Uuid::now_v7().simple().to_string(),
            sensor: env!("CARGO_PKG_VERSION").into(),
            layout: LAYOUT_VERSION,
            kernel: uname.release().to_string_lossy().into_owned(),
            machine: uname.machine().to_string_lossy().into_owned(),
            hostname: context.hostname.to_string(),
            start_ns: context.start_ns,
            clock_offset_ns: context.clock.offset_ns(),
            events,
            degraded: probes.missing_fields().iter().map(agent::lacks).collect(),
            processes_max: limits.processes_max,
            exited_keep_ns: limits.exited_keep_ns,
            cgroups_max: limits.cgroups_max,
            facts_wait_ns: agent::facts_wait_ns(config),
            programs: config.identity.programs,
        };
        let (mut tap, recorder) = Recorder::start(self.target, &header)?;
        tap.note_seed(seed);
        let recording = Recording {
            recorder,
            duration: self.duration,
        };
        Ok((tap, recording))
    }
}

impl Recording {
    /// Waits until the time is over or the file takes no more; why.
    pub(super) async fn over(&mut self) -> &'static str {
        let duration = self.duration;
        let time = async move {
            match duration {
                Some(duration) => tokio::time::sleep(duration).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = time => "duration",
            _ = &mut self.recorder.ended => "size",
        }
    }

    /// Writes the end, and says what was recorded.
    pub(super) fn finish(self, why: &'static str, counters: &Counters) -> Result<(), RunError> {
        let recorded = self.recorder.finish(why, counted(counters))?;
        tracing::info!(
            records = recorded.records,
            bytes = recorded.bytes,
            ended_by = why,
            "recorded"
        );
        let lost = recorded.lost;
        if lost.records + lost.others > 0 {
            tracing::error!(
                records = lost.records,
                others = lost.others,
                "not recorded: the file was full, or the disk too slow; the recording says where"
            );
        }
        Ok(())
    }
}

/// What the kernel side counted, for who wonders what is missing.
fn counted(counters: &Counters) -> Vec<Counted> {
    let Ok(counts) = counters.kinds() else {
        return Vec::new();
    };
    Kind::ALL
        .into_iter()
        .zip(counts)
        .filter(|(_, count)| count.seen > 0)
        .map(|(kind, count)| Counted {
            kind: kind.name().into(),
            seen: count.seen,
            sent: count.sent,
            lost: count.lost_ring_full + count.lost_scratch_busy + count.lost_budget,
        })
        .collect()
}
