//! Cgroups: which one a task is in, and its path.

use sensor_common::{
    kernel_fields::KernelField as F,
    limits::{CGROUP_LEVELS_MAX, NAME_BYTES_MAX, PIECE_BYTES_MAX, TAIL_OFFSET_MAX},
    record::{Span, flags},
};

use super::Kernel;
use crate::{
    kernel::path::{count, cursor, set_count, set_cursor, write_name},
    scratch::{Component, Scratch, Slot},
};

/// The directory (`struct kernfs_node`) of the task's cgroup: in the v2 hierarchy, or, for a task at
/// its root, in the v1 hierarchy that the agent chose.
#[inline(always)]
pub(crate) fn directory(task: Kernel) -> Option<Kernel> {
    let set = task.follow(F::task_cgroups)?;
    let v2 = set.follow(F::css_set_dfl_cgrp)?.follow(F::cgroup_kn)?;
    let subsystem = super::cgroup_v1_subsys();
    if subsystem == sensor_common::kernel_fields::MISSING || v2.follow(F::kernfs_node_parent).is_some() {
        return Some(v2);
    }
    let v1 = set
        .address(F::css_set_subsys)?
        .word_at(u64::from(subsystem) * 8)
        .and_then(Kernel::non_null)?
        .follow(F::css_cgroup)?
        .follow(F::cgroup_kn)?;
    if v1.follow(F::kernfs_node_parent).is_some() {
        Some(v1)
    } else {
        Some(v2)
    }
}

/// The cgroup's id.
#[inline(always)]
pub(crate) fn id(directory: Kernel) -> u64 {
    directory.read_or_default(F::kernfs_node_id)
}

/// Finds the names from the leaf up, and their number; 1 when there are more.
#[inline(never)]
fn walk(slot: *mut Slot, directory: u64) -> u64 {
    let mut node = Kernel(directory);
    set_count(slot, 0);
    for _ in 0..CGROUP_LEVELS_MAX {
        // The root of the hierarchy has no parent, and no name worth writing.
        let Some(parent) = node.follow(F::kernfs_node_parent) else {
            return 0;
        };
        let count = count(slot);
        // SAFETY: masked into bounds; the slot is a live map value.
        let component = unsafe { &mut (*slot).components[count as usize & (CGROUP_LEVELS_MAX - 1)] };
        component.name = node.read_or_default(F::kernfs_node_name);
        set_count(slot, count + 1);
        node = parent;
    }
    1
}

/// Writes the names found by [`walk`], root first; returns where the text ends. Shaped as the loop that
/// writes paths (`path.rs`), for the same reason.
#[inline(never)]
fn write(slot: *mut Slot, begin: u64) -> u64 {
    set_cursor(slot, begin);
    for step in 0..CGROUP_LEVELS_MAX as u64 {
        let count = count(slot);
        let end = cursor(slot);
        if step >= count || end >= TAIL_OFFSET_MAX as u64 {
            break;
        }
        let index = (count - 1 - step) as usize & (CGROUP_LEVELS_MAX - 1);
        // SAFETY: masked into bounds; the slot is a live map value.
        let component = unsafe { (*slot).components[index] };
        let written = write_name(
            slot,
            end,
            Component {
                len: name_len(slot, end, component.name),
                ..component
            },
        );
        set_cursor(slot, written);
    }
    cursor(slot)
}

/// The length of a kernfs name, which the kernel does not keep: found by reading it to where it will
/// be written anyway.
#[inline(always)]
fn name_len(slot: *mut Slot, at: u64, name: u64) -> u64 {
    let offset = crate::scratch::bounded_offset(at);
    // SAFETY: behind the offset there is room for PIECE_BYTES_MAX.
    let read = unsafe {
        aya_ebpf::helpers::generated::bpf_probe_read_kernel_str(
            slot.cast::<u8>().add(offset as usize).cast(),
            NAME_BYTES_MAX as u32 + 1,
            name as *const core::ffi::c_void,
        )
    };
    if read > 0 { read as u64 - 1 } else { 0 }
}

/// Appends a cgroup's path to the tail.
#[inline(always)]
pub(crate) fn append_path(scratch: &mut Scratch, directory: Kernel) -> Span {
    const { assert!(NAME_BYTES_MAX + 1 < PIECE_BYTES_MAX) };
    if !scratch.has_room() {
        scratch.flag(flags::TAIL_FULL | flags::CGROUP_TRUNCATED);
        return Span::default();
    }
    if walk(scratch.slot(), directory.0) != 0 {
        scratch.flag(flags::CGROUP_TRUNCATED);
    }
    let begin = scratch.end();
    let end = write(scratch.slot(), begin);
    scratch.advance(end)
}
