//! Sockets: both ends, as far as a record tells them, and whose they are.

use std::{mem::offset_of, net::IpAddr};

use ipnet::IpNet;
use sensor_common::{
    kind::Kind,
    record::{Header, SocketCall},
};
use sensor_rules::{event::Value, field::Field};

use super::{
    super::{
        asm::Width,
        formula::{FALSE, Formula, Number, TRUE},
        texts::{Domain, cases, constant, name_of_number, number},
    },
    Test,
    arguments::first_names,
};
use crate::view::call_names;

/// `include/linux/socket.h`
const AF_UNIX: i64 = 1;
const AF_INET: i64 = 2;
const AF_INET6: i64 = 10;
const AF_NETLINK: i64 = 16;

/// Where a member of [`SocketCall`] is in a record.
macro_rules! at {
    ($member:ident) => {
        size_of::<Header>() + offset_of!(SocketCall, $member)
    };
}

const FAMILY: Number = Number::whole(at!(family), Width::B2);
const PROTOCOL: Number = Number::whole(at!(protocol), Width::B2);

/// One end of a connection.
#[derive(Clone, Copy)]
struct End {
    /// Of which family the address is.
    family: Number,
    /// Where it begins.
    address: usize,
    port: usize,
    /// Nothing stands for this machine.
    is_remote: bool,
}

const LOCAL: End = End {
    family: FAMILY,
    address: at!(local_address),
    port: at!(local_port),
    is_remote: false,
};
const REMOTE: End = End {
    family: Number::whole(at!(address_family), Width::B2),
    address: at!(remote_address),
    port: at!(remote_port),
    is_remote: true,
};

/// Which end of a connection is the process's, as `view/socket.rs` says it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    /// It goes to somebody.
    Client,
    /// It took somebody's connection.
    Server,
    /// It has an address, and nobody at the other end.
    Bound,
}

impl Role {
    const fn client(self) -> Option<End> {
        match self {
            Self::Client => Some(LOCAL),
            Self::Server => Some(REMOTE),
            Self::Bound => None,
        }
    }

    const fn server(self) -> End {
        match self {
            Self::Client => REMOTE,
            Self::Server | Self::Bound => LOCAL,
        }
    }

    fn remote(self) -> Option<End> {
        (self != Self::Bound).then_some(REMOTE)
    }
}

/// What each role makes of the test, where the record has that role.
fn of_role(test: Test<'_>, decide: impl Fn(Role) -> Formula) -> Formula {
    let only = match test.kind {
        Kind::Accept => Role::Server,
        Kind::Bind | Kind::Listen => Role::Bound,
        Kind::Connect | Kind::Send => Role::Client,
        _ => {
            let other_port = Number::whole(REMOTE.port, Width::B2);
            let bound = Formula::all([Formula::is(other_port, 0), decide(Role::Bound)]);
            let client = Formula::all([Formula::is_not(other_port, 0), decide(Role::Client)]);
            return Formula::any([bound, client]);
        }
    };
    decide(only)
}

pub(super) fn decide(test: Test<'_>) -> Formula {
    let Test {
        question, negated, ..
    } = test;
    let address_of = |end: fn(Role) -> Option<End>| {
        of_role(test, |role| {
            end(role).map_or_else(|| missing(test), |end| address(test, end))
        })
    };
    let port_of = |end: fn(Role) -> Option<End>| {
        of_role(test, |role| {
            end(role).map_or_else(|| missing(test), |end| port(test, end))
        })
    };
    match question.field().field {
        Field::FdType => of_family(test, [b"unix", b"ipv4", b"ipv6", b"netlink"]),
        Field::FdTypechar => of_family(test, [b"u", b"4", b"6", b"n"]),
        Field::FdSockfamily => cases(
            question,
            negated,
            [
                (Formula::is(FAMILY, AF_UNIX), Some(Value::Text(b"unix"))),
                (internet(), Some(Value::Text(b"ip"))),
                (
                    Formula::all([Formula::is_not(FAMILY, AF_UNIX), not_internet()]),
                    None,
                ),
            ],
        ),
        Field::FdL4proto => protocol(test),
        Field::FdIsServer => of_role(test, |role| {
            constant(question, negated, Some(&Value::Bool(role != Role::Client)))
        }),
        Field::SockFamily => name_of_number(question, negated, FAMILY, &first_names(call_names::FAMILY)),
        Field::SockProtocol => number(question, negated, PROTOCOL, Domain::Short),
        Field::FdCport => port_of(Role::client),
        Field::FdLport => port(test, LOCAL),
        Field::FdSport => port_of(|role| Some(role.server())),
        Field::FdRport => port_of(Role::remote),
        Field::FdCip | Field::FdCnet => address_of(Role::client),
        Field::FdLip | Field::FdLnet => address(test, LOCAL),
        Field::FdSip | Field::FdSnet => address_of(|role| Some(role.server())),
        Field::FdRip | Field::FdRnet => address_of(Role::remote),
        _ => TRUE,
    }
}

