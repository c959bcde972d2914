//! Reads the rules anew while the agent runs.
//!
//! Reading and compiling happen on a thread of their own. The kernel side is widened first, so that it reports what either
//! set needs; then the pipeline changes sets between two records; then the kernel side is narrowed. Each record is thus
//! matched against exactly one whole set. Rules that have errors change nothing.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use sensor_proto::v1;
use sensor_rules::{
    diagnostic::Style,
    engine::{RuleSet, Scratch},
    partial::Demand,
};
use sha2::{Digest as _, Sha256};

use super::{
    agent::{calls, rule_counters},
    reader::Swapper,
};
use crate::{
    cli::args::RunArgs,
    clock::Clock,
    config::Config,
    detection,
    enforce::DenyRule,
    hub::{Hub, Item},
    kernel::attach::Probes,
    metrics::Metrics,
    pipeline::Matching,
    rules::{self, Rules},
    status::{Live, LiveRules},
    view::EventTypes,
};

/// Of what is wrong with new rules, as much goes into the status and the stream.
const ERROR_BYTES_MAX: usize = 16 << 10;

/// What asked for new rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trigger {
    /// SIGHUP.
    Signal,
    /// Something changed among the rule files or in the configuration.
    FilesChanged,
}

impl Trigger {
    const fn name(self) -> &'static str {
        match self {
            Self::Signal => "signal",
            Self::FilesChanged => "files_changed",
        }
    }
}

/// Who changes the rules, with what it needs for it.
pub(super) struct Reloader {
    pub(super) args: RunArgs,
    /// The configuration of the start; of a newer one only the rules are taken.
    pub(super) config: Config,
    pub(super) types: EventTypes,
    pub(super) in_use: Arc<RuleSet>,
    /// The rules that deny, which the kernel has.
    pub(super) deny: Vec<DenyRule>,
    pub(super) swapper: Swapper,
    pub(super) live: Arc<Live>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) hub: Arc<Hub>,
    /// Of the configuration and files that were tried last, whether or not they were taken.
    pub(super) digest: Option<[u8; 32]>,
}

/// New rules, ready to be used.
struct Fresh {
    config: Config,
    rules: Rules,
}

/// What reading the rules came to.
enum Read {
    /// As they were when they were last read.
    Unchanged,
    /// The digest of what was read, and what it says or what is wrong with it.
    Changed(Option<[u8; 32]>, Box<Result<Fresh, String>>),
}

impl Reloader {
    /// Reads the rules anew and takes them into use if nothing is wrong with them. What came of it is in the log, the
    /// status, the metrics and the stream.
    pub(super) async fn reload(&mut self, probes: &mut Probes, trigger: Trigger) {
        let begin = Instant::now();
        let args = self.args.clone();
        // Who sends a signal wants to be told, also where nothing has changed.
        let known = self.digest.filter(|_| trigger == Trigger::FilesChanged);
        let read = tokio::task::spawn_blocking(move || read(&args, known)).await;
        let fresh = match read {
            Ok(Read::Unchanged) => return,
            Ok(Read::Changed(digest, fresh)) => {
                self.digest = digest;
                *fresh
            }
            Err(error) => Err(format!("error: reading the rules ended unexpectedly: {error}")),
        };
        let read_in = begin.elapsed();
        let taken = match fresh {
            Ok(fresh) => self.take(fresh, probes).await,
            Err(error) => Err(error),
        };
        match taken {
            Ok(pause) => {
                tracing::info!(
                    rules = self.in_use.rules().len(),
                    trigger = trigger.name(),
                    read_ms = milliseconds(read_in),
                    pause_us = u64::try_from(pause.as_micros()).unwrap_or(u64::MAX),
                    total_ms = milliseconds(begin.elapsed()),
                    "new rules are in use"
                );
                self.tell(trigger, begin.elapsed(), "");
            }
            Err(error) => {
                let rules = self.in_use.rules().len();
                tracing::error!(
                    trigger = trigger.name(),
                    "new rules were refused, and the {rules} former ones stay in use:\n{error}"
                );
                self.tell(trigger, begin.elapsed(), &error);
            }
        }
    }

