//! The fuzz targets' bodies over their corpus, and over inputs that are mutated from it.
//!
//! Mutations are the same at every run. `SENSOR_FUZZ_SECONDS=20 cargo test --test fuzz_corpus` spends so long on each
//! target in place of [`MUTATIONS`].
#![expect(
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a test that cannot go on fails; figures go to the test's output"
)]

#[path = "support/mutate.rs"]
mod mutate;

use std::panic::catch_unwind;
use std::path::Path;
use std::time::{Duration, Instant};

use mutate::Mutator;
use sensor_rules::fuzzing::TARGETS;

/// Inputs for each target, beside the corpus.
const MUTATIONS: u32 = 500;

/// How long one input may take: a bound on what a hostile file costs, far above what any takes.
const INPUT_TIME_MAX: Duration = Duration::from_secs(20);

/// The inputs of a target, in the order of their names.
fn corpus(target: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fuzz/corpus")
        .join(target);
    let mut files: Vec<_> = std::fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.expect("the folder can be read").path())
        .collect();
    files.sort();
    files
        .iter()
        .map(|file| std::fs::read(file).expect("the input can be read"))
        .collect()
}

/// Runs a body; a panic shows the input, ready to become a file of the corpus.
fn feed(target: &str, body: fn(&[u8]), input: &[u8]) {
    let started = Instant::now();
    let outcome = catch_unwind(|| body(input));
    assert!(
        outcome.is_ok(),
        "{target} fails for b\"{}\"",
        input.escape_ascii()
    );
    assert!(
        started.elapsed() < INPUT_TIME_MAX,
        "{target} takes {:?} for b\"{}\"",
        started.elapsed(),
        input.escape_ascii()
    );
}

#[test]
fn every_input_of_the_corpus_keeps_the_laws() {
    for (target, body) in TARGETS {
        let inputs = corpus(target);
        assert!(inputs.len() >= 5, "{target} has {} inputs", inputs.len());
        for input in inputs {
            feed(target, body, &input);
        }
    }
}

#[test]
fn mutations_of_the_corpus_keep_the_laws() {
    let seconds = std::env::var("SENSOR_FUZZ_SECONDS").ok();
    let time =
        seconds.map(|text| Duration::from_secs(text.parse().expect("SENSOR_FUZZ_SECONDS is a number")));
    for (target, body) in TARGETS {
        let inputs = corpus(target);
        let mut mutator = Mutator::new(&inputs);
        let (started, mut count) = (Instant::now(), 0);
        while time.map_or(count < MUTATIONS, |time| started.elapsed() < time) {
            feed(target, body, &mutator.next_input());
            count += 1;
        }
        println!("{target}: {} inputs and {count} mutations", inputs.len());
    }
}