/// The field has no value, whatever the record.
fn missing(test: Test<'_>) -> Formula {
    constant(test.question, test.negated, None)
}

/// That it is an internet socket.
fn internet() -> Formula {
    Formula::number(FAMILY, [(AF_INET, AF_INET), (AF_INET6, AF_INET6)])
}

/// That it is none.
fn not_internet() -> Formula {
    Formula::all([
        Formula::is_not(FAMILY, AF_INET),
        Formula::is_not(FAMILY, AF_INET6),
    ])
}

fn of_family(test: Test<'_>, [unix, ipv4, ipv6, netlink]: [&'static [u8]; 4]) -> Formula {
    let is = |family| Formula::is(FAMILY, family);
    let other = [AF_UNIX, AF_INET, AF_INET6, AF_NETLINK].map(|family| Formula::is_not(FAMILY, family));
    cases(
        test.question,
        test.negated,
        [
            (is(AF_UNIX), Some(Value::Text(unix))),
            (is(AF_INET), Some(Value::Text(ipv4))),
            (is(AF_INET6), Some(Value::Text(ipv6))),
            (is(AF_NETLINK), Some(Value::Text(netlink))),
            (Formula::all(other), None),
        ],
    )
}

/// `IPPROTO_*` of internet sockets, by name.
fn protocol(test: Test<'_>) -> Formula {
    const NAMES: [(&[u8], [i64; 2]); 4] = [
        (b"tcp", [6, 262]),
        (b"udp", [17, 136]),
        (b"icmp", [1, 58]),
        (b"raw", [255, 255]),
    ];
    let named = NAMES.map(|(name, numbers)| {
        let is_it = Formula::number(PROTOCOL, numbers.map(|number| (number, number)));
        (Formula::all([internet(), is_it]), Some(Value::Text(name)))
    });
    let unnamed = NAMES
        .iter()
        .flat_map(|(_, numbers)| numbers.map(|number| Formula::is_not(PROTOCOL, number)));
    let none = Formula::any([not_internet(), Formula::all(unnamed)]);
    cases(
        test.question,
        test.negated,
        named.into_iter().chain([(none, None)]),
    )
}

/// What only internet sockets have.
fn of_internet(test: Test<'_>, decided: Formula) -> Formula {
    let without = constant(test.question, test.negated, None);
    Formula::any([
        Formula::all([internet(), decided]),
        Formula::all([not_internet(), without]),
    ])
}

fn port(test: Test<'_>, end: End) -> Formula {
    let port = Number::whole(end.port, Width::B2);
    of_internet(test, number(test.question, test.negated, port, Domain::Short))
}

