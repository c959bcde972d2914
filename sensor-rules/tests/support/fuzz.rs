//! Runs the bodies of fuzz targets over their corpus, and over inputs that are mutated from it.
//!
//! Mutations are the same at every run. `SENSOR_FUZZ_SECONDS=20 cargo test --test fuzz_corpus` spends so long on each
//! target in place of [`MUTATIONS`].

use std::panic::catch_unwind;
use std::path::Path;
use std::time::{Duration, Instant};

use sensor_rules::fuzzing::Target;

use crate::mutate::Mutator;

/// Inputs for each target, beside the corpus.
const MUTATIONS: u32 = 500;

/// How long one input may take: a bound on what a hostile file costs, far above what any takes.
const INPUT_TIME_MAX: Duration = Duration::from_secs(20);

/// The inputs of a target in a crate's `fuzz/corpus`, in the order of their names.
fn corpus(krate: &str, target: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(krate).join("fuzz/corpus").join(target);
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

/// Feeds each target its corpus.
pub(crate) fn feed_corpus(krate: &str, targets: &[Target]) {
    for (target, body) in targets {
        let inputs = corpus(krate, target);
        assert!(inputs.len() >= 5, "{target} has {} inputs", inputs.len());
        for input in inputs {
            feed(target, *body, &input);
        }
    }
}

/// Feeds each target inputs that are mutated from its corpus.
pub(crate) fn feed_mutations(krate: &str, targets: &[Target]) {
    let seconds = std::env::var("SENSOR_FUZZ_SECONDS").ok();
    let time =
        seconds.map(|text| Duration::from_secs(text.parse().expect("SENSOR_FUZZ_SECONDS is a number")));
    for (target, body) in targets {
        let inputs = corpus(krate, target);
        let mut mutator = Mutator::new(&inputs);
        let (started, mut count) = (Instant::now(), 0);
        while time.map_or(count < MUTATIONS, |time| started.elapsed() < time) {
            feed(target, *body, &mutator.next_input());
            count += 1;
        }
        println!("{target}: {} inputs and {count} mutations", inputs.len());
    }
}
