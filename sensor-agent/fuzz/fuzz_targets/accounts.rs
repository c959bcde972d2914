//! libFuzzer's entry to [`sensor_agent::fuzzing::accounts`].
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| sensor_agent::fuzzing::accounts(input));
