//! How well the sensor is, by its own tests: told in log, metrics and stream when it changes, and in the status always.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use arc_swap::ArcSwap;
use sensor_proto::v1;

use crate::{
    clock::{self, Clock},
    detection::timestamp,
    hub::{Hub, Item},
    kernel::integrity::Tampering,
};

/// Names of the rules under which the sensor tells of itself.
const DEGRADED: &str = "Sensor degraded";
const RECOVERED: &str = "Sensor recovered";
const TAMPERED: &str = "Sensor tampered with";
const DOWN: &str = "Sensor was down";
const STILL: &str = "Sensor stood still";

/// A time in which no sensor ran.
#[derive(Clone, Copy, Debug)]
pub struct Absence {
    /// The sensor's process that ended.
    pub pid: u32,
    /// When it was last seen to run, in nanoseconds since 1970.
    pub since_ns: u64,
    /// When the next one began.
    pub until_ns: u64,
}

/// What the self-test found.
pub struct Health {
    hub: Arc<Hub>,
    hostname: Arc<str>,
    /// What does not work now, as sentences.
    degraded: ArcSwap<Vec<String>>,
    /// Rounds that were done, and those in which something was amiss.
    rounds: AtomicU64,
    rounds_failed: AtomicU64,
    tamperings: AtomicU64,
}

impl Health {
    /// Nothing is known to be amiss.
    #[must_use]
    pub fn new(hub: Arc<Hub>, hostname: Arc<str>) -> Self {
        Self {
            hub,
            hostname,
            degraded: ArcSwap::default(),
            rounds: AtomicU64::new(0),
            rounds_failed: AtomicU64::new(0),
            tamperings: AtomicU64::new(0),
        }
    }

    /// What does not work now, as sentences.
    #[must_use]
    pub fn degraded(&self) -> Arc<Vec<String>> {
        self.degraded.load_full()
    }

    /// Further counters, as the metrics show them: name, help, value.
    #[must_use]
    pub fn counts(&self) -> [(&'static str, &'static str, u64); 3] {
        [
            (
                "selftest_rounds",
                "Rounds of the self-test",
                self.rounds.load(Relaxed),
            ),
            (
                "selftest_rounds_failed",
                "Rounds of the self-test in which an event did not come back",
                self.rounds_failed.load(Relaxed),
            ),
            (
                "tamperings",
                "Links and maps of ours that somebody else changed",
                self.tamperings.load(Relaxed),
            ),
        ]
    }

    /// Takes in what a round found; nothing when all is in order.
    pub(super) fn judge(&self, reasons: &[String]) {
        self.rounds.fetch_add(1, Relaxed);
        if !reasons.is_empty() {
            self.rounds_failed.fetch_add(1, Relaxed);
        }
        let before = self.degraded.swap(Arc::new(reasons.to_vec()));
        if before.as_slice() == reasons {
            return;
        }
        if reasons.is_empty() {
            tracing::info!("the self-test passes again");
            let fields = BTreeMap::from([("sensor.reason", before.join("; "))]);
            self.tell(
                RECOVERED,
                v1::Priority::Notice,
                "every hook tells its events again",
                fields,
            );
            return;
        }
        for reason in reasons {
            tracing::error!("{reason}");
        }
        let output = format!("the sensor is degraded | {}", reasons.join("; "));
        let fields = BTreeMap::from([("sensor.reason", reasons.join("; "))]);
        self.tell(DEGRADED, v1::Priority::Critical, &output, fields);
    }

    /// Somebody changed what is ours.
    pub(super) fn tampered(&self, tampering: &Tampering) {
        self.tamperings.fetch_add(1, Relaxed);
        let Tampering {
            what,
            name,
            found,
            not_repaired,
        } = tampering;
        let repair = if not_repaired.is_empty() {
            "it was put right".to_owned()
        } else {
            format!("it could not be put right: {not_repaired}")
        };
        tracing::error!(what, name, "somebody tampered with the sensor: {found}; {repair}");
        let output = format!("the sensor was tampered with | {what}={name} found={found} repair={repair}");
        let fields = BTreeMap::from([
            ("sensor.object", (*what).to_owned()),
            ("sensor.name", name.clone()),
            ("sensor.reason", found.clone()),
            ("sensor.repair", repair),
        ]);
        self.tell(TAMPERED, v1::Priority::Critical, &output, fields);
    }

    /// An earlier agent did not stop by itself.
    pub fn was_down(&self, absence: &Absence) {
        let reason = format!(
            "process {} of the sensor ended without being told to: nothing was seen until this one began",
            absence.pid
        );
        self.absent(DOWN, reason, absence.since_ns, absence.until_ns);
    }

    /// This agent did not run for a while: what the rings could not hold meanwhile is counted as lost.
    pub fn stood_still(&self, since_ns: u64, until_ns: u64) {
        let reason = "it was stopped, kept from a processor, or asleep with the machine: what came meanwhile was seen late, or is counted as lost";
        self.absent(STILL, reason.to_owned(), since_ns, until_ns);
    }

    fn absent(&self, rule: &str, reason: String, since_ns: u64, until_ns: u64) {
        let (since, until) = (timestamp(since_ns).to_string(), timestamp(until_ns).to_string());
        tracing::error!(%since, %until, "{reason}");
        let output = format!("{rule} | since={since} until={until} reason={reason}");
        let fields = BTreeMap::from([
            ("sensor.reason", reason),
            ("sensor.since", since),
            ("sensor.until", until),
        ]);
        self.tell(rule, v1::Priority::Critical, &output, fields);
    }

    /// A detection of the sensor's own.
    fn tell(&self, rule: &str, priority: v1::Priority, output: &str, fields: BTreeMap<&str, String>) {
        let now = timestamp(Clock::now().epoch_ns(clock::boot_ns()));
        let fields = fields.into_iter().map(|(name, text)| {
            let kind = Some(v1::field_value::Kind::StringValue(text));
            (name.to_owned(), v1::FieldValue { kind })
        });
        self.hub.publish(&Item::Detection(Arc::new(v1::Detection {
            id: uuid::Uuid::now_v7().to_string(),
            time: Some(now),
            rule: rule.to_owned(),
            priority: priority.into(),
            source: "internal".to_owned(),
            tags: vec!["sensor".to_owned()],
            hostname: self.hostname.to_string(),
            output: output.to_owned(),
            output_fields: fields.collect(),
            ..v1::Detection::default()
        })));
    }
}
