//! `fd.*` and `fs.path.*`: the file or the connection that an event is about.

use std::{
    io::Write as _,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use sensor_common::record::{self, flags};
use sensor_rules::{event::Value, field::Field};

use super::{View, parameters, text, write};
use crate::event::{Body, Open, PathCall, SocketCall};

/// `include/linux/socket.h`
const AF_UNIX: u16 = 1;
const AF_INET: u16 = 2;
const AF_INET6: u16 = 10;
/// `include/uapi/linux/stat.h`
const S_IFMT: u32 = 0o170_000;
const S_IFDIR: u32 = 0o040_000;
/// `EINPROGRESS`, negated: a connect that goes on in the background.
const IN_PROGRESS: i64 = -115;

/// An address as rules compare it: an IPv4 address in IPv6 clothes is an IPv4 address.
pub(super) fn address(family: u16, bytes: &[u8; 16]) -> Option<IpAddr> {
    match family {
        AF_INET => Some(Ipv4Addr::new(bytes[0], bytes[1], bytes[2], bytes[3]).into()),
        AF_INET6 => Some(Ipv6Addr::from(*bytes).to_canonical()),
        _ => None,
    }
}

/// Where a connection goes: to connect to no address is to connect to this machine.
fn remote(fixed: &record::SocketCall) -> Option<IpAddr> {
    Some(match address(fixed.address_family, &fixed.remote_address)? {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => Ipv6Addr::LOCALHOST.into(),
        other => other,
    })
}

impl View<'_> {
    pub(super) fn fd_value<'b>(&'b self, field: Field, buf: &'b mut Vec<u8>) -> Option<Value<'b>> {
        match &self.event.body {
            Body::Open(open) => self.file_value(open, field),
            Body::Socket(connect) => self.connection_value(connect, field, buf),
            Body::Path(call) => Self::path_call_value(call, field),
            Body::Fork(_) | Body::Exec(_) | Body::Exit(_) | Body::Identity(_) | Body::Plain(_) => None,
        }
    }

    /// The path: as the kernel resolved it or, of a call that failed, as the caller gave it.
    pub(super) fn path<'b>(open: &'b Open<'b>) -> &'b [u8] {
        if open.path.is_empty() {
            open.given
        } else {
            open.path
        }
    }

    fn file_value<'b>(&'b self, open: &'b Open<'b>, field: Field) -> Option<Value<'b>> {
        let path = Self::path(open);
        let slash = memchr::memrchr(b'/', path);
        let is_open = open.fixed.result >= 0;
        let is_folder = open.fixed.file.mode & S_IFMT == S_IFDIR;
        match field {
            Field::FdName | Field::FsPathName => text(path),
            Field::FdNameraw | Field::FsPathNameraw => text(open.given),
            Field::FdDirectory => text(match slash? {
                0 => b"/",
                at => &path[..at],
            }),
            Field::FdFilename => text(slash.map_or(path, |at| &path[at + 1..])),
            Field::FdNum => Some(Value::Int(open.fixed.result)),
            Field::FdType if is_open => Some(Value::Text(if is_folder { b"directory" } else { b"file" })),
            Field::FdTypechar if is_open => Some(Value::Text(if is_folder { b"d" } else { b"f" })),
            Field::FdDev if is_open => Some(Value::Int(i64::from(open.fixed.file.device))),
            Field::FdDevMajor if is_open => Some(Value::Int(i64::from(open.fixed.file.device >> 20))),
            Field::FdDevMinor if is_open => Some(Value::Int(i64::from(open.fixed.file.device & 0xf_ffff))),
            Field::FdIno if is_open => Some(Value::Int(i64::try_from(open.fixed.file.inode).ok()?)),
            Field::FdIsUpperLayer if is_open => Some(Value::Bool(self.event.has(flags::UPPER_LAYER))),
            Field::FdIsLowerLayer if is_open => Some(Value::Bool(self.event.has(flags::LOWER_LAYER))),
            _ => None,
        }
    }

    /// The names of a call about names. As in Falco, `fd.*` has a value only where the call was given an open file, or
    /// made one.
    fn path_call_value<'b>(call: &'b PathCall<'b>, field: Field) -> Option<Value<'b>> {
        let has_file = call.fixed.file.inode != 0;
        let two_names = !call.given2.is_empty();
        let slash = memchr::memrchr(b'/', call.path);
        match field {
            Field::FsPathName | Field::FsPathTarget if two_names => text(parameters::second_path(call)),
            Field::FsPathNameraw | Field::FsPathTargetraw if two_names => text(call.given2),
            Field::FsPathName => text(Self::call_path(call)),
            Field::FsPathNameraw => text(call.given),
            Field::FsPathSource if two_names => text(if call.given.is_empty() {
                call.text
            } else {
                Self::call_path(call)
            }),
            Field::FsPathSourceraw if two_names => text(if call.given.is_empty() {
                call.text
            } else {
                call.given
            }),
            Field::FdName if has_file => text(call.path),
            Field::FdNum if has_file => Some(Value::Int(i64::from(call.fixed.dirfd))),
            Field::FdFilename if has_file => text(slash.map_or(call.path, |at| &call.path[at + 1..])),
            Field::FdDirectory if has_file => text(match slash? {
                0 => b"/",
                at => &call.path[..at],
            }),
            Field::FdDev if has_file => Some(Value::Int(i64::from(call.fixed.file.device))),
            Field::FdIno if has_file => Some(Value::Int(i64::try_from(call.fixed.file.inode).ok()?)),
            _ => None,
        }
    }

    fn connection_value<'b>(
        &'b self,
        connect: &'b SocketCall<'b>,
        field: Field,
        buf: &'b mut Vec<u8>,
    ) -> Option<Value<'b>> {
        let fixed = &connect.fixed;
        let is_unix = fixed.family == AF_UNIX;
        // A client's own end is the caller's, so local is client and remote is server.
        match field {
            Field::FdNum => (fixed.fd >= 0).then(|| Value::Int(i64::from(fixed.fd))),
            Field::FdName => {
                tuple(connect, buf);
                Some(Value::Text(buf))
            }
            Field::FdType => Some(Value::Text(match fixed.family {
                AF_UNIX => b"unix",
                AF_INET => b"ipv4",
                AF_INET6 => b"ipv6",
                _ => return None,
            })),
            Field::FdTypechar => Some(Value::Text(match fixed.family {
                AF_UNIX => b"u",
                AF_INET => b"4",
                AF_INET6 => b"6",
                _ => return None,
            })),
            Field::FdSockfamily => Some(Value::Text(if is_unix { b"unix" } else { b"ip" })),
            Field::FdL4proto => Some(Value::Text(protocol(fixed)?)),
            Field::FdFilename if is_unix => {
                let path = unix_name(connect);
                text(memchr::memrchr(b'/', path).map_or(path, |at| &path[at + 1..]))
            }
            Field::FdConnected => Some(Value::Bool(
                fixed.result == 0 || self.event.has(flags::ESTABLISHED),
            )),
            Field::FdNameChanged => Some(Value::Bool(fixed.result == 0 || fixed.result == IN_PROGRESS)),
            Field::FdIsServer => Some(Value::Bool(false)),
            _ if is_unix => None,
            Field::FdCip | Field::FdLip | Field::FdCnet | Field::FdLnet => {
                address(fixed.family, &fixed.local_address).map(Value::Ip)
            }
            Field::FdSip | Field::FdRip | Field::FdSnet | Field::FdRnet => remote(fixed).map(Value::Ip),
            Field::FdCport | Field::FdLport => Some(Value::Uint(u64::from(fixed.local_port))),
            Field::FdSport | Field::FdRport => Some(Value::Uint(u64::from(fixed.remote_port))),
            Field::FdUid => write(buf, format_args!("{}{}", fixed.fd, self.event.header.tid)),
            _ => None,
        }
    }
}

