//! Files that are cut, damaged, of another version, too large; and that writing loses nothing silently.

use std::sync::mpsc::sync_channel;

use sensor_common::kind::Ring;

use super::{replay, rules, sample};
use crate::recording::{
    FORMAT_VERSION, ITEM_BYTES_MAX,
    header::{Header, HeaderError},
    item::{Input, Items, Lost},
    reader::Reader,
    tap::Tap,
    writer::{RecordError, Recorder, SIZE_BYTES_MIN, Target},
};

/// Wherever a file is cut, what came before is replayed and the place is told.
#[test]
fn a_cut_file_is_replayed_up_to_the_cut() {
    let (file, rules) = (sample::whole(), rules(sample::RULES));
    let (all, ..) = replay(&file, &rules);
    let begin = Reader::new(&file[..]).unwrap().position();
    let mut most = 0;
    for len in 0..file.len() {
        let cut = &file[..len];
        if (len as u64) < begin {
            assert!(matches!(
                Reader::new(cut),
                Err(HeaderError::Magic | HeaderError::Short)
            ));
            continue;
        }
        let (lines, told, fault) = replay(cut, &rules);
        let fault = fault.unwrap().to_string();
        assert!(fault.starts_with("at byte "), "{len}: {fault}");
        assert!(all.starts_with(&lines), "{len}");
        assert!(told.records >= most, "{len}: fewer than with less of the file");
        most = told.records;
    }
    assert_eq!(most, 3);
}

/// Whatever byte is changed: what came before its chunk is replayed, and nothing of what it changed.
#[test]
fn a_damaged_file_is_replayed_up_to_the_damage() {
    let (file, rules) = (sample::whole(), rules(sample::RULES));
    let (all, ..) = replay(&file, &rules);
    let begin = Reader::new(&file[..]).unwrap().position();
    for at in 0..file.len() {
        let mut damaged = file.clone();
        damaged[at] ^= 0x20;
        if (at as u64) < begin {
            assert!(Reader::new(&damaged[..]).is_err(), "{at}");
            continue;
        }
        let (lines, _, fault) = replay(&damaged, &rules);
        let fault = fault
            .unwrap_or_else(|| panic!("nobody noticed byte {at}"))
            .to_string();
        let place: u64 = fault["at byte ".len()..]
            .split(':')
            .next()
            .unwrap()
            .parse()
            .unwrap();
        assert!(place <= at as u64 && place >= begin, "{at}: {fault}");
        assert!(all.starts_with(&lines), "{at}");
    }
}

#[test]
fn another_version_is_refused_with_the_way_out() {
    let file = sample::whole();
    let mut newer = file.clone();
    newer[8..12].copy_from_slice(&(FORMAT_VERSION + 1).to_le_bytes());
    let said = Reader::new(&newer[..]).unwrap_err().to_string();
    assert!(
        said.contains("recorded by sensor 0.1.0; use that version"),
        "{said}"
    );
    let layout = Header {
        layout: sensor_common::LAYOUT_VERSION + 1,
        sensor: "9.9.9".into(),
        ..sample::header()
    };
    let said = Reader::new(&sample::file(&layout, &[])[..])
        .unwrap_err()
        .to_string();
    assert!(
        said.contains("recorded by sensor 9.9.9; use that version"),
        "{said}"
    );
    let mut older = file;
    older[8..12].copy_from_slice(&0_u32.to_le_bytes());
    assert!(matches!(Reader::new(&older[..]), Err(HeaderError::Damaged(_))));
    for (bytes, expected) in [
        (&b"{\"time\": 1}\n and more than a mark"[..], "is no recording"),
        (b"", "is no recording"),
    ] {
        let said = Reader::new(bytes).unwrap_err().to_string();
        assert!(said.contains(expected), "{said}");
    }
    let huge = Header {
        processes_max: usize::MAX,
        ..sample::header()
    };
    let said = Reader::new(&sample::file(&huge, &[])[..])
        .unwrap_err()
        .to_string();
    assert!(said.contains("larger than any sensor's"), "{said}");
}

