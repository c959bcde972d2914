//! Where filters are asked, and what of a record is known there.

use std::{mem::offset_of, ops::Range};

use sensor_common::{
    filter::Stage,
    hook::Hook,
    kind::Kind,
    record::{Header, SocketCall},
    syscall::{Call, Handler, handler_of},
};

use super::asm::Width;

/// A place where a filter is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Place {
    /// At the exit of a system call, with a record in a scratch slot.
    Exit(Stage),
    /// On cgroups, before there is a record.
    Cgroup(Hook),
}

impl Place {
    /// Its name in logs and explanations.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Exit(stage) => stage.name(),
            Self::Cgroup(hook) => hook.name(),
        }
    }

    /// How much of a record is there.
    #[must_use]
    pub const fn stage(self) -> Stage {
        match self {
            Self::Exit(stage) => stage,
            Self::Cgroup(_) => Stage::Late,
        }
    }
}

/// The stages at which the collectors of a kind ask at the exit of its calls.
const fn stages(kind: Kind) -> &'static [Stage] {
    match handler_of(kind) {
        Handler::None | Handler::Dup | Handler::SocketCall => &[],
        Handler::Open | Handler::Path => &Stage::ALL,
        Handler::Connect | Handler::Socket | Handler::Identity | Handler::Plain => &[Stage::Late],
    }
}

/// The hooks on cgroups that tell of a kind.
const fn hooks(kind: Kind) -> &'static [Hook] {
    match kind {
        Kind::Connect => &[Hook::Connect4, Hook::Connect6],
        Kind::Send => &[Hook::SendMessage4, Hook::SendMessage6],
        Kind::Bind => &[Hook::PostBind4, Hook::PostBind6],
        _ => &[],
    }
}

/// The places at which events of a kind are decided on. Processes' beginnings, programs and ends have none: what is known
/// of processes follows from all of them.
pub fn of(kind: Kind) -> impl Iterator<Item = Place> {
    let has_call = Call::ALL.iter().any(|call| call.kind() == Some(kind));
    let exits = stages(kind).iter().map(|stage| Place::Exit(*stage));
    let hooks = hooks(kind).iter().map(|hook| Place::Cgroup(*hook));
    exits.chain(hooks).filter(move |_| has_call)
}

/// Every kind that is decided on somewhere.
pub fn kinds() -> impl Iterator<Item = Kind> {
    Kind::ALL.into_iter().filter(|kind| of(*kind).next().is_some())
}

/// A hook's program: its type and its hook's number, as `bpf(2)` has them, and what it returns to let the call happen.
#[derive(Clone, Copy, Debug)]
pub struct Program {
    /// `enum bpf_prog_type` (`include/uapi/linux/bpf.h`).
    pub program_type: u32,
    /// `enum bpf_attach_type`.
    pub attach_type: u32,
    /// The map of the hook's filter in the object.
    pub map: &'static str,
}

/// `BPF_PROG_TYPE_CGROUP_SOCK`, `BPF_PROG_TYPE_CGROUP_SOCK_ADDR`.
const SOCK: u32 = 9;
const SOCK_ADDR: u32 = 18;

/// What `bpf(2)` is told of a hook's filter; `None` for hooks that ask none.
#[must_use]
pub const fn program(hook: Hook) -> Option<Program> {
    let (program_type, attach_type, map) = match hook {
        Hook::Connect4 => (SOCK_ADDR, 10, "FILTER_CONNECT4"),
        Hook::Connect6 => (SOCK_ADDR, 11, "FILTER_CONNECT6"),
        Hook::PostBind4 => (SOCK, 12, "FILTER_BIND4"),
        Hook::PostBind6 => (SOCK, 13, "FILTER_BIND6"),
        Hook::SendMessage4 => (SOCK_ADDR, 14, "FILTER_SENDMSG4"),
        Hook::SendMessage6 => (SOCK_ADDR, 15, "FILTER_SENDMSG6"),
        _ => return None,
    };
    Some(Program {
        program_type,
        attach_type,
        map,
    })
}

/// Every hook that asks a filter.
pub fn cgroup_hooks() -> impl Iterator<Item = (Hook, Program)> {
    Hook::ALL
        .into_iter()
        .filter_map(|hook| Some((hook, program(hook)?)))
}

/// Something of a record that a hook's context tells.
#[derive(Clone, Copy, Debug)]
pub(super) enum Known {
    /// This number.
    Constant(u32),
    /// The context's word at this offset.
    Word(i16),
    /// The same in network order, of which the lower half counts.
    PortInNetworkOrder(i16),
}

