//! One test of a condition: the ways in which it can hold.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use sensor_common::enforce::{access, operations};
use sensor_rules::ast::{Check, Literal, Op, Operand, Right};

use super::{
    Refusal, Way, opens,
    paths::{PathPattern, PathSet},
};

/// `::ffff:0:0/96`: how the kernel side writes IPv4 addresses.
const MAPPED_BITS: u8 = 96;

/// What may be written, for whoever wrote something else.
const KNOWN: &str = "it knows evt.type, user.uid, of a connection or a bind fd.sip, fd.snet, fd.sport and fd.l4proto, of a connection alone fd.rip, fd.rnet and fd.rport, of a bind alone fd.lip, fd.lnet and fd.lport, of a program that is started proc.exepath, and of a file that is opened fd.name, evt.is_open_read and evt.is_open_write";

/// The ways in which one test of the condition can hold.
pub(super) fn ways(check: &Check) -> Result<Vec<Way>, Refusal> {
    let no = |why| Refusal::Part(check.to_string(), why);
    let Operand::Field(field) = &check.left else {
        return Err(no("transformers are computed by the agent"));
    };
    if field.argument.is_some() || check.modifier.is_some() {
        return Err(no("arguments and modifiers are looked at by the agent"));
    }
    let literals: &[Literal] = match &check.right {
        Right::Value(value) => std::slice::from_ref(value),
        Right::List(list) => list,
        Right::Nothing | Right::Operand(_) => return Err(no("it does not compare with a constant")),
    };
    let name = field.name.as_str();
    let is_equality = matches!(check.op, Op::Eq | Op::EqEq | Op::In);
    let is_range = check.op.is_order() && matches!(name, "fd.sport" | "fd.rport" | "fd.lport");
    let is_beginning = check.op == Op::StartsWith && matches!(name, "proc.exepath" | "fd.name");
    if !is_equality && !is_range && !is_beginning {
        return Err(no(
            "only =, in and, for ports, <, <=, >, >=, for paths startswith, are decided in the kernel",
        ));
    }
    let texts = literals
        .iter()
        .map(|literal| std::str::from_utf8(&literal.bytes).unwrap_or_default());
    match name {
        "evt.type" => Ok(operation(texts)),
        "fd.l4proto" => {
            let mut ways = Vec::new();
            for text in texts {
                match text {
                    "tcp" => ways.push(Way::with(|test| test.protocol = 6)),
                    "udp" => ways.extend([
                        Way::with(|test| test.protocol = 17),
                        // UDP-Lite, which has no hook at its connects.
                        Way::with(|test| {
                            test.protocol = 136;
                            test.operations &= !operations::CONNECT;
                        }),
                    ]),
                    _ => return Err(no("only tcp and udp have the hook")),
                }
            }
            Ok(ways)
        }
        "user.uid" => texts
            .map(|text| {
                let uid = text.parse().map_err(|_| no("it is no user id"))?;
                Ok(Way::with(|test| {
                    test.has_uid = 1;
                    test.uid = uid;
                }))
            })
            .collect(),
        "fd.sport" | "fd.rport" | "fd.lport" => texts
            .map(|text| {
                let port: u16 = text.parse().map_err(|_| no("it is no port"))?;
                let way = ports(check.op, port).ok_or_else(|| no("no port satisfies it"))?;
                Ok(of_end(name, way))
            })
            .collect(),
        "fd.sip" | "fd.rip" | "fd.lip" | "fd.snet" | "fd.rnet" | "fd.lnet" => texts
            .map(|text| {
                let way = network(text).ok_or_else(|| no("it is neither an address nor a network"))?;
                Ok(of_end(name, way))
            })
            .collect(),
        "evt.is_open_read" | "evt.is_open_write" => texts
            .map(|text| match text {
                "true" => Ok(Way::with(|test| {
                    test.access = if name == "evt.is_open_read" {
                        access::READ
                    } else {
                        access::WRITE
                    };
                })),
                _ => Err(no("only = true is decided in the kernel")),
            })
            .collect(),
        "proc.exepath" | "fd.name" => {
            let paths = literals
                .iter()
                .map(|literal| PathPattern::new(&literal.bytes, is_beginning))
                .collect::<Option<Vec<_>>>()
                .ok_or_else(|| {
                    no("a path begins with a slash, holds no zero byte, and has at most 255 bytes")
                })?;
            let mut way = Way::any();
            let set = Some(PathSet::new(paths));
            if name == "fd.name" {
                way.files = set;
            } else {
                way.programs = set;
            }
            Ok(vec![way])
        }
        _ => Err(no(KNOWN)),
    }
}

