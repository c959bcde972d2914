//! What the sensor counts of itself, for Prometheus.
//!
//! Names are `sensor_<name>_<unit>` with `_total` on counters. Whoever counts holds a typed handle of
//! its own part; nothing but this module knows the registry. What has its home elsewhere (the kernel's
//! counters, the tables, the queues) is read through [`LiveSource`] and the [`Hub`] at the moment of
//! the scrape, so that there is one truth of each number.

mod collect;
mod rules;

use std::fmt;
use std::sync::{Arc, OnceLock, Weak};

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;
use sensor_proto::v1::{KindCounters, Priority};

use crate::hub::Hub;
use crate::runtime::socket::Socket;
pub use rules::RuleMetrics;

/// The type of what [`Metrics::render`] returns, for HTTP.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Numbers that live outside this module, read at each scrape.
pub trait LiveSource: Send + Sync + 'static {
    /// The balance of each kind of event, as `Agent.Status` shows it.
    fn kinds(&self) -> Vec<KindCounters>;
    /// Further counters: name, help, value.
    fn counts(&self) -> Vec<(&'static str, &'static str, u64)>;
    /// How full each table is.
    fn tables(&self) -> Vec<TableFill>;
    /// How often each program in the kernel was not run, because it ran already.
    fn misses(&self) -> Vec<(String, u64)>;
    /// What does not work, as sentences.
    fn degraded(&self) -> Vec<String>;
}

/// How full a table of the state is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TableFill {
    /// `processes`, `containers`, ...
    pub table: &'static str,
    /// Entries now.
    pub entries: u64,
    /// The most it may hold.
    pub entries_max: u64,
}

/// Who reads from the hub.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SubscriberKind {
    /// A client of `Detections.Subscribe`.
    Grpc,
    /// The sink on standard output.
    Stdout,
    /// The sink to a file.
    File,
    /// The responder.
    Respond,
}

impl SubscriberKind {
    /// All kinds.
    pub const ALL: [Self; 4] = [Self::Grpc, Self::Stdout, Self::File, Self::Respond];

    /// As metrics and `Agent.Status` name it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Grpc => "grpc",
            Self::Stdout => "stdout",
            Self::File => "file",
            Self::Respond => "respond",
        }
    }
}