    /// Takes new rules into use; returns for how long no record was read because of it.
    async fn take(&mut self, fresh: Fresh, probes: &mut Probes) -> Result<Duration, String> {
        let Fresh { config, rules } = fresh;
        for warning in &rules.warnings {
            crate::cli::say(warning);
        }
        if rules.deny != self.deny {
            return Err(
                "error: rules with `action: deny` changed, and those are taken into the kernel at the start only: restart the sensor"
                    .into(),
            );
        }
        let of_start = Config {
            rules: config.rules.clone(),
            ..self.config.clone()
        };
        if of_start != config {
            tracing::warn!("the configuration changed in more than the rules; the rest takes a restart");
        }
        let set = Arc::new(rules.set);
        let (former, wanted) = (calls(&self.in_use, &self.types), calls(&set, &self.types));
        let mut either = wanted.clone();
        either.extend(former.iter().copied().filter(|call| !wanted.contains(call)));
        // Until the new rules are in use, the kernel side leaves nothing out and reports what either set needs.
        let widened = probes.set_filters(None, &self.types).map(drop);
        if let Err(error) = widened.and_then(|()| probes.follow(&either).map(drop)) {
            // As it was before, as far as the kernel lets us.
            let _ = probes.follow(&former);
            let _ = probes.set_filters(self.demands(&self.in_use), &self.types);
            return Err(format!(
                "error: the kernel side cannot report what the new rules need: {error}"
            ));
        }
        let counters = rule_counters(&set, &self.metrics);
        let live = LiveRules {
            files: rules.files,
            rules: live_rules(&set, &counters),
            defined: rules.defined,
            generation: self.live.rules.load().generation + 1,
            since_epoch_ns: now_epoch_ns(),
            refused: self.live.rules.load().refused,
            error: String::new(),
        };
        let new = Matching {
            rules: Arc::clone(&set),
            counters,
            scratch: Scratch::default(),
        };
        let swapped = self.swapper.swap(new).await;
        let swapped = swapped.ok_or("error: the thread that matches has ended")?;
        self.in_use = set;
        self.config = of_start;
        self.forget_counters(&live);
        self.metrics.rules.in_use(live.enabled().into(), live.generation);
        self.live.rules.store(Arc::new(live));
        let narrowed = probes.follow(&wanted);
        let demands = self.demands(&self.in_use);
        if let Err(error) = narrowed.and_then(|_| probes.set_filters(demands, &self.types).map(drop)) {
            tracing::warn!(%error, "the kernel side reports more than the rules need");
        }
        self.live.hooks.store(Arc::new(probes.hooks()));
        self.live.calls.store(Arc::new(probes.calls().to_vec()));
        // Thousands of rules take a while to be freed.
        tokio::task::spawn_blocking(move || drop(swapped.former));
        Ok(swapped.pause)
    }

    /// What the kernel may leave events out by, where it is to.
    fn demands<'a>(&self, set: &'a RuleSet) -> Option<&'a [Demand]> {
        self.config.kernel.filter.then(|| set.demands())
    }

    /// Rules that are no more have no counter any more.
    fn forget_counters(&self, new: &LiveRules) {
        let former = self.live.rules.load();
        let still: std::collections::HashSet<_> = new
            .rules
            .iter()
            .map(|(name, priority, _)| (name, priority))
            .collect();
        for (name, priority, _) in &former.rules {
            if !still.contains(&(name, priority)) {
                self.metrics.detections.forget(name, *priority);
            }
        }
    }

    /// Puts into status, metrics and stream what came of it.
    fn tell(&self, trigger: Trigger, duration: Duration, error: &str) {
        let is_applied = error.is_empty();
        let duration_ns = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        let mut shown = error;
        if shown.len() > ERROR_BYTES_MAX {
            shown = &shown[..shown.floor_char_boundary(ERROR_BYTES_MAX)];
        }
        if !is_applied {
            let former = self.live.rules.load();
            self.live.rules.store(Arc::new(LiveRules {
                refused: former.refused + 1,
                error: shown.to_owned(),
                ..LiveRules::clone(&former)
            }));
        }
        self.metrics.rules.reloaded(is_applied, duration_ns);
        let live = self.live.rules.load();
        self.hub.publish(&Item::RulesReload(Arc::new(v1::RulesReload {
            time: Some(detection::timestamp(now_epoch_ns())),
            applied: is_applied,
            trigger: trigger.name().to_owned(),
            rules: live.enabled(),
            error: shown.to_owned(),
            duration_ns,
            generation: live.generation,
        })));
    }
}

/// Rules as the status shows them.
pub(super) fn live_rules(
    set: &RuleSet,
    counters: &[prometheus_client::metrics::counter::Counter],
) -> Vec<(String, v1::Priority, prometheus_client::metrics::counter::Counter)> {
    set.rules()
        .iter()
        .zip(counters)
        .map(|(rule, counter)| {
            let priority = detection::priority(rule.priority);
            (rule.name.to_string(), priority, counter.clone())
        })
        .collect()
}

/// Reads configuration and rules, unless they are those of the digest.
fn read(args: &RunArgs, known: Option<[u8; 32]>) -> Read {
    let config = match args.load() {
        Ok(loaded) => loaded.config,
        Err(error) => return Read::Changed(None, Box::new(Err(error.to_string()))),
    };
    let digest = digest(&config);
    if known.is_some() && digest == known {
        return Read::Unchanged;
    }
    let rules = rules::load(&config.rules, Style::Plain).map_err(|error| error.to_string());
    Read::Changed(digest, Box::new(rules.map(|rules| Fresh { config, rules })))
}

/// The digest of the configuration and of the rule files that it names; `None` where one cannot be read.
pub(super) fn digest(config: &Config) -> Option<[u8; 32]> {
    let mut hash = Sha256::new();
    hash.update(serde_json::to_vec(config).ok()?);
    for path in rules::files(&config.rules.files).ok()? {
        let bytes = rules::read_file(&path).ok()?;
        hash.update(path.as_os_str().as_encoded_bytes());
        hash.update((bytes.len() as u64).to_le_bytes());
        hash.update(&bytes);
    }
    Some(hash.finalize().into())
}

fn now_epoch_ns() -> u64 {
    Clock::now().epoch_ns(crate::clock::boot_ns())
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
