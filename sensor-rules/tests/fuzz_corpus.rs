//! The fuzz targets' bodies over their corpus, and over inputs that are mutated from it.
#![expect(
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a test that cannot go on fails; figures go to the test's output"
)]

#[path = "support/fuzz.rs"]
mod fuzz;
#[path = "support/mutate.rs"]
mod mutate;

use sensor_rules::fuzzing::TARGETS;

#[test]
fn every_input_of_the_corpus_keeps_the_laws() {
    fuzz::feed_corpus(env!("CARGO_MANIFEST_DIR"), &TARGETS);
}

#[test]
fn mutations_of_the_corpus_keep_the_laws() {
    fuzz::feed_mutations(env!("CARGO_MANIFEST_DIR"), &TARGETS);
}
