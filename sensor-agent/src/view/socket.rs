//! `fd.*` and `sock.*` of events about sockets: which end is whose.

use std::{
    io::Write as _,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use sensor_common::{
    kind::Kind,
    record::{self, flags},
};
use sensor_rules::{event::Value, field::Field};

use super::{View, call_names, descriptor, parameters::Source, text, write};
use crate::event::{Body, SocketCall};

/// `include/linux/socket.h`
const AF_UNIX: u16 = 1;
pub(super) const AF_INET: u16 = 2;
pub(super) const AF_INET6: u16 = 10;
const AF_NETLINK: u16 = 16;
/// `EINPROGRESS`, negated: a connect that goes on in the background.
pub(crate) const IN_PROGRESS: i64 = -115;

/// Which end of a connection is the process's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    /// It goes to somebody: its own end is the client's.
    Client,
    /// It took somebody's connection: its own end is the server's.
    Server,
    /// It has an address, and nobody at the other end.
    Bound,
}

fn role(kind: Kind, fixed: &record::SocketCall) -> Role {
    match kind {
        Kind::Accept => Role::Server,
        Kind::Bind | Kind::Listen => Role::Bound,
        Kind::Connect | Kind::Send => Role::Client,
        _ if fixed.remote_port == 0 => Role::Bound,
        _ => Role::Client,
    }
}

/// An address as rules compare it: an IPv4 address in IPv6 clothes is an IPv4 address.
fn address(family: u16, bytes: &[u8; 16]) -> Option<IpAddr> {
    match family {
        AF_INET => Some(Ipv4Addr::new(bytes[0], bytes[1], bytes[2], bytes[3]).into()),
        AF_INET6 => Some(Ipv6Addr::from(*bytes).to_canonical()),
        _ => None,
    }
}

pub(crate) fn local(fixed: &record::SocketCall) -> Option<IpAddr> {
    address(fixed.family, &fixed.local_address)
}

/// The other end: to go to no address is to go to this machine.
pub(crate) fn remote(fixed: &record::SocketCall) -> Option<IpAddr> {
    Some(match address(fixed.address_family, &fixed.remote_address)? {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => Ipv6Addr::LOCALHOST.into(),
        other => other,
    })
}

