//! The kernel's side of a test: one slot with a record, and the filter as a raw tracepoint's program, which the kernel
//! runs on request. It differs from the real one in the hook's type alone.

use super::*;

pub(super) struct Rig {
    maps: Vec<OwnedFd>,
    arrays: Vec<(Hook, OwnedFd)>,
}

impl Rig {
    /// `None` where the kernel does not let us, which is said.
    #[expect(clippy::print_stdout, reason = "a test that cannot run says why")]
    pub(super) fn new() -> Option<Self> {
        let slot = sensor_common::limits::RECORD_BYTES_MAX + 1024;
        let sizes = [slot, 4, size_of::<sensor_common::counters::KindCounters>()];
        let maps = sizes.map(|size| bpf::testing::array(u32::try_from(size).unwrap(), 64));
        let next = bpf::program_array(sensor_common::filter::STAGE_SLOTS).ok();
        let parts = bpf::program_array(sensor_common::filter::PART_SLOTS).ok();
        let maps: Option<Vec<_>> = maps.into_iter().chain([next, parts]).collect();
        if maps.is_none() {
            println!("skip: this process may not load eBPF programs");
        }
        let arrays = place::cgroup_hooks()
            .map(|(hook, _)| Some((hook, bpf::program_array(sensor_common::filter::HOOK_SLOTS).ok()?)))
            .collect::<Option<_>>()?;
        Some(Self { maps: maps?, arrays })
    }

    pub(super) fn fds(&self) -> emit::Maps {
        let fd = |at: usize| self.maps[at].as_raw_fd();
        emit::Maps {
            scratch: fd(0),
            depth: fd(1),
            counters: fd(2),
            next: emit::Slot {
                array: fd(3),
                index: 0,
            },
            parts: emit::Slot {
                array: fd(4),
                index: 0,
            },
        }
    }

    /// What a filter is loaded for at a place, and its maps: programs of one hook alone share an array.
    pub(super) fn of(&self, place: Place) -> (Option<bpf::Hook>, emit::Maps) {
        let Place::Cgroup(hook) = place else {
            return (None, self.fds());
        };
        let about = place::program(hook).unwrap();
        let array = self.arrays.iter().find(|(of, _)| *of == hook).unwrap();
        let slot = |index| emit::Slot {
            array: array.1.as_raw_fd(),
            index,
        };
        let maps = emit::Maps {
            next: slot(HOOK_NEXT),
            parts: slot(HOOK_PARTS),
            ..self.fds()
        };
        (
            Some(bpf::Hook::on_cgroups(about.program_type, about.attach_type)),
            maps,
        )
    }

    /// Loads a filter's programs, in their slots; the first is given back.
    pub(super) fn load(&self, formulas: &[Formula], kind: Kind) -> OwnedFd {
        let code = emit::programs(formulas, kind, Place::Exit(Stage::Late), self.fds()).unwrap();
        let mut first = None;
        for (slot, code) in (0..).zip(&code) {
            let program =
                bpf::load("filter_test", code, None).unwrap_or_else(|error| panic!("{error}\n{formulas:?}"));
            bpf::set_slot(self.maps[4].as_fd(), slot, program.as_fd()).unwrap();
            first.get_or_insert(program);
        }
        first.unwrap()
    }

    pub(super) fn run(&self, program: &OwnedFd, record: &[u8]) -> bool {
        let mut value = record.to_vec();
        value.resize(sensor_common::limits::RECORD_BYTES_MAX + 1024, b'x');
        bpf::testing::set(&self.maps[0], 0, &value);
        bpf::testing::set(&self.maps[1], 0, &1_u32.to_ne_bytes());
        let result = bpf::testing::run(program);
        assert_eq!(
            bpf::testing::get(&self.maps[1], 0, 4),
            0_u32.to_ne_bytes(),
            "the slot is given back"
        );
        result == emit::PASSED
    }
}
