//! The demo holds what it promises: every attack detected, the file put back.

use sensor_tests::{demo, lock};

#[test]
fn every_attack_of_the_demo_is_detected() {
    let _claim = lock::shared().unwrap();
    assert!(demo::run().unwrap(), "what was missed is in the output");
}
