//! Open files and inodes.

use sensor_common::{
    kernel_fields::KernelField as F,
    record::{FileId, flags},
};

use super::{Kernel, task};
use crate::scratch::clear;

/// `include/uapi/linux/magic.h`
const OVERLAYFS_SUPER_MAGIC: u64 = 0x794c_7630;
const TMPFS_MAGIC: u64 = 0x0102_1994;
const PID_FS_MAGIC: u64 = 0x5049_4446;

/// Set on a file that this open made (`include/linux/fs.h`, since 4.19).
const FMODE_CREATED: u32 = 1 << 20;

/// The file behind a descriptor of this task.
#[inline(always)]
pub(crate) fn by_descriptor(task: Kernel, fd: u64) -> Option<Kernel> {
    let table = task.follow(F::task_files)?.follow(F::files_fdt)?;
    if fd >= u64::from(table.read::<u32>(F::fdtable_max_fds)?) {
        return None;
    }
    let files = table.follow(F::fdtable_fd)?;
    files.word_at(fd * 8).and_then(Kernel::non_null)
}

/// `I_CTIME_QUERIED`: since 6.13 the highest bit of `i_ctime_nsec` says that somebody has read the time
/// (`include/linux/fs.h`). Nanoseconds never need it.
const NANOSECONDS_MASK: u32 = 0x7fff_ffff;

/// Nanoseconds since 1970 from a pair of inode fields.
#[inline(always)]
fn time_ns(inode: Kernel, seconds: F, nanoseconds: F) -> u64 {
    let seconds: u64 = inode.read_or_default(seconds);
    let nanoseconds = inode.read_or_default::<u32>(nanoseconds) & NANOSECONDS_MASK;
    seconds
        .wrapping_mul(1_000_000_000)
        .wrapping_add(u64::from(nanoseconds))
}

/// Fills in a file's identity and returns the flags that its inode gives.
#[inline(always)]
pub(crate) fn identify(file: Kernel, id: &mut FileId) -> u32 {
    clear(id);
    let Some(inode) = file.follow(F::file_f_inode) else {
        return 0;
    };
    id.inode = inode.read_or_default(F::inode_i_ino);
    id.mode = u32::from(inode.read_or_default::<u16>(F::inode_i_mode));
    id.uid = inode.read_or_default(F::inode_i_uid);
    id.links = inode.read_or_default(F::inode_i_nlink);
    id.ctime_ns = time_ns(inode, F::inode_i_ctime_sec, F::inode_i_ctime_nsec);
    id.mtime_ns = time_ns(inode, F::inode_i_mtime_sec, F::inode_i_mtime_nsec);
    let mut found = if id.links == 0 { flags::DELETED } else { 0 };
    if let Some(super_block) = inode.follow(F::inode_i_sb) {
        id.device = super_block.read_or_default(F::super_block_s_dev);
        let magic: u64 = super_block.read_or_default(F::super_block_s_magic);
        if magic == OVERLAYFS_SUPER_MAGIC {
            found |= if has_upper(inode) {
                flags::UPPER_LAYER
            } else {
                flags::LOWER_LAYER
            };
        }
        if magic == TMPFS_MAGIC && is_memfd(file) {
            found |= flags::MEMFD;
        }
    }
    found
}

/// Whether an overlay's inode has a file in the upper layer.
///
/// `struct ovl_inode` (`fs/overlayfs/ovl_entry.h`) embeds the inode and keeps the upper name right
/// behind it, which serves where overlayfs is a module and BTF does not tell.
#[inline(always)]
fn has_upper(inode: Kernel) -> bool {
    let behind = match (
        super::offset(F::ovl_inode_upperdentry),
        super::offset(F::ovl_inode_vfs_inode),
    ) {
        (Some(upper), Some(embedded)) => upper - embedded,
        _ => u64::from(super::inode_bytes()),
    };
    inode.word_at(behind).unwrap_or_default() != 0
}

/// Whether a file on tmpfs was made by `memfd_create`: its name begins so, and has no parent
/// (`mm/memfd.c`). A user can make a file of that name, but not without a directory.
#[inline(always)]
fn is_memfd(file: Kernel) -> bool {
    let Some(dentry) = file
        .address(F::file_f_path)
        .and_then(|path| path.follow(F::path_dentry))
    else {
        return false;
    };
    if dentry.follow(F::dentry_d_parent) != Some(dentry) {
        return false;
    }
    let Some(name) = dentry
        .address(F::dentry_d_name)
        .and_then(|name| name.follow(F::qstr_name))
    else {
        return false;
    };
    name.read_at::<[u8; 6]>(0) == Some(*b"memfd:")
}

/// The process that a pidfd stands for, in the initial pid namespace; of one that stands for a thread, the thread's id.
///
/// `pidfd_pid` (`kernel/pid.c`, `fs/pidfs.c`): the pid structure is the file's own until 6.8, and then nothing of the file
/// says that it is a pidfd: that `is_pidfd` must say, because a call took it for one. Since 6.9 it is the inode's, in a
/// file system of pidfds alone.
#[inline(always)]
pub(crate) fn process(file: Kernel, is_pidfd: bool) -> Option<u32> {
    let inode = file.follow(F::file_f_inode)?;
    let super_block = inode.follow(F::inode_i_sb)?;
    let magic: u64 = super_block.read_or_default(F::super_block_s_magic);
    let pid = if magic == PID_FS_MAGIC {
        inode.follow(F::inode_i_private)?
    } else if is_pidfd {
        file.follow(F::file_private_data)?
    } else {
        return None;
    };
    Some(task::pid_number(pid))
}

/// Whether this open made the file.
#[inline(always)]
pub(crate) fn was_created(file: Kernel) -> bool {
    file.read_or_default::<u32>(F::file_f_mode) & FMODE_CREATED != 0
}
