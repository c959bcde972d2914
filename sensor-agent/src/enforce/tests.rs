use std::sync::Arc;

use sensor_rules::parse::{ParseOptions, parse_condition};

use super::*;

fn prepared(condition: &str) -> Result<Vec<DenyTest>, EnforceError> {
    let condition = Arc::new(parse_condition(condition, &ParseOptions::default()).unwrap());
    let rule = prepare("r", "deny", &condition, 0, 0)?;
    Ok(rule.tests.into_iter().map(|test| test.test).collect())
}

#[test]
fn a_condition_becomes_the_ways_in_which_it_can_hold() {
    let cases = [
        ("evt.type=connect", 1),
        ("evt.type in (connect, bind) and fd.sport in (22, 23)", 2),
        // UDP-Lite is told as udp, too, and has no hook at its connects.
        ("evt.type=bind and fd.l4proto=udp and fd.sport=53", 2),
        ("evt.type=connect and fd.l4proto=udp and fd.sport=53", 1),
        // A bound socket has no other end, and one that connects no end of its own yet.
        ("evt.type in (connect, bind) and fd.lport=22", 1),
        ("evt.type=bind and fd.rip=1.2.3.4", 0),
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
        ("evt.type=unlink", 0),
        (
            "evt.type in (execve, execveat) and proc.exepath in (/a, /b, /c)",
            1,
        ),
        ("evt.type=execve and proc.exepath=/a and proc.exepath=/b", 0),
        (
            "evt.type=execve and proc.exepath=/a/b and proc.exepath startswith /a/",
            1,
        ),
        ("evt.type=execve and fd.sport=22", 0),
        (
            "evt.type in (open, openat, openat2) and fd.name startswith /etc/",
            1,
        ),
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
    for condition in [
        "fd.sport=22",
        "fd.lport=22",
        "fd.l4proto=udp",
        "evt.type=openat and fd.name=/a",
        "evt.type in (connect, execve) and proc.exepath=/a",
    ] {
        assert!(
            matches!(prepared(condition), Err(EnforceError::Inexact { part, .. }) if part.contains(condition.split('=').next_back().unwrap())),
            "{condition}"
        );
    }
}

#[test]
fn an_entry_of_the_table_carries_what_shorter_ones_say() {
    let pattern = |text: &str, is_beginning| PathPattern::new(text.as_bytes(), is_beginning).unwrap();
    let first = [pattern("/a/", true)];
    let second = [pattern("/a/b", false), pattern("/c", false)];
    let found = entries([(0, &first[..]), (5, &second[..])].into_iter());
    let expected = [(&b"/a/"[..], 1), (b"/a/b\0", 1 | 1 << 5), (b"/c\0", 1 << 5)];
    assert_eq!(found.len(), 3);
    for (path, tests) in expected {
        assert_eq!(found[path], tests);
    }
    assert_eq!(PathPattern::new(b"relative", false), None);
    assert_eq!(PathPattern::new(&[b'/'; 256], true), None);
}
