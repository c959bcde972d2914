//! Typed reads of kernel objects over offsets known only at load.

pub(crate) mod cgroup;
mod direct;
pub(crate) mod file;
pub(crate) mod path;
pub(crate) mod stack;
pub(crate) mod task;

use core::{ffi::c_void, mem::MaybeUninit, ptr};

use aya_ebpf::helpers::generated::bpf_probe_read_kernel;
use sensor_common::kernel_fields::{FIELD_COUNT, KernelField, MISSING};

/// Offsets of [`KernelField`]s in this kernel's structures. Set by the agent before load, and frozen:
/// the verifier takes what is read from here for constants, and drops the code behind [`MISSING`].
#[unsafe(no_mangle)]
static KERNEL_OFFSETS: [u32; FIELD_COUNT] = [MISSING; FIELD_COUNT];

/// Process id of the agent; its own events are left out. Set before load.
#[unsafe(no_mangle)]
static AGENT_TGID: u32 = 0;

/// 1 when calls that failed are wanted too. Set before load.
#[unsafe(no_mangle)]
static WANT_FAILED: u32 = 1;

/// Nanoseconds of a cgroup's budget that one bulk event costs; 0 when there are no budgets. Set before load.
#[unsafe(no_mangle)]
static EVENT_PRICE_NS: u32 = 0;

/// Index into `css_set.subsys` of the v1 hierarchy that tells containers apart where the v2 one does
/// not, or [`MISSING`]. Set before load.
#[unsafe(no_mangle)]
static CGROUP_V1_SUBSYS: u32 = MISSING;

/// BTF ids of the structures that the [`KernelField`]s are members of; see `direct`. Set before load.
#[unsafe(no_mangle)]
static STRUCTURES: [u32; FIELD_COUNT] = [0; FIELD_COUNT];

/// BTF id of a structure that begins with a pointer: `list_head`. Set before load.
#[unsafe(no_mangle)]
static WORD_STRUCTURE: u32 = 0;

/// 1 when the kernel lets programs load fields without a helper. Set before load.
#[unsafe(no_mangle)]
static DIRECT: u32 = 0;

/// `sizeof(struct inode)`: where overlayfs keeps the upper name when BTF does not tell. Set before load.
#[unsafe(no_mangle)]
static INODE_BYTES: u32 = MISSING;

macro_rules! global {
    ($(#[$doc:meta])* $function:ident, $global:ident) => {
        $(#[$doc])*
        #[inline(always)]
        pub(crate) fn $function() -> u32 {
            // SAFETY: a static of this type; volatile, because the agent changes it before load.
            unsafe { ptr::read_volatile(&raw const $global) }
        }
    };
}

global!(
    /// See [`AGENT_TGID`].
    agent_tgid,
    AGENT_TGID
);
global!(
    /// See [`WANT_FAILED`].
    want_failed,
    WANT_FAILED
);
global!(
    /// See [`EVENT_PRICE_NS`].
    event_price_ns,
    EVENT_PRICE_NS
);
global!(
    /// See [`CGROUP_V1_SUBSYS`].
    cgroup_v1_subsys,
    CGROUP_V1_SUBSYS
);
global!(
    /// See [`WORD_STRUCTURE`].
    word_structure,
    WORD_STRUCTURE
);
global!(
    /// See [`DIRECT`].
    is_direct,
    DIRECT
);
global!(
    /// See [`INODE_BYTES`].
    inode_bytes,
    INODE_BYTES
);

/// The offset of a field, or `None` where this kernel does not have it.
#[inline(always)]
pub(crate) fn offset(field: KernelField) -> Option<u64> {
    // SAFETY: in bounds, since `KernelField` has `FIELD_COUNT` variants; volatile as above.
    let offset = unsafe { ptr::read_volatile(&raw const KERNEL_OFFSETS[field as usize]) };
    if offset == MISSING {
        None
    } else {
        Some(offset as u64)
    }
}

/// The BTF id of the structure that a field is a member of.
#[inline(always)]
fn structure(field: KernelField) -> u32 {
    // SAFETY: as in `offset`.
    unsafe { ptr::read_volatile(&raw const STRUCTURES[field as usize]) }
}

/// A kernel address. Reading through a wrong one gives an error, never a fault.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(transparent)]
pub(crate) struct Kernel(pub(crate) u64);

impl Kernel {
    /// Reads a value at an offset.
    #[inline(always)]
    pub(crate) fn read_at<T: Copy>(self, offset: u64) -> Option<T> {
        let mut value = MaybeUninit::<T>::uninit();
        // SAFETY: the helper writes `size_of::<T>()` bytes to our own memory and checks the source.
        let result = unsafe {
            bpf_probe_read_kernel(
                value.as_mut_ptr().cast::<c_void>(),
                size_of::<T>() as u32,
                (self.0 + offset) as *const c_void,
            )
        };
        if result == 0 {
            // SAFETY: written in full by the helper; every `T` here is plain data.
            Some(unsafe { value.assume_init() })
        } else {
            None
        }
    }

    /// Reads a pointer or another word at an offset that may vary.
    #[inline(always)]
    pub(crate) fn word_at(self, offset: u64) -> Option<u64> {
        if is_direct() == 0 {
            return self.read_at(offset);
        }
        direct::read(self.0 + offset, word_structure(), 0)
    }

    /// Reads a field. What a wrong address gives is an error or zero.
    #[inline(always)]
    pub(crate) fn read<T: Copy>(self, field: KernelField) -> Option<T> {
        let at = offset(field)?;
        if is_direct() == 0 {
            return self.read_at(at);
        }
        direct::read(self.0, structure(field), at).or_else(|| self.read_at(at))
    }

    /// Reads a field, or gives its type's zero.
    #[inline(always)]
    pub(crate) fn read_or_default<T: Copy + Default>(self, field: KernelField) -> T {
        self.read(field).unwrap_or_default()
    }

    /// Follows a field that is a pointer; null is `None`.
    #[inline(always)]
    pub(crate) fn follow(self, field: KernelField) -> Option<Self> {
        self.read::<u64>(field).and_then(Self::non_null)
    }

    /// The address of a field.
    #[inline(always)]
    pub(crate) fn address(self, field: KernelField) -> Option<Self> {
        Some(Self(self.0 + offset(field)?))
    }

    /// `None` for null.
    #[inline(always)]
    pub(crate) fn non_null(address: u64) -> Option<Self> {
        if address == 0 { None } else { Some(Self(address)) }
    }
}
