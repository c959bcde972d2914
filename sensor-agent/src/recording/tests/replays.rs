//! What a replay finds, and that it finds the same each time.

use proptest::prelude::*;
use sensor_common::{
    counters::LossCause,
    kind::{Kind, Ring},
};

use super::{replay, rules, sample};
use crate::{
    clock::Clock,
    fuzzing,
    kernel::counters::Loss,
    pipeline::Tick,
    recording::item::{Input, Lost},
};

#[test]
fn rules_find_what_was_recorded_and_the_cost_is_told() {
    let rules = rules(sample::RULES);
    let (lines, told, fault) = replay(&sample::whole(), &rules);
    assert!(fault.is_none(), "{fault:?}");
    assert_eq!((told.records, told.events, told.malformed), (3, 3, 0));
    assert_eq!(told.detections, [2, 1, 0]);
    let outputs: Vec<String> = lines
        .lines()
        .map(|line| {
            let line: serde_json::Value = serde_json::from_str(line).unwrap();
            format!(
                "{}: {}",
                line["rule"].as_str().unwrap(),
                line["output"].as_str().unwrap()
            )
        })
        .collect();
    for (output, expected) in outputs.iter().zip([
        "cat /etc/shadow by root",
        "/etc/shadow by cat /etc/shadow of shell at 1700000002000000001",
        "/etc/\u{fffd} by cat /etc/shadow of shell at 1700000002000000002",
    ]) {
        assert!(output.contains(expected), "{output}");
    }
    assert_eq!(outputs.len(), 3);
    let costs = told.costs.unwrap();
    let hits: Vec<_> = costs.rules().iter().map(|cost| cost.hits).collect();
    assert_eq!(hits, [2, 1, 0]);
    assert!(costs.rules().iter().all(|cost| cost.tested >= cost.hits));
}

#[test]
fn two_replays_are_the_same_byte_for_byte() {
    let rules = rules(sample::RULES);
    let (first, ..) = replay(&sample::whole(), &rules);
    let (second, ..) = replay(&sample::whole(), &rules);
    assert_eq!(first, second);
    let mut ids: Vec<_> = first
        .lines()
        .map(|line| {
            let line: serde_json::Value = serde_json::from_str(line).unwrap();
            line["id"].as_str().unwrap().to_owned()
        })
        .collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 3, "{first}");
}

/// A loss is told where it happened: one that the kernel counted, and one of the recording itself.
#[test]
fn what_is_missing_is_told_as_gaps() {
    let of_kernel = |count| Loss {
        cgroup_id: 1,
        kind: Kind::Open,
        cause: LossCause::RingFull,
        count,
    };
    let tick = |now_s: u64, count| {
        Input::Tick(Tick {
            now_ns: now_s * sample::SECOND_NS,
            clock: Clock::from_offset_ns(0),
            losses: vec![of_kernel(count)],
        })
    };
    let lost = Lost {
        records: 40,
        others: 2,
    };
    let items = [
        Input::Planted(0),
        tick(2, 5),
        Input::Lost(lost),
        tick(3, 5),
        tick(4, 6),
    ];
    let file = sample::file(&sample::header(), &[&items]);
    let (lines, told, fault) = replay(&file, &rules(sample::RULES));
    assert!(fault.unwrap().to_string().contains("without the mark of the end"));
    assert_eq!(told.lost, lost);
    let counts: Vec<_> = lines.lines().map(|line| line.contains("recording")).collect();
    assert_eq!(counts, [false, true, false], "{lines}");
}

#[test]
fn items_in_a_wrong_order_are_a_fault() {
    let records = sample::records();
    let record = || Input::Record(Ring::Lifecycle, &records[0].1);
    let end = || Input::End(crate::recording::item::End::default());
    let cases: [(&[Input<'_>], &str); 3] = [
        (&[record(), end()], "before the processes"),
        (&[Input::Planted(0), Input::Planted(0), end()], "a second time"),
        (
            &[Input::Planted(0), end(), record()],
            "behind the mark of the end",
        ),
    ];
    for (items, expected) in cases {
        let file = sample::file(&sample::header(), &[items]);
        let (_, _, fault) = replay(&file, &rules(sample::RULES));
        let fault = fault.unwrap().to_string();
        assert!(fault.contains(expected), "{fault}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Any items, and any file: never a panic, and twice the same.
    #[test]
    fn any_bytes_have_an_answer(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        fuzzing::recording(&bytes);
    }

    /// Records that are nearly sound.
    #[test]
    fn any_change_of_a_record_has_an_answer(
        which in 0_usize..3,
        changes in prop::collection::vec((0_usize..300, any::<u8>()), 1..6),
    ) {
        let mut records = sample::records();
        let record = &mut records[which].1;
        for (at, byte) in changes {
            let at = at % record.len();
            record[at] = byte;
        }
        let items = sample::items(&records);
        let file = sample::file(&sample::header(), &[&items]);
        let (_, told, fault) = replay(&file, &rules(sample::RULES));
        prop_assert!(fault.is_none());
        prop_assert_eq!(told.records, 3);
    }
}