impl EncodeLabelValue for SubscriberKind {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> fmt::Result {
        self.as_str().encode(encoder)
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SubscriberLabels {
    subscriber: SubscriberKind,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DetectionLabels {
    rule: String,
    priority: &'static str,
}

impl DetectionLabels {
    fn new(rule: &str, priority: Priority) -> Self {
        Self {
            rule: rule.to_owned(),
            priority: crate::sink::priority_name(priority),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct HookRunLabels {
    hook: String,
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SinkLabels {
    sink: SubscriberKind,
}

/// What the hub counts.
#[derive(Debug, Clone, Default)]
pub struct SubscriberMetrics {
    delivered: Family<SubscriberLabels, Counter>,
    dropped: Family<SubscriberLabels, Counter>,
}

impl SubscriberMetrics {
    pub(crate) fn delivered(&self, subscriber: SubscriberKind, items: usize) {
        self.delivered
            .get_or_create(&SubscriberLabels { subscriber })
            .inc_by(items as u64);
    }

    pub(crate) fn dropped(&self, subscriber: SubscriberKind) {
        self.dropped.get_or_create(&SubscriberLabels { subscriber }).inc();
    }
}

/// What the pipeline counts.
#[derive(Debug, Clone, Default)]
pub struct DetectionMetrics {
    by_rule: Family<DetectionLabels, Counter>,
}

impl DetectionMetrics {
    /// The counter of one rule. Taken once when the rules are loaded, so that a detection costs one
    /// addition; this also shows rules at 0 that have not matched yet.
    #[must_use]
    pub fn of_rule(&self, rule: &str, priority: Priority) -> Counter {
        self.by_rule
            .get_or_create_owned(&DetectionLabels::new(rule, priority))
    }

    /// Forgets the counter of a rule that is no more: else names of rules would pile up over reloads.
    pub fn forget(&self, rule: &str, priority: Priority) {
        self.by_rule.remove(&DetectionLabels::new(rule, priority));
    }
}

/// What the responder counts.
#[derive(Debug, Clone, Default)]
pub struct ResponseMetrics {
    runs: Family<HookRunLabels, Counter>,
}

impl ResponseMetrics {
    /// Counts one run of a hook. `hook` comes from the configuration, so the labels stay bounded;
    /// `outcome` is [`crate::sink::outcome_name`]'s.
    pub fn ran(&self, hook: &str, outcome: &'static str) {
        self.runs
            .get_or_create(&HookRunLabels {
                hook: hook.to_owned(),
                outcome,
            })
            .inc();
    }
}

/// What the sinks count.
#[derive(Debug, Clone, Default)]
pub struct SinkMetrics {
    failed: Family<SinkLabels, Counter>,
}

impl SinkMetrics {
    pub(crate) fn failed(&self, sink: SubscriberKind, items: u64) {
        self.failed.get_or_create(&SinkLabels { sink }).inc_by(items);
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CauseLabels {
    cause: &'static str,
}

/// What the Kubernetes watch counts.
#[derive(Debug, Clone, Default)]
pub struct KubernetesMetrics {
    pods: Gauge,
    lists: Counter,
    events: Counter,
    failed: Family<CauseLabels, Counter>,
}

impl KubernetesMetrics {
    /// A request that got no answer that helps; `cause` is one of a fixed set.
    pub(crate) fn failed(&self, cause: &'static str) {
        self.failed.get_or_create(&CauseLabels { cause }).inc();
    }

    /// Items that could not be read, or were too long.
    pub(crate) fn malformed(&self, count: u64) {
        if count > 0 {
            let labels = CauseLabels { cause: "malformed" };
            self.failed.get_or_create(&labels).inc_by(count);
        }
    }

    /// A pod that found no room.
    pub(crate) fn refused(&self) {
        self.failed("table_full");
    }

    /// An owner that was not asked for, because too many questions wait.
    pub(crate) fn unanswered(&self) {
        self.failed("queue_full");
    }

    pub(crate) fn listed(&self) {
        self.lists.inc();
    }

    pub(crate) fn watched(&self) {
        self.events.inc();
    }

    pub(crate) fn known(&self, pods: usize) {
        self.pods.set(i64::try_from(pods).unwrap_or(i64::MAX));
    }

    /// How often a cause was counted.
    #[cfg(test)]
    pub(crate) fn failures(&self, cause: &'static str) -> u64 {
        self.failed.get_or_create(&CauseLabels { cause }).get()
    }

    fn register(&self, registry: &mut Registry) {
        registry.register(
            "kubernetes_pods",
            "Pods of this node that are known",
            self.pods.clone(),
        );
        registry.register("kubernetes_lists", "Lists of all pods", self.lists.clone());
        registry.register(
            "kubernetes_watch_events",
            "Events of watches",
            self.events.clone(),
        );
        registry.register(
            "kubernetes_failures",
            "What the Kubernetes API did not give, by cause",
            self.failed.clone(),
        );
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct QuestionLabels {
    socket: String,
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SocketLabels {
    socket: String,
    cause: &'static str,
}

/// What asking runtimes' sockets counts; sockets are the configuration's, so labels stay bounded.
#[derive(Debug, Clone, Default)]
pub struct RuntimeMetrics {
    questions: Family<QuestionLabels, Counter>,
    failed: Family<SocketLabels, Counter>,
}

impl RuntimeMetrics {
    /// A question about a container, and what came of it.
    pub(crate) fn asked(&self, socket: &Socket, outcome: &'static str) {
        let socket = socket.path.display().to_string();
        self.questions
            .get_or_create(&QuestionLabels { socket, outcome })
            .inc();
    }

    /// A failure after which a socket is left alone for a while.
    pub(crate) fn failed(&self, socket: &Socket, cause: &'static str) {
        let socket = socket.path.display().to_string();
        self.failed.get_or_create(&SocketLabels { socket, cause }).inc();
    }

    /// How often a failure was counted.
    #[cfg(test)]
    pub(crate) fn failures(&self, socket: &Socket, cause: &'static str) -> u64 {
        let socket = socket.path.display().to_string();
        self.failed.get_or_create(&SocketLabels { socket, cause }).get()
    }

    /// How often questions had this outcome.
    #[cfg(test)]
    pub(crate) fn outcomes(&self, socket: &Socket, outcome: &'static str) -> u64 {
        let socket = socket.path.display().to_string();
        self.questions
            .get_or_create(&QuestionLabels { socket, outcome })
            .get()
    }

    fn register(&self, registry: &mut Registry) {
        registry.register(
            "runtime_questions",
            "Containers that a runtime's socket was asked about, by what came of it",
            self.questions.clone(),
        );
        registry.register(
            "runtime_failures",
            "Failures after which a runtime's socket was left alone for a while, by cause",
            self.failed.clone(),
        );
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct EnforcementLabels {
    rule: String,
    outcome: &'static str,
}

/// What became of operations that rules with `action: deny` or `kill` match.
#[derive(Debug, Clone, Default)]
pub struct EnforcementMetrics {
    operations: Family<EnforcementLabels, Counter>,
}

impl EnforcementMetrics {
    pub(crate) fn counted(&self, rule: &str, outcome: &'static str, more: u64) {
        let labels = EnforcementLabels {
            rule: rule.to_owned(),
            outcome,
        };
        self.operations.get_or_create(&labels).inc_by(more);
    }

    fn register(&self, registry: &mut Registry) {
        registry.register(
            "enforcement_operations",
            "Operations that a rule with action deny or kill matches, by what became of them",
            self.operations.clone(),
        );
    }
}

/// The registry and the handles of those who count.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    /// For the hub.
    pub subscribers: SubscriberMetrics,
    /// For the pipeline.
    pub detections: DetectionMetrics,
    /// For the responder.
    pub responses: ResponseMetrics,
    /// For the sinks.
    pub sinks: SinkMetrics,
    /// For what is denied.
    pub enforcement: EnforcementMetrics,
    /// For the Kubernetes watch.
    pub kubernetes: KubernetesMetrics,
    /// For who asks runtimes' sockets.
    pub runtimes: RuntimeMetrics,
    /// For who reads the rules.
    pub rules: RuleMetrics,
    live: Arc<collect::Live>,
}

impl Metrics {
    /// What does not work, as sentences.
    #[must_use]
    pub fn degraded(&self) -> Vec<String> {
        let source = self.live.source.get();
        source.map_or_else(Vec::new, |source| source.degraded())
    }

    /// A registry in which all is at 0.
    #[must_use]
    pub fn new() -> Arc<Self> {
        let subscribers = SubscriberMetrics::default();
        let detections = DetectionMetrics::default();
        let responses = ResponseMetrics::default();
        let sinks = SinkMetrics::default();
        let kubernetes = KubernetesMetrics::default();
        let runtimes = RuntimeMetrics::default();
        let enforcement = EnforcementMetrics::default();
        let rules = RuleMetrics::default();
        for kind in SubscriberKind::ALL {
            subscribers.delivered(kind, 0);
            subscribers
                .dropped
                .get_or_create_owned(&SubscriberLabels { subscriber: kind });
        }
        let live = Arc::new(collect::Live {
            source: OnceLock::new(),
            hub: OnceLock::new(),
        });

        let mut registry = Registry::with_prefix("sensor");
        registry.register(
            "build",
            "The running program",
            Info::new([("version", env!("CARGO_PKG_VERSION"))]),
        );
        registry.register("detections", "Detections by rule", detections.by_rule.clone());
        rules.register(&mut registry);
        registry.register(
            "subscriber_items_delivered",
            "Items that subscribers have read from their queues",
            subscribers.delivered.clone(),
        );
        registry.register(
            "subscriber_items_dropped",
            "Items lost because a subscriber's queue was full",
            subscribers.dropped.clone(),
        );
        registry.register(
            "hook_runs",
            "Runs of response hooks by outcome",
            responses.runs.clone(),
        );
        registry.register(
            "sink_items_failed",
            "Items lost because a sink could not be written to",
            sinks.failed.clone(),
        );
        kubernetes.register(&mut registry);
        runtimes.register(&mut registry);
        enforcement.register(&mut registry);
        registry.register_collector(Box::new(Arc::clone(&live)));
        Arc::new(Self {
            registry,
            subscribers,
            detections,
            responses,
            sinks,
            enforcement,
            kubernetes,
            runtimes,
            rules,
            live,
        })
    }

    /// Sets where the live numbers come from; only the first call counts.
    pub fn set_live_source(&self, source: Arc<dyn LiveSource>) {
        let _first_wins = self.live.source.set(source);
    }

    /// Sets the hub whose queues are shown; only the first call counts.
    pub fn set_hub(&self, hub: &Arc<Hub>) {
        let _first_wins = self.live.hub.set(Arc::downgrade(hub) as Weak<Hub>);
    }

    /// All metrics in the text format of `OpenMetrics`.
    ///
    /// # Errors
    /// Only when a [`LiveSource`] gives something that cannot be written.
    pub fn render(&self) -> Result<String, fmt::Error> {
        let mut text = String::with_capacity(8192);
        prometheus_client::encoding::text::encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

#[cfg(test)]
mod tests;