impl View<'_> {
    pub(super) fn socket_value<'b>(
        &'b self,
        socket: &'b SocketCall<'b>,
        field: Field,
        buf: &'b mut Vec<u8>,
    ) -> Option<Value<'b>> {
        let fixed = &socket.fixed;
        let kind = self.socket_kind();
        let role = role(kind, fixed);
        let is_unix = fixed.family == AF_UNIX;
        match field {
            Field::FdNum => (fixed.fd >= 0).then(|| Value::Int(i64::from(fixed.fd))),
            Field::FdName => {
                name(socket, role, buf);
                text(buf)
            }
            Field::FdType => Some(Value::Text(type_name(fixed.family)?.as_bytes())),
            Field::FdTypechar => Some(Value::Text(typechar(fixed.family)?)),
            Field::FdSockfamily if is_unix => Some(Value::Text(b"unix")),
            Field::FdSockfamily => is_internet(fixed).then_some(Value::Text(b"ip")),
            Field::FdL4proto => Some(Value::Text(protocol(fixed)?)),
            Field::FdFilename if is_unix => {
                unix_name(socket, buf);
                let begin = memchr::memrchr(b'/', buf).map_or(0, |at| at + 1);
                text(&buf[begin..])
            }
            Field::FdConnected => Some(Value::Bool(match kind {
                Kind::Connect => fixed.result == 0 || self.event.has(flags::ESTABLISHED),
                Kind::Accept => fixed.result >= 0,
                _ => role == Role::Client && kind != Kind::Send,
            })),
            Field::FdNameChanged => Some(Value::Bool(match kind {
                Kind::Connect => fixed.result == 0 || fixed.result == IN_PROGRESS,
                Kind::Accept | Kind::Bind | Kind::Send | Kind::Socket => fixed.result >= 0,
                _ => false,
            })),
            Field::FdIsServer => Some(Value::Bool(role != Role::Client)),
            Field::SockFamily => named(call_names::FAMILY, u64::from(fixed.family), buf),
            Field::SockType if fixed.socket_type != 0 => {
                named(call_names::SOCKET_TYPE, u64::from(fixed.socket_type), buf)
            }
            Field::SockProtocol => Some(Value::Int(i64::from(fixed.protocol))),
            Field::FdUid => write(buf, format_args!("{}{}", fixed.fd, self.event.header.tid)),
            _ if !is_internet(fixed) => None,
            Field::FdLip | Field::FdLnet => local(fixed).map(Value::Ip),
            Field::FdLport => Some(port(fixed.local_port)),
            Field::FdRip | Field::FdRnet if role != Role::Bound => remote(fixed).map(Value::Ip),
            Field::FdRport if role != Role::Bound => Some(port(fixed.remote_port)),
            Field::FdCip | Field::FdCnet => match role {
                Role::Client => local(fixed).map(Value::Ip),
                Role::Server => remote(fixed).map(Value::Ip),
                Role::Bound => None,
            },
            Field::FdCport => match role {
                Role::Client => Some(port(fixed.local_port)),
                Role::Server => Some(port(fixed.remote_port)),
                Role::Bound => None,
            },
            Field::FdSip | Field::FdSnet => match role {
                Role::Client => remote(fixed).map(Value::Ip),
                Role::Server | Role::Bound => local(fixed).map(Value::Ip),
            },
            Field::FdSport => Some(port(match role {
                Role::Client => fixed.remote_port,
                Role::Server | Role::Bound => fixed.local_port,
            })),
            _ => None,
        }
    }

    /// What was done to the socket.
    pub(crate) fn socket_kind(&self) -> Kind {
        self.event.call().kind().unwrap_or_else(|| self.event.kind())
    }

    /// A parameter of an event about a socket, as text.
    pub(super) fn socket_text<'b>(&'b self, source: Source, buf: &'b mut Vec<u8>) -> Option<Value<'b>> {
        let Body::Socket(socket) = &self.event.body else {
            return None;
        };
        let fixed = &socket.fixed;
        let role = role(self.socket_kind(), fixed);
        match source {
            Source::SocketFd if fixed.fd < 0 && fixed.result < 0 => return self.result_text(buf),
            Source::SocketFd if fixed.fd < 0 => return None,
            Source::SocketFd if descriptor::is_file(self.event.call(), fixed) => {
                self.copied_text(socket, buf);
            }
            Source::SocketFd => {
                let letter = typechar(fixed.family).unwrap_or(b"o");
                let transport: &[u8] = match protocol(fixed) {
                    Some(b"tcp") => b"t",
                    Some(b"udp") => b"u",
                    Some(b"icmp") => b"i",
                    Some(b"raw") => b"r",
                    _ => b"",
                };
                write(buf, format_args!("{}(<", fixed.fd))?;
                buf.extend_from_slice(letter);
                buf.extend_from_slice(transport);
                buf.push(b'>');
                name(socket, role, buf);
                buf.push(b')');
            }
            Source::QueuePercent => {
                let room = self.argument(5)?.max(1);
                return write(buf, format_args!("{}", self.argument(4)? * 100 / room));
            }
            _ => name(socket, role, buf),
        }
        text(buf)
    }

    /// The same, as a number.
    pub(super) fn socket_number(&self, source: Source) -> Option<Value<'_>> {
        let Body::Socket(socket) = &self.event.body else {
            return None;
        };
        match source {
            Source::SocketFd if socket.fixed.fd < 0 && socket.fixed.result < 0 => {
                Some(Value::Int(socket.fixed.result))
            }
            Source::SocketFd => Some(Value::Int(i64::from(socket.fixed.fd))),
            Source::QueuePercent => Some(Value::Uint(self.argument(4)? * 100 / self.argument(5)?.max(1))),
            _ => None,
        }
    }
}

