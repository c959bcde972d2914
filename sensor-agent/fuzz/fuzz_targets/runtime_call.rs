//! libFuzzer's entry to [`sensor_agent::fuzzing::runtime_call`].
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| sensor_agent::fuzzing::runtime_call(input));
