//! Rules whose `action` is `deny`: from a condition to tests that the kernel makes itself.
//!
//! A condition is taken only when the tests hold exactly where it does. Anything else is refused with the part
//! that is in the way: a kernel that denies more than the rule says breaks workloads, and one that denies less
//! is a promise not kept.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::Arc,
};

use sensor_common::enforce::{DENY_RULES_MAX, DENY_TESTS_MAX, DenyTest};
use sensor_rules::ast::{Check, Expr, Literal, Op, Operand, Right};

/// A rule that denies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DenyRule {
    /// Its name.
    pub name: String,
    /// It matches where one of these does.
    pub tests: Vec<DenyTest>,
}

/// Why a rule cannot deny.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum EnforceError {
    /// The action is none of ours.
    #[error("rule `{rule}`: action `{action}` is not known: write deny, or leave the key out")]
    Action {
        /// The rule.
        rule: String,
        /// What stands there.
        action: String,
    },
    /// Part of the condition is not decided in the kernel.
    #[error("rule `{rule}` cannot deny: the kernel does not decide `{part}` exactly: {why}")]
    Inexact {
        /// The rule.
        rule: String,
        /// The sub-expression that is in the way.
        part: String,
        /// Why, and what to do.
        why: &'static str,
    },
    /// Nothing limits the condition to connections.
    #[error("rule `{0}` cannot deny: each way to match it must demand `evt.type=connect`")]
    NoConnect(String),
    /// More than the kernel side has room for.
    #[error(
        "rule `{0}` cannot deny: the rules that deny need more than {DENY_TESTS_MAX} tests or {DENY_RULES_MAX} rules"
    )]
    TooMany(String),
}

/// One way to match, in the making.
#[derive(Clone, Copy)]
struct Way {
    /// Whether it demands a connect.
    is_connect: bool,
    test: DenyTest,
}

const ANY: Way = Way {
    is_connect: false,
    test: DenyTest {
        address_high: 0,
        address_low: 0,
        mask_high: 0,
        mask_low: 0,
        port_min: 0,
        port_max: u16::MAX as u32,
        protocol: 0,
        has_uid: 0,
        uid: 0,
        rule: 0,
        mode: 0,
        reserved: 0,
    },
};

/// `::ffff:0:0/96`: how the kernel side writes IPv4 addresses.
const MAPPED_BITS: u8 = 96;

/// Prepares one rule, after `before` others with `tests_before` tests.
pub fn prepare(
    name: &str,
    action: &str,
    condition: &Arc<Expr>,
    before: usize,
    tests_before: usize,
) -> Result<DenyRule, EnforceError> {
    if action != "deny" {
        return Err(EnforceError::Action {
            rule: name.into(),
            action: action.into(),
        });
    }
    let ways = ways(condition).map_err(|refusal| match refusal {
        Refusal::Part(part, why) => EnforceError::Inexact {
            rule: name.into(),
            part,
            why,
        },
        Refusal::TooMany => EnforceError::TooMany(name.into()),
    })?;
    if ways.iter().any(|way| !way.is_connect) {
        return Err(EnforceError::NoConnect(name.into()));
    }
    if before >= DENY_RULES_MAX as usize || tests_before + ways.len() > DENY_TESTS_MAX as usize {
        return Err(EnforceError::TooMany(name.into()));
    }
    let number = u32::try_from(before).unwrap_or(u32::MAX);
    let tests = ways.into_iter().map(|way| DenyTest {
        rule: number,
        ..way.test
    });
    Ok(DenyRule {
        name: name.into(),
        tests: tests.collect(),
    })
}

