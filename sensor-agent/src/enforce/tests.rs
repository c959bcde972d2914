use std::sync::Arc;

use sensor_rules::parse::{ParseOptions, parse_condition};

use super::*;

fn prepared(condition: &str) -> Result<Vec<DenyTest>, EnforceError> {
    let condition = Arc::new(parse_condition(condition, &ParseOptions::default()).unwrap());
    prepare("r", "deny", &condition, 0, 0).map(|rule| rule.tests)
}

#[test]
fn a_condition_becomes_the_ways_in_which_it_can_hold() {
    let cases = [
        ("evt.type=connect", 1),
        ("evt.type in (connect, bind) and fd.sport in (22, 23)", 2),
        (
            "evt.type=connect and (fd.sip=1.2.3.4 or fd.sport>=1024) and user.uid in (0, 33)",
            4,
        ),
        // Nothing is both.
        ("evt.type=connect and fd.sport=22 and fd.sport=23", 0),
        (
            "evt.type=connect and fd.snet in (10.0.0.0/8) and fd.sip=11.0.0.1",
            0,
        ),
        ("evt.type=open", 0),
    ];
    for (condition, expected) in cases {
        assert_eq!(prepared(condition).unwrap().len(), expected, "{condition}");
    }
}

#[test]
fn addresses_are_those_of_ipv6() {
    let test = prepared("evt.type=connect and fd.snet=10.0.0.0/8 and fd.sip=10.1.2.3").unwrap()[0];
    assert_eq!(
        (test.address_high, test.address_low, test.mask_high, test.mask_low),
        (0, 0xffff_0a01_0203, u64::MAX, u64::MAX)
    );
    let test = prepared("evt.type=connect and fd.sip=fd00::1").unwrap()[0];
    assert_eq!((test.address_high, test.address_low), (0xfd00 << 48, 1));
}

#[test]
fn what_the_kernel_does_not_decide_is_named() {
    let cases = [
        ("evt.type=connect and proc.name=nc", "proc.name = nc"),
        ("evt.type=connect and not fd.sport=22", "not fd.sport = 22"),
        ("evt.type=connect and fd.sip!=1.2.3.4", "fd.sip != 1.2.3.4"),
        ("evt.type=connect and container.id=host", "container.id = host"),
        ("evt.type=connect and fd.snet=::/0", "fd.snet = ::/0"),
        ("evt.type=connect and fd.l4proto=icmp", "fd.l4proto = icmp"),
    ];
    for (condition, expected) in cases {
        match prepared(condition) {
            Err(EnforceError::Inexact { part, .. }) => assert_eq!(part, expected),
            other => panic!("{condition}: {other:?}"),
        }
    }
    assert_eq!(prepared("fd.sport=22"), Err(EnforceError::NoConnect("r".into())));
}