/// `AF_INET`, `AF_INET6` (`include/linux/socket.h`)
const AF_INET: u32 = 2;
const AF_INET6: u32 = 10;

/// Members of `struct bpf_sock_addr` and of `struct bpf_sock` (`include/uapi/linux/bpf.h`).
mod context {
    pub(super) const ADDRESS_V4: i16 = 4;
    pub(super) const ADDRESS_V6: i16 = 8;
    pub(super) const ADDRESS_PORT: i16 = 24;
    pub(super) const ADDRESS_FAMILY: i16 = 28;
    pub(super) const ADDRESS_TYPE: i16 = 32;
    pub(super) const ADDRESS_PROTOCOL: i16 = 36;
    pub(super) const SOCK_FAMILY: i16 = 4;
    pub(super) const SOCK_TYPE: i16 = 8;
    pub(super) const SOCK_PROTOCOL: i16 = 12;
    pub(super) const SOCK_V4: i16 = 24;
    pub(super) const SOCK_V6: i16 = 28;
    pub(super) const SOCK_PORT: i16 = 44;
}

/// Where a member of [`SocketCall`] is in a record.
macro_rules! at {
    ($member:ident) => {
        size_of::<Header>() + offset_of!(SocketCall, $member)
    };
}

/// What a hook's context tells of the record that its program would send: offset, width, and where it is from. What is
/// not here comes later, or is known to the collector alone.
pub(super) fn known(hook: Hook) -> Vec<(usize, Width, Known)> {
    let is_v6 = matches!(hook, Hook::Connect6 | Hook::SendMessage6 | Hook::PostBind6);
    let is_bind = matches!(hook, Hook::PostBind4 | Hook::PostBind6);
    let [family, socket_type, protocol, address, port] = match (is_bind, is_v6) {
        (true, false) => [
            context::SOCK_FAMILY,
            context::SOCK_TYPE,
            context::SOCK_PROTOCOL,
            context::SOCK_V4,
            context::SOCK_PORT,
        ],
        (true, true) => [
            context::SOCK_FAMILY,
            context::SOCK_TYPE,
            context::SOCK_PROTOCOL,
            context::SOCK_V6,
            context::SOCK_PORT,
        ],
        (false, _) => [
            context::ADDRESS_FAMILY,
            context::ADDRESS_TYPE,
            context::ADDRESS_PROTOCOL,
            if is_v6 {
                context::ADDRESS_V6
            } else {
                context::ADDRESS_V4
            },
            context::ADDRESS_PORT,
        ],
    };
    let mut known = vec![
        (at!(family), Width::B2, Known::Word(family)),
        (at!(socket_type), Width::B2, Known::Word(socket_type)),
        (at!(protocol), Width::B2, Known::Word(protocol)),
    ];
    let (own_address, own_port) = if is_bind {
        known.push((at!(address_family), Width::B2, Known::Word(family)));
        known.push((at!(local_port), Width::B2, Known::Word(port)));
        (at!(local_address), None)
    } else {
        let of_address = if is_v6 { AF_INET6 } else { AF_INET };
        known.push((at!(address_family), Width::B2, Known::Constant(of_address)));
        (at!(remote_address), Some(at!(remote_port)))
    };
    if let Some(to) = own_port {
        known.push((to, Width::B2, Known::PortInNetworkOrder(port)));
    }
    for (word, from) in (0..4_usize).zip((address..).step_by(4)) {
        let value = if is_v6 || word == 0 {
            Known::Word(from)
        } else {
            Known::Constant(0)
        };
        known.push((own_address + 4 * word, Width::B4, value));
    }
    // Which call sends is told by the caller's registers.
    let call = match hook {
        Hook::Connect4 | Hook::Connect6 => Some(Call::Connect),
        Hook::PostBind4 | Hook::PostBind6 => Some(Call::Bind),
        _ => None,
    };
    if let Some(call) = call {
        known.push((at!(call), Width::B4, Known::Constant(call as u32)));
    }
    known
}

/// Whether all of these bytes of a record are known at a place.
pub(super) fn is_known(place: Place, bytes: &Range<usize>) -> bool {
    let Place::Cgroup(hook) = place else { return true };
    let known = known(hook);
    bytes.clone().all(|byte| {
        known
            .iter()
            .any(|(at, width, _)| (*at..at + width.bytes()).contains(&byte))
    })
}
