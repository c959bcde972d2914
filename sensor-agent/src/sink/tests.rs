#![allow(clippy::needless_raw_string_hashes, reason = "expect-test writes them so")]

use std::collections::BTreeMap;
use std::sync::Arc;

use expect_test::{Expect, expect};
use proptest::prelude::*;
use sensor_proto::v1::field_value::Kind;
use sensor_proto::v1::{
    Ancestor, Container, Credentials, Detection, FieldValue, File, Gap, HookRun, Pod, Priority, Process,
    hook_run, pod,
};

use super::*;

fn at(seconds: i64, nanos: i32) -> prost_types::Timestamp {
    prost_types::Timestamp { seconds, nanos }
}

fn value(kind: Kind) -> FieldValue {
    FieldValue { kind: Some(kind) }
}

fn sample() -> Detection {
    Detection {
        update: false,
        id: "0198".into(),
        time: Some(at(1_790_000_000, 5)),
        rule: "Shell in container".into(),
        priority: Priority::Warning.into(),
        source: "syscall".into(),
        tags: vec!["container".into(), "shell".into()],
        hostname: "node-1".into(),
        output: "A shell | cmd=sh -c \"a\\b\"\n\u{9b}31m\u{2028}\u{202e}\x1b[0m\u{7f}é".into(),
        output_fields: BTreeMap::from([
            ("proc.pid".into(), value(Kind::IntValue(-5))),
            ("proc.name".into(), value(Kind::StringValue("sh".into()))),
            ("fd.name".into(), FieldValue { kind: None }),
            ("evt.is_open".into(), value(Kind::BoolValue(true))),
            ("evt.rawres".into(), value(Kind::UintValue(u64::MAX))),
            ("x".into(), value(Kind::DoubleValue(f64::NAN))),
        ]),
        process: Some(Process {
            pid: 42,
            tid: 43,
            name: "sh".into(),
            ancestors: vec![Ancestor {
                pid: 1,
                name: "init".into(),
                started_as: Some(Credentials {
                    uid: 1,
                    euid: 0,
                    loginuid: u32::MAX,
                    cap_effective: 1 << 40,
                }),
                ..Ancestor::default()
            }],
            ..Process::default()
        }),
        pod: Some(Pod {
            uid: "u-1".into(),
            name: "web-1".into(),
            namespace: "shop".into(),
            labels: [("app".to_owned(), "web\n".to_owned())].into(),
            owners: vec![pod::Owner {
                kind: "Deployment".into(),
                name: "web".into(),
                uid: String::new(),
            }],
            ..Pod::default()
        }),
        container: Some(Container {
            id: "0123".into(),
            runtime: "docker".into(),
            cgroup: "/docker/0123".into(),
            ..Container::default()
        }),
        file: Some(File {
            path: "/etc/shadow".into(),
            inode: 7,
            ..File::default()
        }),
        incomplete: vec!["proc.cmdline: truncated".into()],
        event_type: "execve".into(),
    }
}

fn check(format: Format, item: &Item, expected: &Expect) {
    let mut line = Vec::new();
    Encoder::new(format, false, "here").encode(item, &mut line);
    expected.assert_eq(std::str::from_utf8(&line).unwrap());
}

fn items() -> [Item; 3] {
    let answers = Arc::new(sample());
    let gap = Gap {
        time: Some(at(1, 0)),
        cause: "ring_full".into(),
        kind: "open".into(),
        count: 3,
        ..Gap::default()
    };
    let run = HookRun {
        id: "r1".into(),
        time: Some(at(2, 0)),
        hook: "restore".into(),
        detection_id: "0198".into(),
        rule: "R\n".into(),
        mode: hook_run::Mode::Act.into(),
        outcome: hook_run::Outcome::TimedOut.into(),
        detail: "gave up".into(),
        duration_ms: 12,
    };
    [
        Item::Detection(Arc::clone(&answers)),
        Item::Gap(Arc::new(gap)),
        Item::HookRun {
            run: Arc::new(run),
            answers,
        },
    ]
}

