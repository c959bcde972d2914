//! Paths: from a dentry and its mount to the name that the mount namespace gives it.
//!
//! The walk goes from the leaf to the root of the mount namespace, not to the task's own root: a chroot
//! does not hide where a file is. Names come from the dentries, so no caller can change them.
//!
//! Shape for the verifier: one bounded loop finds the components' addresses, a second one writes them
//! root first, so that a record's path is ordinary text.

use core::ffi::c_void;

use aya_ebpf::helpers::generated::bpf_probe_read_kernel;
use sensor_common::{
    kernel_fields::KernelField as F,
    limits::{NAME_BYTES_MAX, PATH_COMPONENTS_MAX, PATH_STEPS_MAX, TAIL_OFFSET_MAX},
    record::{Span, flags},
};

use super::{
    Kernel,
    direct::{self, SHORT_NAME_BYTES},
};
use crate::scratch::{Component, Scratch, Slot, bounded_offset};

/// The walk ran out of steps.
const WALK_TRUNCATED: u64 = 1;
/// The walk ended at a dentry that is its own parent, yet no mount's root.
const WALK_DETACHED: u64 = 2;

/// Finds the components of a path, leaf first, and their number. Returns `WALK_*`, 0 for a whole path.
#[inline(never)]
fn walk(slot: *mut Slot, dentry: u64, mount: u64) -> u64 {
    let Some(name_at) = super::offset(F::dentry_d_name) else {
        return WALK_DETACHED;
    };
    let Some(mount_at) = super::offset(F::mount_mnt) else {
        return WALK_DETACHED;
    };
    let mut dentry = Kernel(dentry);
    let mut mount = Kernel(mount);
    let mut root: u64 = mount.read_or_default(F::vfsmount_mnt_root);
    set_count(slot, 0);
    for _ in 0..PATH_STEPS_MAX {
        if dentry.0 == root {
            let outer = Kernel(mount.0 - mount_at);
            let Some(parent) = outer.follow(F::mount_mnt_parent) else {
                return WALK_DETACHED;
            };
            if parent == outer {
                return 0;
            }
            dentry = Kernel(outer.read_or_default(F::mount_mnt_mountpoint));
            mount = Kernel(parent.0 + mount_at);
            root = mount.read_or_default(F::vfsmount_mnt_root);
            continue;
        }
        let parent: u64 = dentry.read_or_default(F::dentry_d_parent);
        let name = Kernel(dentry.0 + name_at);
        let count = count(slot);
        if count >= PATH_COMPONENTS_MAX as u64 {
            return WALK_TRUNCATED;
        }
        // SAFETY: masked into the array's bounds; the slot is a live map value.
        let component = unsafe { &mut (*slot).components[count as usize & (PATH_COMPONENTS_MAX - 1)] };
        component.name = name.read_or_default(F::qstr_name);
        component.len = u64::from(name.read_or_default::<u32>(F::qstr_len));
        set_count(slot, count + 1);
        if parent == dentry.0 || parent == 0 {
            return WALK_DETACHED;
        }
        dentry = Kernel(parent);
    }
    WALK_TRUNCATED
}

/// Components found so far (see [`Slot`] for why this is no variable).
#[inline(always)]
pub(crate) fn count(slot: *mut Slot) -> u64 {
    // SAFETY: the slot is a live map value.
    unsafe { core::ptr::read_volatile(&raw const (*slot).count) }
}

/// See [`count`].
#[inline(always)]
pub(crate) fn set_count(slot: *mut Slot, count: u64) {
    // SAFETY: the slot is a live map value.
    unsafe { core::ptr::write_volatile(&raw mut (*slot).count, count) };
}

/// Writes the components found, last first, each behind a slash. Returns where the text ends.
///
/// VERIFIER: the loop's only register is the constant step; count and end are read back from the slot in
/// each round. Kept in registers they differ on every way through the loop, and the verifiers of 5.10 and
/// 6.1 follow each way to the end: more than their million instructions.
#[inline(never)]
fn write(slot: *mut Slot, begin: u64) -> u64 {
    write_by(slot, begin, write_name)
}

/// As [`write`], and short names by plain loads: for programs that have few other ways, since each name now has one more.
#[inline(never)]
fn write_quickly(slot: *mut Slot, begin: u64) -> u64 {
    write_by(slot, begin, |slot, end, component| {
        if super::is_direct() == 0 || component.len > SHORT_NAME_BYTES {
            return write_name(slot, end, component);
        }
        let base: *mut u8 = slot.cast();
        let offset = bounded_offset(end);
        // SAFETY: the offset is below TAIL_OFFSET_MAX, and behind it there is room for PIECE_BYTES_MAX.
        unsafe {
            *base.add(offset as usize) = b'/';
            direct::copy_short(base.add(offset as usize + 1), component.name);
        }
        offset + 1 + component.len
    })
}