/// The operations of which the hook sees this end: what a socket connects to has no name of its own yet, and a socket
/// that gets an address has nobody at the other end. The server's end is either.
fn of_end(field: &str, mut way: Way) -> Way {
    way.test.operations &= match field {
        "fd.rip" | "fd.rnet" | "fd.rport" => !operations::BIND,
        "fd.lip" | "fd.lnet" | "fd.lport" => !operations::CONNECT,
        _ => way.test.operations,
    };
    way
}

/// The operations that are events of these types; others have no hook, so that way cannot be.
fn operation<'a>(types: impl Iterator<Item = &'a str>) -> Vec<Way> {
    let bits = types.fold(0, |bits, name| {
        bits | match name {
            "connect" => operations::CONNECT,
            "bind" => operations::BIND,
            "execve" => operations::EXECVE,
            "execveat" => operations::EXECVEAT,
            "open" => opens::OPEN,
            "openat" => opens::OPENAT,
            "openat2" => opens::OPENAT2,
            _ => 0,
        }
    });
    if bits == 0 {
        Vec::new()
    } else {
        vec![Way::with(|test| test.operations = bits)]
    }
}

fn ports(op: Op, port: u16) -> Option<Way> {
    let (min, max) = match op {
        Op::Lt => (0, port.checked_sub(1)?),
        Op::Le => (0, port),
        Op::Gt => (port.checked_add(1)?, u16::MAX),
        Op::Ge => (port, u16::MAX),
        _ => (port, port),
    };
    Some(Way::with(|test| {
        test.port_min = min.into();
        test.port_max = max.into();
    }))
}

/// An address, or a network as `ADDRESS/BITS`.
fn network(text: &str) -> Option<Way> {
    let (address, bits) = match text.split_once('/') {
        Some((address, bits)) => (address, Some(bits.parse::<u8>().ok()?)),
        None => (text, None),
    };
    let (address, bits) = match address.parse().ok()? {
        IpAddr::V4(address) => {
            let bits = bits.unwrap_or(32);
            (bits <= 32).then_some((Ipv4Addr::to_ipv6_mapped(&address), MAPPED_BITS + bits))?
        }
        IpAddr::V6(address) => {
            let bits = bits.unwrap_or(128);
            // A network that would hold the IPv4 addresses too, which the rule does not mean.
            let holds_ipv4 = bits < MAPPED_BITS
                && Ipv6Addr::from(u128::from(address) & mask(bits)) == Ipv6Addr::UNSPECIFIED;
            (bits <= 128 && !holds_ipv4).then_some((address, bits))?
        }
    };
    let mask = mask(bits);
    let address = u128::from(address) & mask;
    let low = |value: u128| u64::try_from(value & u128::from(u64::MAX)).ok();
    let halves = |value: u128| Some((low(value >> 64)?, low(value)?));
    let (address, mask) = (halves(address)?, halves(mask)?);
    Some(Way::with(|test| {
        (test.address_high, test.address_low) = address;
        (test.mask_high, test.mask_low) = mask;
    }))
}

fn mask(bits: u8) -> u128 {
    u128::MAX.checked_shl(128 - u32::from(bits)).unwrap_or(0)
}
