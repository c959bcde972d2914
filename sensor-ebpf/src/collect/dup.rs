//! Reads a descriptor that became standard input, output or error, and copies of sockets: how a shell is tied to a
//! connection.

use sensor_common::{
    kernel_fields::KernelField as F,
    kind::Kind,
    record::{SocketCall, flags},
    syscall::Call,
};

use super::connect::{self, AF_UNIX};
use crate::{
    collect::socket::{AF_INET, AF_INET6},
    emit,
    kernel::{Kernel, file, path},
    probe::arguments::Arguments,
    scratch::{Scratch, clear},
};

/// The last of standard input, output and error.
const STDERR: i64 = 2;

/// A descriptor that was copied, or that could not be.
pub(crate) struct Copied {
    pub(crate) call: Call,
    pub(crate) args: [u64; 6],
    pub(crate) result: i64,
}

impl Copied {
    /// The descriptor that was asked for: what came of it, or what would have.
    #[inline(always)]
    fn wanted(&self) -> i64 {
        if self.result < 0 && matches!(self.call, Call::Dup2 | Call::Dup3) {
            i64::from(self.args[1] as i32)
        } else {
            self.result
        }
    }

    /// Whether it is one of the first three, or would have been.
    #[inline(always)]
    fn is_standard(&self) -> bool {
        let wanted = self.wanted();
        (0..=STDERR).contains(&wanted)
    }
}

/// Sends a record, if the descriptor is one of the first three or a socket's.
///
/// Behind the arguments, of which no call has more than three: the file's mode, inode and device.
#[inline(always)]
pub(crate) fn collect(task: Kernel, copied: &Copied, compat: bool) {
    // Of a call that failed the old descriptor is still what it was.
    let fd = if copied.result < 0 {
        copied.args[0] as i32
    } else {
        copied.result as i32
    };
    // Null and no `Option`: what an empty one holds would be put by with it, and 5.10 lets nobody read that.
    let file = file::by_descriptor(task, fd as u32 as u64).map_or(0, |file| file.0);
    let socket = Kernel::non_null(file)
        .and_then(connect::socket_of)
        .map_or(0, |socket| socket.0);
    if !copied.is_standard() && (copied.result < 0 || socket == 0) {
        emit::filtered(Kind::Dup);
        return;
    }
    let Some(mut scratch) = emit::begin::<SocketCall>(task, Kind::Dup) else {
        return;
    };
    emit::describe_current(&mut scratch, task);
    if compat {
        scratch.flag(flags::COMPAT);
    }
    let fixed = scratch.fixed::<SocketCall>();
    clear(fixed);
    fixed.args = copied.args;
    fixed.result = copied.result;
    fixed.fd = if copied.result < 0 { -1 } else { fd };
    fixed.call = copied.call as u32;
    match (file, socket) {
        (0, _) if copied.result < 0 => {}
        (0, _) => scratch.flag(flags::FILE_RACED),
        (file, 0) => describe_file(&mut scratch, Kernel(file)),
        (_, socket) => describe_socket(&mut scratch, Kernel(socket)),
    }
    emit::send(scratch, task, Kind::Dup);
}

/// The arguments that a call of this kind has.
#[inline(always)]
pub(crate) fn arguments(arguments: &Arguments) -> [u64; 6] {
    let [first, second, third, _] = arguments.first_four();
    [first, second, third, 0, 0, 0]
}

/// Both ends of a socket, or its name.
#[inline(always)]
fn describe_socket(scratch: &mut Scratch, socket: Kernel) {
    let fixed = scratch.fixed::<SocketCall>();
    fixed.socket_type = socket.read_or_default(F::socket_type);
    let Some(sock) = socket.follow(F::socket_sk) else {
        return;
    };
    let family: u16 = sock.read_or_default(F::sock_family);
    fixed.family = family;
    fixed.address_family = family;
    fixed.protocol = sock.read_or_default(F::sock_protocol);
    if let Some(net) = sock.follow(F::sock_net) {
        fixed.net_ns = net.read_or_default(F::net_inum);
    }
    if family == AF_INET || family == AF_INET6 {
        connect::inet(fixed, sock, family);
    } else if family == AF_UNIX && !connect::unix_peer(scratch, sock) {
        connect::unix_name(scratch, sock);
    }
}

/// What the file is, and its path.
#[inline(always)]
fn describe_file(scratch: &mut Scratch, file: Kernel) {
    let fixed = scratch.fixed::<SocketCall>();
    if let Some(inode) = file.follow(F::file_f_inode) {
        fixed.args[3] = u64::from(inode.read_or_default::<u16>(F::inode_i_mode));
        fixed.args[4] = inode.read_or_default(F::inode_i_ino);
        if let Some(super_block) = inode.follow(F::inode_i_sb) {
            fixed.args[5] = u64::from(super_block.read_or_default::<u32>(F::super_block_s_dev));
        }
    }
    if let Some(at) = file.address(F::file_f_path) {
        let span = path::append(scratch, at, flags::PATH_TRUNCATED);
        scratch.fixed::<SocketCall>().path = span;
    }
}
