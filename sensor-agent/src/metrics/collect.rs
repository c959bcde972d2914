//! Reads the live numbers at the moment of a scrape.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, OnceLock, Weak};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::{MetricType, TypedMetric};
use sensor_proto::v1::KindCounters;

use super::{LiveSource, SubscriberKind};
use crate::hub::Hub;

/// Where live numbers come from, once they exist.
pub(super) struct Live {
    pub(super) source: OnceLock<Arc<dyn LiveSource>>,
    pub(super) hub: OnceLock<Weak<Hub>>,
}

impl fmt::Debug for Live {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Live").finish_non_exhaustive()
    }
}

impl Collector for Live {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        if let Some(source) = self.source.get() {
            encode_kinds(&mut encoder, &source.kinds())?;
            for (name, help, value) in source.counts() {
                let counter = ConstCounter::new(value);
                counter.encode(encoder.encode_descriptor(name, help, None, MetricType::Counter)?)?;
            }
            let mut family = encoder.encode_descriptor(
                "program_misses",
                "Times that a program in the kernel was not run because it ran already: events that no other counter has",
                None,
                MetricType::Counter,
            )?;
            for (program, count) in source.misses() {
                let labels = [("program", program.as_str())];
                ConstCounter::new(count).encode(family.encode_family(&labels)?)?;
            }
            let degraded = u64::try_from(source.degraded().len()).unwrap_or(u64::MAX);
            ConstGauge::new(degraded).encode(encoder.encode_descriptor(
                "degraded_reasons",
                "What does not work here or is lost, as the status names it",
                None,
                ConstGauge::<u64>::TYPE,
            )?)?;
            let tables = source.tables();
            let entries = tables.iter().map(|table| (table.table, table.entries));
            gauges(
                &mut encoder,
                "table_entries",
                "Entries of a state table",
                "table",
                entries,
            )?;
            let max = tables.iter().map(|table| (table.table, table.entries_max));
            gauges(
                &mut encoder,
                "table_entries_max",
                "Entries that a state table may hold",
                "table",
                max,
            )?;
        }
        if let Some(hub) = self.hub.get().and_then(Weak::upgrade) {
            encode_hub(&mut encoder, &hub)?;
        }
        Ok(())
    }
}

fn encode_kinds(encoder: &mut DescriptorEncoder<'_>, kinds: &[KindCounters]) -> fmt::Result {
    type Read = fn(&KindCounters) -> u64;
    let counters: [(&str, &str, Read); 6] = [
        ("events_seen", "Events that the probes saw", |kind| kind.seen),
        (
            "events_filtered",
            "Events left out on purpose: what no rule can match, the sensor's own and, where the configuration says so, failed calls",
            |kind| kind.filtered,
        ),
        ("events_sent", "Events that were put into a ring", |kind| {
            kind.sent
        }),
        ("events_truncated", "Events of which something was cut", |kind| {
            kind.truncated
        }),
        (
            "events_delivered",
            "Events that were decoded and matched",
            |kind| kind.delivered,
        ),
        ("events_malformed", "Records that could not be decoded", |kind| {
            kind.malformed
        }),
    ];
    for (name, help, read) in counters {
        let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
        for kind in kinds {
            let labels = [("kind", kind.kind.as_str())];
            ConstCounter::new(read(kind)).encode(family.encode_family(&labels)?)?;
        }
    }
    let mut family =
        encoder.encode_descriptor("events_lost", "Events lost, by cause", None, MetricType::Counter)?;
    for kind in kinds {
        for (cause, count) in &kind.lost {
            let labels = [("kind", kind.kind.as_str()), ("cause", cause.as_str())];
            ConstCounter::new(*count).encode(family.encode_family(&labels)?)?;
        }
    }
    Ok(())
}

fn encode_hub(encoder: &mut DescriptorEncoder<'_>, hub: &Hub) -> fmt::Result {
    let mut by_kind = BTreeMap::from(SubscriberKind::ALL.map(|kind| (kind.as_str(), (0, 0))));
    for subscriber in hub.subscribers() {
        if let Some((count, queued)) = by_kind.get_mut(subscriber.kind.as_str()) {
            *count += 1;
            *queued += subscriber.queued;
        }
    }
    let counts = by_kind.iter().map(|(kind, (count, _))| (*kind, *count));
    gauges(
        encoder,
        "subscribers",
        "Subscribers at this moment",
        "subscriber",
        counts,
    )?;
    let queued = by_kind.iter().map(|(kind, (_, queued))| (*kind, *queued));
    gauges(
        encoder,
        "subscriber_queue_items",
        "Items that wait in subscribers' queues",
        "subscriber",
        queued,
    )
}

fn gauges<'a>(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    label: &str,
    values: impl Iterator<Item = (&'a str, u64)>,
) -> fmt::Result {
    let mut family = encoder.encode_descriptor(name, help, None, ConstGauge::<u64>::TYPE)?;
    for (value, number) in values {
        ConstGauge::new(number).encode(family.encode_family(&[(label, value)])?)?;
    }
    Ok(())
}