enum Refusal {
    Part(String, &'static str),
    TooMany,
}

fn ways(expr: &Expr) -> Result<Vec<Way>, Refusal> {
    match expr {
        Expr::And(parts) => {
            let mut all = vec![ANY];
            for part in parts {
                let of_part = ways(part)?;
                let both = |first: &Way| {
                    of_part
                        .iter()
                        .filter_map(|second| meet(first, second))
                        .collect::<Vec<_>>()
                };
                all = all.iter().flat_map(both).collect();
                if all.len() > DENY_TESTS_MAX as usize {
                    return Err(Refusal::TooMany);
                }
            }
            Ok(all)
        }
        Expr::Or(parts) => {
            let mut all = Vec::new();
            for part in parts {
                all.extend(ways(part)?);
            }
            Ok(all)
        }
        Expr::Macro(reference) => match &reference.body {
            Some(body) => ways(body),
            None => Err(refused(expr, "the macro is not known")),
        },
        Expr::Check(check) => atom(check),
        Expr::Not(_) => Err(refused(expr, "write what is denied, not what is left out")),
        Expr::Exception(_) => Err(refused(
            expr,
            "an exception looks at more than the connection: name what is denied in the condition",
        )),
    }
}

fn refused(expr: &Expr, why: &'static str) -> Refusal {
    Refusal::Part(expr.to_string(), why)
}

/// What both ways demand; `None` when nothing can satisfy both.
fn meet(first: &Way, second: &Way) -> Option<Way> {
    let (a, b) = (&first.test, &second.test);
    let mut test = *a;
    // Masks are prefixes: the longer one decides, if the shorter agrees on its bits.
    let common = (a.mask_high & b.mask_high, a.mask_low & b.mask_low);
    if a.address_high & common.0 != b.address_high & common.0
        || a.address_low & common.1 != b.address_low & common.1
    {
        return None;
    }
    if (b.mask_high, b.mask_low) > (a.mask_high, a.mask_low) {
        (test.address_high, test.address_low) = (b.address_high, b.address_low);
        (test.mask_high, test.mask_low) = (b.mask_high, b.mask_low);
    }
    test.port_min = a.port_min.max(b.port_min);
    test.port_max = a.port_max.min(b.port_max);
    if test.port_min > test.port_max {
        return None;
    }
    test.protocol = either(a.protocol != 0, a.protocol, b.protocol != 0, b.protocol)?;
    test.uid = either(a.has_uid != 0, a.uid, b.has_uid != 0, b.uid)?;
    test.has_uid = a.has_uid | b.has_uid;
    Some(Way {
        is_connect: first.is_connect || second.is_connect,
        test,
    })
}

fn either(has_a: bool, a: u32, has_b: bool, b: u32) -> Option<u32> {
    match (has_a, has_b) {
        (true, true) if a != b => None,
        (true, _) => Some(a),
        (false, _) => Some(b),
    }
}

/// The ways in which one test of the condition can hold.
fn atom(check: &Check) -> Result<Vec<Way>, Refusal> {
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
    let is_equality = matches!(check.op, Op::Eq | Op::EqEq | Op::In);
    let texts = literals
        .iter()
        .map(|literal| std::str::from_utf8(&literal.bytes).unwrap_or_default());
    let name = field.name.as_str();
    let is_range = check.op.is_order() && matches!(name, "fd.sport" | "fd.rport");
    if !is_equality && !is_range {
        return Err(no(
            "only =, in and, for ports, <, <=, >, >= are decided in the kernel",
        ));
    }
    match name {
        // Other types are no connects, so these ways cannot be.
        "evt.type" => Ok(texts
            .filter(|text| *text == "connect")
            .map(|_| Way {
                is_connect: true,
                ..ANY
            })
            .collect()),
        "fd.l4proto" => texts
            .map(|text| match text {
                "tcp" => Ok(with(|test| test.protocol = 6)),
                "udp" => Ok(with(|test| test.protocol = 17)),
                _ => Err(no("only tcp and udp have the hook")),
            })
            .collect(),
        "user.uid" => texts
            .map(|text| {
                let uid = text.parse().map_err(|_| no("it is no user id"))?;
                Ok(with(|test| {
                    test.has_uid = 1;
                    test.uid = uid;
                }))
            })
            .collect(),
        "fd.sport" | "fd.rport" => texts
            .map(|text| {
                let port: u16 = text.parse().map_err(|_| no("it is no port"))?;
                ports(check.op, port).ok_or_else(|| no("no port satisfies it"))
            })
            .collect(),
        "fd.sip" | "fd.rip" | "fd.snet" | "fd.rnet" => texts
            .map(|text| network(text).ok_or_else(|| no("it is neither an address nor a network")))
            .collect(),
        _ => Err(no(
            "it knows evt.type, fd.sip, fd.rip, fd.snet, fd.rnet, fd.sport, fd.rport, fd.l4proto and user.uid",
        )),
    }
}

fn with(change: impl FnOnce(&mut DenyTest)) -> Way {
    let mut way = ANY;
    change(&mut way.test);
    way
}

fn ports(op: Op, port: u16) -> Option<Way> {
    let (min, max) = match op {
        Op::Lt => (0, port.checked_sub(1)?),
        Op::Le => (0, port),
        Op::Gt => (port.checked_add(1)?, u16::MAX),
        Op::Ge => (port, u16::MAX),
        _ => (port, port),
    };
    Some(with(|test| {
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
    Some(with(|test| {
        (test.address_high, test.address_low) = address;
        (test.mask_high, test.mask_low) = mask;
    }))
}

fn mask(bits: u8) -> u128 {
    u128::MAX.checked_shl(128 - u32::from(bits)).unwrap_or(0)
}

#[cfg(test)]
mod tests;
