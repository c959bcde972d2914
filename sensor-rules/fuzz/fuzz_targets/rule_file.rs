//! libFuzzer's entry to [`sensor_rules::fuzzing::rule_file`].
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| sensor_rules::fuzzing::rule_file(input));
