//! The table of calls against the kernel's own headers, where this machine has them (`linux-libc-dev`).

#![allow(clippy::print_stderr, reason = "what is skipped is said")]

use std::{collections::BTreeMap, fs, path::Path};

use sensor_common::{
    kind::Kind,
    limits::SYSCALLS_MAX,
    syscall::{Call, NOWHERE},
};

/// 32-bit calls that the table names as their 64-bit counterparts, whose arguments stand elsewhere.
const OTHERS: [(&str, u32); 2] = [("fanotify_mark", 339), ("mmap", 90)];

/// Numbers by name, out of one `unistd_*.h`; `None` where it is not there.
fn numbers(bits: u32) -> Option<BTreeMap<String, u32>> {
    let text = ["/usr/include/x86_64-linux-gnu/asm", "/usr/include/asm"]
        .iter()
        .find_map(|folder| fs::read_to_string(Path::new(folder).join(format!("unistd_{bits}.h"))).ok())?;
    let of_line = |line: &str| {
        let (name, number) = line.strip_prefix("#define __NR_")?.split_once(' ')?;
        Some((name.to_owned(), number.trim().parse().ok()?))
    };
    Some(text.lines().filter_map(of_line).collect())
}

/// Every number of the table is that of the call of this name. A header that is older than a call cannot tell.
fn agree(bits: u32, number_of: impl Fn(Call) -> Option<u32>) {
    let Some(known) = numbers(bits) else {
        eprintln!("skip: there is no unistd_{bits}.h: apt-get install linux-libc-dev");
        return;
    };
    let newest = known.values().max().copied().unwrap_or_default();
    let mut checked = 0;
    for call in Call::ALL {
        let Some(number) = number_of(call) else { continue };
        if bits == 32 && OTHERS.contains(&(call.name(), number)) {
            continue;
        }
        match known.get(call.name()) {
            Some(expected) => assert_eq!(number, *expected, "{} for {bits} bits", call.name()),
            None => assert!(number > newest, "{} is no call of {bits} bits", call.name()),
        }
        checked += 1;
    }
    // That the header was read at all.
    assert!(checked > 100, "{checked}");
}

#[test]
fn numbers_for_64_bit_callers_are_the_kernels() {
    agree(64, Call::number_64);
}

#[test]
fn numbers_for_32_bit_callers_are_the_kernels() {
    agree(32, Call::number_32);
}

/// Two calls of one number would hide one of them: the dispatcher has one route a number.
#[test]
fn no_number_stands_twice() {
    for number_of in [Call::number_64 as fn(Call) -> Option<u32>, Call::number_32] {
        let mut seen = BTreeMap::new();
        for call in Call::ALL {
            if let Some(number) = number_of(call) {
                assert_eq!(
                    seen.insert(number, call.name()),
                    None,
                    "{number}: {}",
                    call.name()
                );
            }
        }
    }
}

/// E24, E28: numbers that are no call's, such as those of the x32 ABI, those above the table, and -1.
#[test]
fn e24_e28_numbers_without_a_call_have_no_route() {
    const X32: u32 = 0x4000_0000;
    for number in [512, X32 + 59, X32 + 520, u32::MAX] {
        assert!(number >= SYSCALLS_MAX, "{number:x} has a route");
    }
    for call in Call::ALL {
        for number in [call.number_64(), call.number_32()].into_iter().flatten() {
            assert!(number < SYSCALLS_MAX, "{} has no route", call.name());
        }
    }
    for number in 0..=u8::MAX {
        let call = Call::from_number(number);
        assert!(call == Call::None || call as u8 == number);
        assert!(Kind::from_number(number).is_none_or(|kind| kind as u8 == number));
    }
}

/// Where a call's arguments name something, there is such an argument.
#[test]
fn places_are_arguments() {
    for call in Call::ALL {
        let Some(places) = call.places() else { continue };
        for place in [
            places.fd,
            places.dir,
            places.path,
            places.dir2,
            places.path2,
            places.text,
        ] {
            assert!(place == NOWHERE || place < 6, "{}", call.name());
        }
        assert_eq!(Kind::from_number(places.kind), call.kind(), "{}", call.name());
    }
}