/// An address in one of a few networks, or in none. Addresses are compared as the bytes that they are: a word that is
/// read from them has its first byte lowest.
fn address(test: Test<'_>, end: End) -> Formula {
    let Test {
        question, negated, ..
    } = test;
    let Some(networks) = question.networks() else {
        return TRUE;
    };
    let (low, high) = (
        Number::whole(end.address, Width::B8),
        Number::whole(end.address + 8, Width::B8),
    );
    let short = Number::whole(end.address, Width::B4);
    let inside = Number::whole(end.address + 12, Width::B4);
    let v4 = |word: Number| {
        decided(
            end,
            negated,
            question_of_zero(test, [0; 4].into()),
            word,
            &networks,
        )
    };
    // `::ffff:a.b.c.d` is a.b.c.d.
    let clothed = Number::whole(end.address + 8, Width::B4);
    let mapped = i64::from(u32::from_le_bytes([0, 0, 0xff, 0xff]));
    let is_clothed = Formula::all([Formula::is(low, 0), Formula::is(clothed, mapped)]);
    let is_bare = Formula::any([Formula::is_not(low, 0), Formula::is_not(clothed, mapped)]);
    let is_zero = Formula::all([Formula::is(low, 0), Formula::is(high, 0)]);
    let is_some = Formula::any([Formula::is_not(low, 0), Formula::is_not(high, 0)]);
    let v6 = within_v6(low, high, &networks, negated);
    let v6 = if end.is_remote {
        let of_zero = question_of_zero(test, [0; 16].into());
        Formula::any([Formula::all([is_zero, of_zero]), Formula::all([is_some, v6])])
    } else {
        v6
    };
    let family = |which| Formula::is(end.family, which);
    let other = [AF_INET, AF_INET6].map(|which| Formula::is_not(end.family, which));
    let without = constant(question, negated, None);
    of_internet(
        test,
        Formula::any([
            Formula::all([family(AF_INET), v4(short)]),
            Formula::all([family(AF_INET6), is_clothed, v4(inside)]),
            Formula::all([family(AF_INET6), is_bare, v6]),
            Formula::all(other.into_iter().chain([without])),
        ]),
    )
}

/// To connect to no address is to connect to this machine.
fn question_of_zero(test: Test<'_>, zero: IpAddr) -> Formula {
    let local: IpAddr = match zero {
        IpAddr::V4(_) => [127, 0, 0, 1].into(),
        IpAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
    };
    constant(test.question, test.negated, Some(&Value::Ip(local)))
}

fn decided(end: End, negated: bool, of_zero: Formula, word: Number, networks: &[IpNet]) -> Formula {
    let within = within_v4(word, networks, negated);
    if !end.is_remote {
        return within;
    }
    Formula::any([
        Formula::all([Formula::is(word, 0), of_zero]),
        Formula::all([Formula::is_not(word, 0), within]),
    ])
}

/// The bits of a word that a network's mask and address are, when the word is read as it stands in memory.
fn masked(number: Number, mask: u64, address: u64, negated: bool) -> Formula {
    if mask == 0 {
        return if negated { FALSE } else { TRUE };
    }
    let bits = Number { mask, ..number };
    let value = (address & mask).cast_signed();
    if negated {
        Formula::is_not(bits, value)
    } else {
        Formula::is(bits, value)
    }
}

fn within_v4(word: Number, networks: &[IpNet], negated: bool) -> Formula {
    let each = networks.iter().filter_map(|network| match network {
        IpNet::V4(network) => {
            let [mask, address] = [network.netmask(), network.network()]
                .map(|address| u64::from(u32::from_le_bytes(address.octets())));
            Some(masked(word, mask, address, negated))
        }
        IpNet::V6(_) => None,
    });
    if negated {
        Formula::all(each)
    } else {
        Formula::any(each)
    }
}

fn within_v6(low: Number, high: Number, networks: &[IpNet], negated: bool) -> Formula {
    let each = networks.iter().filter_map(|network| match network {
        IpNet::V6(network) => {
            let words = |address: std::net::Ipv6Addr| {
                let bytes = address.octets();
                let word = |at: usize| {
                    let mut word = [0; 8];
                    word.copy_from_slice(&bytes[at..at + 8]);
                    u64::from_le_bytes(word)
                };
                [word(0), word(8)]
            };
            let (masks, addresses) = (words(network.netmask()), words(network.network()));
            let parts = [low, high]
                .into_iter()
                .zip(masks.into_iter().zip(addresses))
                .map(|(number, (mask, address))| masked(number, mask, address, negated));
            Some(if negated {
                Formula::any(parts)
            } else {
                Formula::all(parts)
            })
        }
        IpNet::V4(_) => None,
    });
    if negated {
        Formula::all(each)
    } else {
        Formula::any(each)
    }
}
