//! Random records, of which some answer each of the tests' questions with yes and some with no.

use std::mem::offset_of;

use proptest::{prelude::*, sample::select};
use sensor_common::{
    LAYOUT_VERSION,
    kind::Shape,
    record::{Header, IdentityCall, Open, PathCall, PlainCall, SocketCall, Span, flags},
    syscall::Call,
};

use super::*;

const TEXTS: &[&str] = &[
    "",
    "/",
    "/a",
    "/etc/shadow",
    "/etc/passwd",
    "/etc/pam.d/sshd",
    "/etc",
    "/etc/",
    "/home/u/.ssh/id_rsa",
    "shadow",
    "../../etc/shadow",
    "/x/../etc//shadow",
    "//etc/shadow",
    "/etc/shadowy",
    "/proc/1/environ",
    "memfd:etc/x",
    "etc/shadow",
    "tmpfs",
    "trusted.overlay.opaque",
];

/// A record that is being written: fixed parts are zeros, the tail grows.
struct Draft(Vec<u8>);

impl Draft {
    fn put(&mut self, at: usize, value: &[u8]) {
        self.0[at..at + value.len()].copy_from_slice(value);
    }

    fn text(&mut self, at: usize, text: &str) {
        let span = [self.0.len(), text.len()]
            .map(|number| u16::try_from(number).unwrap().to_ne_bytes())
            .concat();
        assert_eq!(span.len(), size_of::<Span>());
        self.put(at, &span);
        self.0.extend_from_slice(text.as_bytes());
    }
}

/// What a record is made of; which of it is used depends on the kind.
#[derive(Debug, Clone)]
struct Made {
    call: Call,
    result: i64,
    flags: u32,
    args: [u64; 6],
    texts: [&'static str; 5],
    mode: u32,
    access: u32,
    inode: u64,
    families: [u16; 2],
    protocol: u16,
    ports: [u16; 2],
    addresses: [[u8; 16]; 2],
}

fn address() -> impl Strategy<Value = [u8; 16]> {
    let v6 = |text: &str| text.parse::<std::net::Ipv6Addr>().unwrap().octets();
    let v4 = |bytes: [u8; 4]| {
        let mut address = [0; 16];
        address[..4].copy_from_slice(&bytes);
        address
    };
    select(vec![
        [0; 16],
        v4([127, 0, 0, 1]),
        v4([10, 1, 2, 3]),
        v4([169, 254, 169, 254]),
        v6("::1"),
        v6("fd00:ec2::254"),
        v6("::ffff:10.1.2.3"),
        v6("::ffff:0.0.0.0"),
        v6("::fffe:10.1.2.3"),
        v6("fe80::1"),
    ])
}

fn made(kind: Kind) -> impl Strategy<Value = Made> {
    let calls: Vec<_> = Call::ALL
        .into_iter()
        .filter(|call| call.kind() == Some(kind))
        .collect();
    let arg = || {
        select(vec![
            0_u64,
            1,
            2,
            3,
            4,
            6,
            7,
            16,
            0o4755,
            0x1_0000,
            0x2_0000,
            0x1000_0000,
            0x4206,
            0xffff_ffff,
            u64::MAX,
            1 << 63,
        ])
    };
    let text = || select(TEXTS);
    let numbers = (
        select(calls),
        select(vec![3_i64, 0, -1, -2, -13, -115, -4095]),
        select(vec![
            0,
            flags::CREATED,
            flags::DENIED,
            flags::COMPAT,
            flags::PATH_PARTLY_GIVEN,
            flags::UNNUMBERED,
        ]),
        prop::array::uniform6(arg()),
        prop::array::uniform5(text()),
        select(vec![0o100_644_u32, 0o040_755, 0o120_777, 0]),
        0_u32..4,
        select(vec![0_u64, 1, u64::MAX]),
    );
    let ends = (
        prop::array::uniform2(select(vec![1_u16, 2, 10, 16])),
        select(vec![6_u16, 17, 1, 255, 262, 99]),
        prop::array::uniform2(select(vec![0_u16, 22, 53, 443, 4444, 65535])),
        prop::array::uniform2(address()),
    );
    (numbers, ends).prop_map(
        |(
            (call, result, flags, args, texts, mode, access, inode),
            (families, protocol, ports, addresses),
        )| Made {
            call,
            result,
            flags,
            args,
            texts,
            mode,
            access,
            inode,
            families,
            protocol,
            ports,
            addresses,
        },
    )
}

/// A record of a kind.
pub(super) fn record(kind: Kind) -> impl Strategy<Value = Vec<u8>> {
    made(kind).prop_map(move |made| write(kind, &made))
}

fn write(kind: Kind, made: &Made) -> Vec<u8> {
    let head = size_of::<Header>();
    let fixed = match kind.shape() {
        Shape::Open => size_of::<Open>(),
        Shape::Path => size_of::<PathCall>(),
        Shape::Socket => size_of::<SocketCall>(),
        Shape::Identity => size_of::<IdentityCall>(),
        Shape::Plain => size_of::<PlainCall>(),
        _ => unreachable!("no filter sees it"),
    };
    let mut draft = Draft(vec![0; head + fixed]);
    draft.put(offset_of!(Header, version), &[LAYOUT_VERSION]);
    draft.put(offset_of!(Header, kind), &[kind as u8]);
    draft.put(offset_of!(Header, flags), &made.flags.to_ne_bytes());
    let result = made.result.to_ne_bytes();
    let call = (made.call as u32).to_ne_bytes();
    let args: Vec<u8> = made.args.iter().flat_map(|arg| arg.to_ne_bytes()).collect();
    macro_rules! put {
        ($shape:ident: $($member:ident $(. $inner:ident)? = $value:expr),+ ; $($text:ident = $index:literal),*) => {{
            $(draft.put(head + offset_of!($shape, $member $(. $inner)?), $value.as_ref());)+
            $(draft.text(head + offset_of!($shape, $text), made.texts[$index]);)*
        }};
    }
    match kind.shape() {
        Shape::Open => put!(Open:
            result = result,
            call = call,
            file.inode = made.inode.to_ne_bytes(),
            file.mode = made.mode.to_ne_bytes(),
            file_flags = made.access.to_ne_bytes(),
            flags_given = made.args[0].to_ne_bytes(),
            mode_given = made.mode.to_ne_bytes();
            path = 0, given = 1),
        Shape::Path => put!(PathCall:
            result = result, call = call, args = args, file.inode = made.inode.to_ne_bytes();
            path = 0, given = 1, path2 = 2, given2 = 3, text = 4),
        Shape::Identity => put!(IdentityCall: result = result, call = call, args = args; text = 0),
        Shape::Plain => put!(PlainCall: result = result, call = call, args = args; text = 0, text2 = 1),
        _ => put!(SocketCall:
            result = result, call = call, args = args,
            fd = i32::try_from(made.result).unwrap().to_ne_bytes(),
            family = made.families[0].to_ne_bytes(),
            address_family = made.families[1].to_ne_bytes(),
            protocol = made.protocol.to_ne_bytes(),
            local_port = made.ports[0].to_ne_bytes(),
            remote_port = made.ports[1].to_ne_bytes(),
            local_address = made.addresses[0],
            remote_address = made.addresses[1];
            path = 0, given = 1),
    }
    let len = u32::try_from(draft.0.len()).unwrap().to_ne_bytes();
    draft.put(0, &len);
    draft.0
}