/// Falco's name for a socket of this family.
pub(super) const fn type_name(family: u16) -> Option<&'static str> {
    Some(match family {
        AF_UNIX => "unix",
        AF_INET => "ipv4",
        AF_INET6 => "ipv6",
        AF_NETLINK => "netlink",
        _ => return None,
    })
}

/// Both ends of a program's socket, as Falco names connections.
pub(super) fn ends(of: &record::Standard, buf: &mut Vec<u8>) {
    let fixed = record::SocketCall {
        family: of.family,
        address_family: of.family,
        local_port: of.local_port,
        remote_port: of.remote_port,
        local_address: of.local_address,
        remote_address: of.remote_address,
        ..record::SocketCall::default()
    };
    let socket = SocketCall {
        fixed,
        path: b"",
        given: b"",
    };
    name(&socket, role(Kind::Dup, &fixed), buf);
}

fn port(number: u16) -> Value<'static> {
    Value::Uint(u64::from(number))
}

/// A number's name, or the number.
fn named(table: call_names::Table, number: u64, buf: &mut Vec<u8>) -> Option<Value<'_>> {
    match table.iter().find(|(_, known)| *known == number) {
        Some((name, _)) => Some(Value::Text(name.as_bytes())),
        None => write(buf, format_args!("{number}")),
    }
}

const fn is_internet(fixed: &record::SocketCall) -> bool {
    matches!(fixed.family, AF_INET | AF_INET6)
}

const fn typechar(family: u16) -> Option<&'static [u8]> {
    Some(match family {
        AF_UNIX => b"u",
        AF_INET => b"4",
        AF_INET6 => b"6",
        AF_NETLINK => b"n",
        _ => return None,
    })
}

/// `tcp`, `udp`, `icmp` or `raw`, from `IPPROTO_*` (`include/uapi/linux/in.h`).
pub(crate) fn protocol(fixed: &record::SocketCall) -> Option<&'static [u8]> {
    match (fixed.family, fixed.protocol) {
        (AF_INET | AF_INET6, 6 | 262) => Some(b"tcp"),
        (AF_INET | AF_INET6, 17 | 136) => Some(b"udp"),
        (AF_INET | AF_INET6, 1 | 58) => Some(b"icmp"),
        (AF_INET | AF_INET6, 255) => Some(b"raw"),
        _ => None,
    }
}

/// The unix socket's path as the kernel resolved it or, where it has none, its address: an abstract name behind `@`.
fn unix_name(socket: &SocketCall<'_>, buf: &mut Vec<u8>) {
    let name = if socket.path.is_empty() {
        socket.given
    } else {
        socket.path
    };
    if let [0, rest @ ..] = name {
        buf.push(b'@');
        buf.extend_from_slice(rest);
    } else {
        // A path ends at its zero byte.
        buf.extend_from_slice(&name[..memchr::memchr(0, name).unwrap_or(name.len())]);
    }
}

/// `client:port->server:port`, the address alone of a socket that has nobody at the other end, or the path of a unix
/// socket, as Falco names connections.
fn name(socket: &SocketCall<'_>, role: Role, buf: &mut Vec<u8>) {
    let fixed = &socket.fixed;
    if fixed.family == AF_UNIX {
        unix_name(socket, buf);
        return;
    }
    let Some(local) = local(fixed) else { return };
    let (own, other) = (fixed.local_port, fixed.remote_port);
    // Writing to a vector does not fail.
    let _ = match (role, remote(fixed)) {
        (Role::Bound, _) | (_, None) => write!(buf, "{local}:{own}"),
        (Role::Client, Some(remote)) => write!(buf, "{local}:{own}->{remote}:{other}"),
        (Role::Server, Some(remote)) => write!(buf, "{remote}:{other}->{local}:{own}"),
    };
}
