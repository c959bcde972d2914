//! libFuzzer's entry to [`sensor_rules::fuzzing::output_format`].
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| sensor_rules::fuzzing::output_format(input));