#[test]
fn json_lines() {
    let [detection, gap, run] = items();
    check(
        Format::Json,
        &detection,
        &expect![[r#"
            {"time":"2026-09-21T14:13:20.000000005Z","rule":"Shell in container","priority":"Warning","source":"syscall","hostname":"node-1","output":"14:13:20.000000005: Warning A shell | cmd=sh -c \"a\\b\"\n\u009b31m\u2028\u202e\u001b[0m\u007fé","tags":["container","shell"],"output_fields":{"evt.time":1790000000000000005,"evt.is_open":true,"evt.rawres":18446744073709551615,"fd.name":null,"proc.name":"sh","proc.pid":-5,"x":null},"id":"0198","event_type":"execve","process":{"pid":42,"tid":43,"start_time_ns":0,"name":"sh","exe_path":"","cmdline":"","cwd":"","uid":0,"gid":0,"exe_sha256":"","exe_package":"","started_as":null,"ancestors":[{"pid":1,"start_time_ns":0,"name":"init","exe_path":"","started_as":{"uid":1,"euid":0,"loginuid":4294967295,"cap_effective":1099511627776}}]},"container":{"id":"0123","runtime":"docker","cgroup":"/docker/0123","name":"","image":"","pod":"","namespace":"","unverified":false},"pod":{"uid":"u-1","name":"web-1","namespace":"shop","labels":{"app":"web\n"},"owner_kind":"Deployment","owner_name":"web"},"file":{"path":"/etc/shadow","path_given":"","device":0,"inode":7},"incomplete":["proc.cmdline: truncated"]}
        "#]],
    );
    check(
        Format::Json,
        &gap,
        &expect![[r#"
            {"time":"1970-01-01T00:00:01.000000000Z","rule":"Sensor internal: items lost","priority":"Error","source":"internal","hostname":"here","output":"00:00:01.000000000: Error Lost 3 items (kind=open cause=ring_full)","output_fields":{"evt.time":1000000000,"cause":"ring_full","kind":"open","count":3,"container.id":null}}
        "#]],
    );
    check(
        Format::Json,
        &run,
        &expect![[r#"
        {"time":"1970-01-01T00:00:02.000000000Z","rule":"Sensor internal: hook run","priority":"Error","source":"internal","hostname":"here","output":"00:00:02.000000000: Error Hook restore answered rule R\n: gave up (outcome=timed_out mode=act duration_ms=12 detection=0198)","output_fields":{"evt.time":2000000000,"id":"r1","hook":"restore","detection_id":"0198","rule":"R\n","mode":"act","outcome":"timed_out","detail":"gave up","duration_ms":12}}
    "#]],
    );
}

#[test]
fn text_lines() {
    let [detection, gap, run] = items();
    check(
        Format::Text,
        &detection,
        &expect![[r#"
        14:13:20.000000005: Warning A shell | cmd=sh -c "a\\b"\n\u009b31m\u2028\u202e\u001b[0m\u007fé
    "#]],
    );
    check(
        Format::Text,
        &gap,
        &expect![[r"
            00:00:01.000000000: Error Lost 3 items (kind=open cause=ring_full)
        "]],
    );
    check(
        Format::Text,
        &run,
        &expect![[r"
        00:00:02.000000000: Error Hook restore answered rule R\n: gave up (outcome=timed_out mode=act duration_ms=12 detection=0198)
    "]],
    );
}

#[test]
fn colours_only_when_asked_for() {
    let [detection, ..] = items();
    let mut line = Vec::new();
    Encoder::new(Format::Text, true, "here").encode(&detection, &mut line);
    let text = String::from_utf8(line).unwrap();
    assert!(text.contains("\x1b[33mWarning\x1b[0m A shell"), "{text}");
}

#[test]
fn priorities_are_read_in_any_case_and_written_back() {
    for (name, priority) in names::PRIORITIES {
        assert_eq!(parse_priority(&name.to_uppercase()), Some(priority));
        assert_eq!(priority_name(priority).to_lowercase(), name);
    }
    assert_eq!(parse_priority("Info"), Some(Priority::Informational));
    assert_eq!(parse_priority("warn"), None);
}

fn any_value() -> impl Strategy<Value = FieldValue> {
    prop_oneof![
        Just(FieldValue { kind: None }),
        any::<String>().prop_map(|text| value(Kind::StringValue(text))),
        any::<i64>().prop_map(|number| value(Kind::IntValue(number))),
        any::<f64>().prop_map(|number| value(Kind::DoubleValue(number))),
    ]
}

prop_compose! {
    fn any_detection()(
        (seconds, nanos) in any::<(i64, i32)>(),
        priority in any::<i32>(),
        (rule, output, source, path) in any::<(String, String, String, String)>(),
        tags in prop::collection::vec(any::<String>(), 0..4),
        output_fields in prop::collection::btree_map(any::<String>(), any_value(), 0..6),
    ) -> Detection {
        Detection {
            time: Some(at(seconds, nanos)),
            file: Some(File { path, ..File::default() }),
            rule, priority, output, source, tags, output_fields,
            ..sample()
        }
    }
}

proptest! {
    #[test]
    fn any_detection_is_one_safe_line(detection in any_detection()) {
        let item = Item::Detection(Arc::new(detection.clone()));
        for format in [Format::Json, Format::Text] {
            let mut line = Vec::new();
            Encoder::new(format, false, "here").encode(&item, &mut line);
            let text = String::from_utf8(line).unwrap();
            let body = text.strip_suffix('\n').unwrap();
            let harmful = |character: char| character.is_control() || matches!(character, '\u{2028}' | '\u{2029}');
            prop_assert!(!body.contains(harmful), "{:?}", body);
            if format == Format::Json {
                let json: serde_json::Value = serde_json::from_str(body).unwrap();
                prop_assert_eq!(json["rule"].as_str().unwrap(), &detection.rule);
                prop_assert_eq!(json["time"].as_str().unwrap().rsplit_once('.').unwrap().1.len(), 10);
                for (name, value) in &detection.output_fields {
                    if let Some(Kind::StringValue(text)) = &value.kind {
                        prop_assert_eq!(json["output_fields"][name].as_str().unwrap(), text);
                    }
                }
            }
        }
    }
}