/// Lengths that a hostile file makes up are not believed.
#[test]
fn hostile_lengths_are_refused() {
    let file = sample::whole();
    let begin = usize::try_from(Reader::new(&file[..]).unwrap().position()).unwrap();
    for (at, expected) in [
        (4, "larger than any"),
        (8, "larger than any"),
        (0, "its mark is missing"),
    ] {
        let mut hostile = file.clone();
        hostile[begin + at..begin + at + 4].copy_from_slice(&u32::MAX.to_le_bytes());
        let (_, _, fault) = replay(&hostile, &rules(sample::RULES));
        let fault = fault.unwrap().to_string();
        assert!(fault.contains(expected), "{fault}");
    }
    let items: [(&[u8], &str); 5] = [
        (&[16, 0xff, 0xff, 0xff, 0xff], "its length has no end"),
        (&[16, 0xff, 0xff, 0xff, 0x7f], "it is larger than any"),
        (&[16, 9, 1], "it is cut"),
        (&[16, 1, 1], "it has a wrong length"),
        (&[99, 0], "there is no such kind of item"),
    ];
    for (bytes, expected) in items {
        let fault = Items::new(bytes).next().unwrap().unwrap_err();
        assert_eq!((fault.at, fault.what), (0, expected));
    }
}

/// A disk that does not keep up: whole chunks are given up, and the next one says how much is missing.
#[test]
fn what_finds_no_room_is_counted_in_the_file() {
    let (chunks, received) = sync_channel(1);
    let (_spare, spares) = sync_channel(1);
    let mut tap = Tap::new(chunks, spares);
    for count in [2, 3, 1, 1] {
        for _ in 0..count {
            tap.note(&Input::Record(Ring::Activity, b"record"));
        }
        tap.note(&Input::Now(1));
        tap.flush();
    }
    let first = received.recv().unwrap();
    assert_eq!((first.records, first.others, first.told), (2, 1, Lost::default()));
    let large = vec![0; ITEM_BYTES_MAX + 1];
    tap.note(&Input::Record(Ring::Activity, &large));
    tap.note(&Input::Record(Ring::Activity, b"record"));
    tap.flush();
    let second = received.recv().unwrap();
    let told = Items::new(&second.items).next().unwrap().unwrap();
    let expected = Lost {
        records: 5,
        others: 3,
    };
    assert!(matches!(told, Input::Lost(lost) if lost == expected), "{told:?}");
    tap.finish();
    let third = received.recv().unwrap();
    let told = Items::new(&third.items).next().unwrap().unwrap();
    assert!(matches!(told, Input::Lost(lost) if lost.records == 1), "{told:?}");
}

#[test]
fn a_file_keeps_its_bound_and_says_what_is_missing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.rec");
    let target = Target::create(&path, SIZE_BYTES_MIN).unwrap();
    let again = Target::create(&path, SIZE_BYTES_MIN).unwrap_err();
    assert!(matches!(again, RecordError::Exists(_)), "{again}");
    let (mut tap, running) = Recorder::start(target, &sample::header()).unwrap();
    tap.note(&Input::Planted(0));
    // Bytes that no compression makes smaller.
    let mut state = 1_u64;
    let mut record = vec![0; 8192];
    for _ in 0..300 {
        for byte in &mut record {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            *byte = (state >> 56) as u8;
        }
        tap.note(&Input::Record(Ring::Activity, &record));
    }
    tap.finish();
    drop(tap);
    let recorded = running.finish("stopped", vec![]).unwrap();
    assert_eq!(recorded.records + recorded.lost.records, 300);
    assert!(recorded.lost.records > 0);
    let file = std::fs::read(&path).unwrap();
    assert_eq!(file.len() as u64, recorded.bytes);
    assert!(recorded.bytes <= SIZE_BYTES_MIN, "{}", recorded.bytes);
    let (_, told, fault) = replay(&file, &rules(sample::RULES));
    assert!(fault.is_none(), "{fault:?}");
    assert_eq!(told.end.unwrap().why, "size");
    assert_eq!((told.records, told.lost), (recorded.records, recorded.lost));
}
