#![allow(clippy::needless_raw_string_hashes, reason = "expect-test writes them so")]

use expect_test::expect;
use sensor_proto::v1::{Hook, KindCounters, Rules, State, Subscriber};

use super::*;

fn sample() -> StatusResponse {
    let lost = BTreeMap::from([("ring_full".to_owned(), 3), ("scratch_busy".to_owned(), 1)]);
    StatusResponse {
        version: "0.1.0".into(),
        hostname: "node".into(),
        start_time: Some(prost_types::Timestamp {
            seconds: 1_790_000_000,
            nanos: 0,
        }),
        start_to_first_event_ns: 12_345_678,
        hooks: vec![
            Hook {
                name: "raw_tp/exec".into(),
                attached: true,
                kinds: vec!["exec".into()],
                reason: String::new(),
            },
            Hook {
                name: "lsm/x".into(),
                attached: false,
                kinds: vec![],
                reason: "EPERM\n\x1b[31m".into(),
            },
        ],
        kinds: vec![
            KindCounters {
                kind: "exec".into(),
                seen: 1000,
                sent: 1000,
                delivered: 999,
                ..Default::default()
            },
            KindCounters {
                kind: "open".into(),
                seen: 20,
                lost,
                ..Default::default()
            },
        ],
        rules: Some(Rules {
            loaded: 15,
            enabled: 14,
            files: vec!["/r.yaml".into()],
            matches: BTreeMap::from([("a".to_owned(), 1), ("b".to_owned(), 20)]),
            ..Rules::default()
        }),
        state: Some(State {
            processes: 100,
            containers: 2,
            resident_bytes: 2 << 20,
        }),
        subscribers: vec![Subscriber {
            id: 1,
            kind: "grpc".into(),
            peer: "unix".into(),
            ..Default::default()
        }],
        degraded: vec!["no LSM".into()],
        cgroups: vec![],
    }
}

#[test]
fn a_table_for_people() {
    expect![[r#"
        sensor 0.1.0 on node
        first event 12 ms after the start
        15 rules (14 enabled) from 1 files, generation 0
        100 processes, 2 containers, 2048 KiB resident
        degraded: no LSM

        hooks
          HOOK         ATTACHED  KINDS  WHY NOT
          raw_tp/exec  yes       exec
          lsm/x        no               EPERM��[31m

        events
          KIND  SEEN  FILTERED  SENT  TRUNCATED  DELIVERED  MALFORMED  LOST
          exec  1000         0  1000          0        999          0
          open    20         0     0          0          0          0  ring_full=3 scratch_busy=1

        matches
          RULE  DETECTIONS
          b             20
          a              1

        subscribers
          ID  KIND  PEER  DELIVERED  DROPPED  QUEUED  QUEUE MAX
           1  grpc  unix          0        0       0          0
    "#]]
    .assert_eq(&render(StatusFormat::Table, &sample()));
}

#[test]
fn json_for_programs() {
    let value: serde_json::Value = serde_json::from_str(&render(StatusFormat::Json, &sample())).unwrap();
    assert_eq!(value["start_time"], "2026-09-21T14:13:20Z");
    assert_eq!(value["kinds"][1]["lost"]["ring_full"], 3);
    assert_eq!(value["hooks"][1]["reason"], "EPERM\n\u{1b}[31m");
    assert_eq!(value["state"]["resident_bytes"], 2 << 20);
    assert_eq!(value["subscribers"][0]["kind"], "grpc");
}
