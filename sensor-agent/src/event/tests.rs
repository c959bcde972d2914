use proptest::prelude::*;
use sensor_common::record::{Exec as ExecFixed, Open as OpenFixed};

use super::*;

/// A record of a kind, with a tail; the fixed part's spans are the test's business.
fn record(kind: Kind, fixed: &[u8], tail: &[u8]) -> Vec<u8> {
    let len = size_of::<Header>() + fixed.len() + tail.len();
    let mut bytes = vec![0; size_of::<Header>()];
    bytes[..4].copy_from_slice(&u32::try_from(len).unwrap().to_ne_bytes());
    bytes[4] = LAYOUT_VERSION;
    bytes[5] = kind as u8;
    bytes.extend_from_slice(fixed);
    bytes.extend_from_slice(tail);
    bytes
}

/// An open's fixed part whose path and given string are these spans.
fn open_fixed(path: Span, given: Span) -> Vec<u8> {
    let mut fixed = vec![0; size_of::<OpenFixed>()];
    let at = fixed.len() - 8;
    for (index, part) in [path.offset, path.len, given.offset, given.len]
        .into_iter()
        .enumerate()
    {
        fixed[at + index * 2..at + index * 2 + 2].copy_from_slice(&part.to_ne_bytes());
    }
    fixed
}

#[test]
fn an_open_carries_both_names() {
    let begin = u16::try_from(size_of::<Header>() + size_of::<OpenFixed>()).unwrap();
    let fixed = open_fixed(
        Span {
            offset: begin,
            len: 5,
        },
        Span {
            offset: begin + 5,
            len: 3,
        },
    );
    let bytes = record(Kind::Open, &fixed, b"/etc/\xff\xfe\n");
    let event = Event::decode(&bytes).unwrap();
    let Body::Open(open) = event.body else {
        panic!("decoded as another kind")
    };
    assert_eq!((open.path, open.given), (&b"/etc/"[..], &b"\xff\xfe\n"[..]));
}

#[test]
fn what_is_wrong_with_a_record_is_named() {
    let begin = u16::try_from(size_of::<Header>() + size_of::<OpenFixed>()).unwrap();
    let good = record(Kind::Open, &open_fixed(Span::default(), Span::default()), b"");
    let outside = record(
        Kind::Open,
        &open_fixed(
            Span {
                offset: begin,
                len: 1,
            },
            Span::default(),
        ),
        b"",
    );
    let cases: [(&str, Vec<u8>, DecodeError); 6] = [
        (
            "nothing",
            vec![],
            DecodeError::Short {
                have: 0,
                need: size_of::<Header>(),
            },
        ),
        (
            "half a header",
            good[..40].to_vec(),
            DecodeError::Short {
                have: 40,
                need: size_of::<Header>(),
            },
        ),
        (
            "cut",
            good[..100].to_vec(),
            DecodeError::Short {
                have: 100,
                need: size_of::<Header>() + size_of::<OpenFixed>(),
            },
        ),
        (
            "layout",
            [&good[..4], &[9], &good[5..]].concat(),
            DecodeError::Layout(9),
        ),
        (
            "kind",
            [&good[..5], &[200], &good[6..]].concat(),
            DecodeError::Kind(200),
        ),
        ("span", outside, DecodeError::Span),
    ];
    for (name, bytes, expected) in cases {
        assert_eq!(Event::decode(&bytes).unwrap_err(), expected, "{name}");
    }
}

proptest! {
    #[test]
    fn decoding_is_total(kind in 0_u8..70, mut bytes in prop::collection::vec(any::<u8>(), 0..700)) {
        if bytes.len() > 8 {
            // Get past the checks that random bytes never pass.
            let len = u32::try_from(bytes.len()).unwrap();
            bytes[..4].copy_from_slice(&len.to_ne_bytes());
            bytes[4] = LAYOUT_VERSION;
            bytes[5] = kind;
        }
        let _ = Event::decode(&bytes);
    }

    #[test]
    fn every_piece_lies_within_the_record(spans in prop::array::uniform12(any::<u16>()), tail in 0_usize..600) {
        let mut fixed = vec![0; size_of::<ExecFixed>()];
        let at = fixed.len() - 24;
        for (index, part) in spans.iter().enumerate() {
            fixed[at + index * 2..at + index * 2 + 2].copy_from_slice(&part.to_ne_bytes());
        }
        let bytes = record(Kind::Exec, &fixed, &vec![b'x'; tail]);
        if let Ok(Event { body: Body::Exec(exec), .. }) = Event::decode(&bytes) {
            for piece in [exec.path, exec.filename, exec.interpreter, exec.argv, exec.cwd, exec.cgroup] {
                let range = bytes.as_ptr_range();
                prop_assert!(piece.is_empty() || range.contains(&piece.as_ptr()));
            }
        }
    }
}
