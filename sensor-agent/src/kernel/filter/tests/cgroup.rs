//! Filters on cgroups: what their programs make of a context is the record's part that they decide by.

use proptest::{prelude::*, sample::select, test_runner::TestRunner};
use sensor_common::record::{Header, SocketCall};

use super::{
    machine::{End, Machine},
    place::Known,
    soundness::{condition, rules_for},
    *,
};

const MAPS: emit::Maps = emit::Maps {
    scratch: 10,
    depth: 11,
    counters: 12,
    next: emit::Slot {
        array: 13,
        index: HOOK_NEXT,
    },
    parts: emit::Slot {
        array: 13,
        index: HOOK_PARTS,
    },
};

/// The kinds that hooks on cgroups tell of, each with one of the hooks.
fn places() -> impl Strategy<Value = (Kind, Hook)> {
    let all = asked().filter_map(|(kind, place)| match place {
        Place::Cgroup(hook) => Some((kind, hook)),
        Place::Exit(_) => None,
    });
    select(all.collect::<Vec<_>>())
}

/// Words of a context, of which some answer the tests' questions with yes.
fn contexts() -> impl Strategy<Value = Vec<u32>> {
    let word = select(vec![
        0_u32,
        1,
        2,
        3,
        6,
        10,
        17,
        22,
        443,
        u32::from(22_u16.to_be()),
        u32::from(4444_u16.to_be()),
        u32::from_ne_bytes([10, 1, 2, 3]),
        u32::from_ne_bytes([127, 0, 0, 1]),
        u32::from_ne_bytes([169, 254, 169, 254]),
        u32::from_ne_bytes([0, 0, 0xff, 0xff]),
    ]);
    prop::collection::vec(word, 20)
}

/// The record that the hook's program would send, as far as the context tells.
fn record_of(hook: Hook, context: &[u32]) -> Vec<u8> {
    let mut record = vec![0; size_of::<Header>() + size_of::<SocketCall>()];
    let word = |offset: i16| context[usize::try_from(offset).unwrap() / 4];
    for (at, width, known) in place::known(hook) {
        let value = match known {
            Known::Constant(number) => number,
            Known::Word(offset) => word(offset),
            Known::PortInNetworkOrder(offset) => {
                let [first, second, ..] = word(offset).to_ne_bytes();
                u32::from(u16::from_be_bytes([first, second]))
            }
        };
        let bytes = value.to_le_bytes();
        record[at..at + width.bytes()].copy_from_slice(&bytes[..width.bytes()]);
    }
    record
}

fn passes(code: &[Vec<u64>], kind: Kind, context: &[u32]) -> bool {
    let counters = size_of::<sensor_common::counters::KindCounters>();
    let mut machine = Machine::new();
    machine.set(MAPS.counters, counters, vec![0; 64 * counters]);
    machine.set_context(context.iter().flat_map(|word| word.to_le_bytes()).collect());
    let mut part = 0;
    loop {
        match machine.run(&code[part]) {
            End::Tail(_, slot) if slot == u64::from(HOOK_NEXT) => return true,
            End::Tail(_, slot) => part = usize::try_from(slot).unwrap() - HOOK_PARTS as usize,
            End::Exit(result) => {
                assert_eq!(result, u64::from(emit::ALLOWED), "no filter denies");
                let at = kind as usize * counters
                    + std::mem::offset_of!(sensor_common::counters::KindCounters, filtered);
                assert_eq!(machine.get(MAPS.counters)[at], 1, "it is counted");
                return false;
            }
        }
    }
}

#[test]
fn a_context_is_decided_as_its_record_is() {
    let mut runner = TestRunner::new(ProptestConfig::with_cases(512));
    let conditions = prop::collection::vec(condition(), 1..4);
    let contexts = prop::collection::vec(contexts(), 16);
    let left_out = std::cell::Cell::new(0);
    let done = runner.run(
        &(places(), conditions, contexts),
        |((kind, hook), conditions, contexts)| {
            let rules = rules_for(kind, &conditions);
            for count in [1, 2] {
                let formulas = plan::parts(rules.demands(), kind, Place::Cgroup(hook), &types(), count);
                if formulas.is_empty() {
                    continue;
                }
                let code = emit::programs(&formulas, kind, Place::Cgroup(hook), MAPS).unwrap();
                for context in &contexts {
                    let record = record_of(hook, context);
                    let expected = formulas.iter().any(|formula| holds(formula, &record));
                    prop_assert_eq!(passes(&code, kind, context), expected, "{:?}", formulas);
                    left_out.set(left_out.get() + usize::from(!expected));
                }
            }
            Ok(())
        },
    );
    done.unwrap();
    assert!(left_out.get() > 100, "some are left out: {}", left_out.get());
}
