//! What matching costs: events per second of one core, by number of rules.
//!
//! `cargo bench -p sensor-rules`. Each iteration matches every event of the mix once, so that the throughput printed
//! is events per second. `docs/benchmarks-matcher.md` says what the mix is and what was measured.
#![expect(
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a bench that cannot go on stops; what it left out is printed"
)]

#[path = "support/event.rs"]
mod event;
#[path = "support/rules.rs"]
mod rules;

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use event::{MixEvent, mix};
use sensor_rules::engine::{RuleSet, Scratch};

/// Matches every event once; how many matches there were.
fn matches(rules: &RuleSet, events: &[MixEvent], scratch: &mut Scratch) -> usize {
    let mut count = 0;
    for event in events {
        rules.evaluate(event, scratch, |id| {
            black_box(id);
            count += 1;
        });
    }
    count
}

/// The events of the mix that match none of the rules, for which nothing but matching is done.
fn unmatched(rules: &RuleSet) -> Vec<MixEvent> {
    let (mut events, mut scratch) = (mix(), Scratch::new());
    let all = events.len();
    events.retain(|event| matches(rules, std::slice::from_ref(event), &mut scratch) == 0);
    println!(
        "{} of {all} events match no rule of {}",
        events.len(),
        rules.rules().len()
    );
    assert!(events.len() * 10 > all * 9, "most of the mix is ordinary");
    events
}

fn bench(criterion: &mut Criterion, group: &str, name: &str, rules: &RuleSet, events: &[MixEvent]) {
    let mut group = criterion.benchmark_group(group);
    group.throughput(Throughput::Elements(events.len() as u64));
    let mut scratch = Scratch::new();
    group.bench_function(name, |bencher| {
        bencher.iter(|| matches(rules, black_box(events), &mut scratch));
    });
    group.finish();
}

/// The same kinds of rules, more and more of them.
fn growth(criterion: &mut Criterion) {
    for count in [25, 100, 1000] {
        let rules = rules::load(&[("generated.yaml".to_owned(), rules::generated(count))]);
        bench(
            criterion,
            "generated",
            &count.to_string(),
            &rules,
            &unmatched(&rules),
        );
    }
}

/// One rule with a list of 10,000 constants, by what is asked of them.
fn lists(criterion: &mut Criterion) {
    for (name, content) in rules::long_lists(10_000) {
        let rules = rules::load(&[(name.to_owned(), content)]);
        bench(criterion, "list of 10000", name, &rules, &unmatched(&rules));
    }
}

/// Rules that people use: Falco's stable ones, and those of this repository with them.
fn real(criterion: &mut Criterion) {
    let own = rules::own();
    let own_set = rules::load(&own);
    bench(criterion, "real", "own", &own_set, &unmatched(&own_set));
    let Some(stable) = rules::stable() else {
        println!("skip: no Falco rules; set SENSOR_SHARED to the folder that holds falco-rules");
        return;
    };
    let stable_set = rules::load(std::slice::from_ref(&stable));
    let events = unmatched(&stable_set);
    bench(criterion, "real", "stable", &stable_set, &events);
    for kind in ["openat", "execve", "connect"] {
        let of_kind: Vec<_> = events
            .iter()
            .filter(|event| event.kind() == kind)
            .cloned()
            .collect();
        bench(
            criterion,
            "real",
            &format!("stable, {kind}"),
            &stable_set,
            &of_kind,
        );
    }
    // Lists and macros of the two may bear the same names, but each file keeps what it meant by them when it is loaded.
    let both_set = rules::load_apart(&[std::slice::from_ref(&stable), &own]);
    bench(
        criterion,
        "real",
        "stable and own",
        &both_set,
        &unmatched(&both_set),
    );
}

criterion_group!(benches, growth, lists, real);
criterion_main!(benches);
