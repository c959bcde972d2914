use std::collections::BTreeMap;
use std::num::NonZeroUsize;

use super::*;
use crate::hub::filter::CompiledFilter;
use crate::hub::{HubLimits, Request};

struct Fixed;

impl LiveSource for Fixed {
    fn kinds(&self) -> Vec<KindCounters> {
        vec![KindCounters {
            kind: "exec".into(),
            seen: 10,
            filtered: 3,
            sent: 5,
            truncated: 1,
            delivered: 4,
            malformed: 1,
            lost: BTreeMap::from([("ring_full".to_owned(), 2)]),
        }]
    }

    fn counts(&self) -> Vec<(&'static str, &'static str, u64)> {
        vec![("table_evictions", "Evictions", 3)]
    }

    fn tables(&self) -> Vec<TableFill> {
        vec![TableFill {
            table: "processes",
            entries: 7,
            entries_max: 100,
        }]
    }

    fn misses(&self) -> Vec<(String, u64)> {
        vec![("sys_exit".into(), 5)]
    }

    fn degraded(&self) -> Vec<String> {
        vec!["one".into(), "two".into()]
    }
}

#[test]
fn every_number_has_its_line() {
    let metrics = Metrics::new();
    let limits = HubLimits {
        queue_items_max: NonZeroUsize::MIN,
        subscribers_max: 4,
    };
    let hub = Hub::new(limits, metrics.subscribers.clone());
    metrics.set_hub(&hub);
    metrics.set_live_source(Arc::new(Fixed));
    let request = Request {
        kind: SubscriberKind::Stdout,
        peer: String::new(),
        filter: CompiledFilter::default(),
    };
    let _subscription = hub.subscribe(request).unwrap();
    metrics
        .detections
        .of_rule("Shell in \"container\"", Priority::Warning)
        .inc();
    metrics.responses.ran("restore", "done");
    metrics.sinks.failed(SubscriberKind::File, 2);

    let text = metrics.render().unwrap();
    let expected = [
        r#"sensor_build_info{version="0.1.0"} 1"#,
        r#"sensor_detections_total{rule="Shell in \"container\"",priority="Warning"} 1"#,
        r#"sensor_subscriber_items_dropped_total{subscriber="grpc"} 0"#,
        r#"sensor_hook_runs_total{hook="restore",outcome="done"} 1"#,
        r#"sensor_sink_items_failed_total{sink="file"} 2"#,
        r#"sensor_events_seen_total{kind="exec"} 10"#,
        r#"sensor_events_filtered_total{kind="exec"} 3"#,
        r#"sensor_events_lost_total{kind="exec",cause="ring_full"} 2"#,
        r#"sensor_events_malformed_total{kind="exec"} 1"#,
        r#"sensor_program_misses_total{program="sys_exit"} 5"#,
        "sensor_degraded_reasons 2",
        r#"sensor_table_entries_max{table="processes"} 100"#,
        r#"sensor_subscribers{subscriber="stdout"} 1"#,
        r#"sensor_subscriber_queue_items{subscriber="respond"} 0"#,
        "# EOF",
    ];
    for line in expected {
        assert!(
            text.lines().any(|found| found == line),
            "{line} is missing in\n{text}"
        );
    }
}