/// `tcp`, `udp`, `icmp` or `raw`, from `IPPROTO_*` (`include/uapi/linux/in.h`).
fn protocol(fixed: &record::SocketCall) -> Option<&'static [u8]> {
    match (fixed.family, fixed.protocol) {
        (AF_INET | AF_INET6, 6 | 262) => Some(b"tcp"),
        (AF_INET | AF_INET6, 17 | 136) => Some(b"udp"),
        (AF_INET | AF_INET6, 1 | 58) => Some(b"icmp"),
        (AF_INET | AF_INET6, 255) => Some(b"raw"),
        _ => None,
    }
}

/// The unix socket's path as the kernel resolved it or, where it has none, its address.
fn unix_name<'b>(connect: &'b SocketCall<'b>) -> &'b [u8] {
    let name = if connect.path.is_empty() {
        connect.given
    } else {
        connect.path
    };
    match name {
        // An abstract name: the zero byte that begins it is no text.
        [0, rest @ ..] => rest,
        // A path ends at its zero byte.
        _ => &name[..memchr::memchr(0, name).unwrap_or(name.len())],
    }
}

/// `1.2.3.4:5->6.7.8.9:10`, or the path of a unix socket, as Falco names connections.
pub(super) fn tuple(connect: &SocketCall<'_>, buf: &mut Vec<u8>) {
    let fixed = &connect.fixed;
    if fixed.family == AF_UNIX {
        buf.extend_from_slice(unix_name(connect));
        return;
    }
    let local = address(fixed.family, &fixed.local_address);
    let remote = remote(fixed);
    if let (Some(local), Some(remote)) = (local, remote) {
        // Writing to a vector does not fail.
        let _ = write!(
            buf,
            "{local}:{}->{remote}:{}",
            fixed.local_port, fixed.remote_port
        );
    }
}