#[inline(always)]
fn write_by(slot: *mut Slot, begin: u64, write_name: impl Fn(*mut Slot, u64, Component) -> u64) -> u64 {
    set_cursor(slot, begin);
    for step in 0..PATH_COMPONENTS_MAX as u64 {
        let count = count(slot);
        let end = cursor(slot);
        if step >= count || end >= TAIL_OFFSET_MAX as u64 {
            break;
        }
        let index = (count - 1 - step) as usize & (PATH_COMPONENTS_MAX - 1);
        // SAFETY: masked into bounds; the slot is a live map value.
        let component = unsafe { (*slot).components[index] };
        set_cursor(slot, write_name(slot, end, component));
    }
    cursor(slot)
}

/// Where the text of the path that is being written ends (see [`Slot`] for why this is no variable).
#[inline(always)]
pub(crate) fn cursor(slot: *mut Slot) -> u64 {
    // SAFETY: the slot is a live map value.
    unsafe { core::ptr::read_volatile(&raw const (*slot).cursor) }
}

/// See [`cursor`].
#[inline(always)]
pub(crate) fn set_cursor(slot: *mut Slot, end: u64) {
    // SAFETY: the slot is a live map value.
    unsafe { core::ptr::write_volatile(&raw mut (*slot).cursor, end) };
}

/// Writes a slash and one name at `at`; returns where the text ends.
#[inline(always)]
pub(crate) fn write_name(slot: *mut Slot, at: u64, component: Component) -> u64 {
    let base: *mut u8 = slot.cast();
    let offset = bounded_offset(at);
    let mut len = component.len & NAME_BYTES_MAX as u64;
    // VERIFIER: tells it the bound of the register that the helper gets.
    // SAFETY: changes only its own operand.
    unsafe { core::arch::asm!("{0} &= 0xff", inout(reg) len) };
    // SAFETY: the offset is below TAIL_OFFSET_MAX, and behind it there is room for PIECE_BYTES_MAX.
    let result = unsafe {
        *base.add(offset as usize) = b'/';
        bpf_probe_read_kernel(
            base.add(offset as usize + 1).cast::<c_void>(),
            len as u32,
            component.name as *const c_void,
        )
    };
    if result == 0 { offset + 1 + len } else { offset + 1 }
}

/// Appends the path of a `struct path` to the tail.
///
/// Sets `truncated` when the walk had to stop, and [`flags::PATH_DETACHED`] (only where `truncated` is
/// the path's own flag) when it leads to no root.
#[inline(always)]
pub(crate) fn append(scratch: &mut Scratch, path: Kernel, truncated: u32) -> Span {
    append_by(scratch, path, truncated, write)
}

/// As [`append`], with [`write_quickly`].
#[inline(always)]
pub(crate) fn append_quickly(scratch: &mut Scratch, path: Kernel, truncated: u32) -> Span {
    append_by(scratch, path, truncated, write_quickly)
}

#[inline(always)]
fn append_by(
    scratch: &mut Scratch,
    path: Kernel,
    truncated: u32,
    write: impl Fn(*mut Slot, u64) -> u64,
) -> Span {
    if !scratch.has_room() {
        scratch.flag(flags::TAIL_FULL);
        return Span::default();
    }
    let dentry: u64 = path.read_or_default(F::path_dentry);
    let mount: u64 = path.read_or_default(F::path_mnt);
    if dentry == 0 || mount == 0 {
        scratch.flag(truncated);
        return Span::default();
    }
    let walked = walk(scratch.slot(), dentry, mount);
    if walked & WALK_TRUNCATED != 0 {
        scratch.flag(truncated);
    }
    if walked & WALK_DETACHED != 0 && truncated == flags::PATH_TRUNCATED {
        scratch.flag(flags::PATH_DETACHED);
    }
    let begin = scratch.end();
    if count(scratch.slot()) == 0 {
        // The root itself.
        let offset = bounded_offset(begin);
        // SAFETY: in bounds by the mask.
        unsafe { *scratch.record().add(offset as usize) = b'/' };
        return scratch.advance(begin + 1);
    }
    let end = write(scratch.slot(), begin);
    if end >= TAIL_OFFSET_MAX as u64 {
        scratch.flag(truncated | flags::TAIL_FULL);
    }
    scratch.advance(end)
}
