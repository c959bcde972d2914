//! Records and recordings made by hand.

use std::mem::offset_of;

use sensor_common::{
    LAYOUT_VERSION,
    kind::{Kind, Ring},
    record::{Exec, Header as Head, Identity, Open},
    syscall::Call,
};

use crate::{
    clock::Clock,
    pipeline::Tick,
    recording::{
        chunk,
        header::Header,
        item::{self, End, Input},
    },
    state::{
        process::{Image, ProcessKey},
        programs::When,
        seed::Seeded,
    },
};

pub(super) const SECOND_NS: u64 = 1_000_000_000;

/// Rules that the recording of [`items`] matches: twice the first, once the second, never the third.
pub(super) const RULES: &str = "
- rule: Cat reads
  desc: d
  condition: evt.type in (open, openat) and proc.name = cat
  output: '%fd.name by %proc.cmdline of %proc.pname at %evt.rawtime'
  priority: NOTICE
- rule: Cat starts
  desc: d
  condition: evt.type = execve and proc.name = cat
  output: '%proc.cmdline by %user.name'
  priority: NOTICE
- rule: Dog starts
  desc: d
  condition: evt.type = execve and proc.name = dog
  output: '%proc.cmdline'
  priority: NOTICE
";

pub(super) fn header() -> Header {
    Header {
        id: "0123456789abcdef0123456789abcdef".into(),
        sensor: "0.1.0".into(),
        layout: LAYOUT_VERSION,
        kernel: "6.18.0".into(),
        machine: "x86_64".into(),
        hostname: "there".into(),
        start_ns: SECOND_NS,
        clock_offset_ns: 1_700_000_000 * 1_000_000_000,
        events: ["clone", "execve", "execveat", "openat", "procexit"]
            .map(String::from)
            .into(),
        degraded: vec![],
        processes_max: 1024,
        exited_keep_ns: SECOND_NS,
        cgroups_max: 64,
        facts_wait_ns: 0,
        programs: When::default(),
    }
}

/// A record of a process: header, fixed part, and texts whose spans stand at these offsets of the fixed part.
fn record(kind: Kind, tgid: u32, time_ns: u64, mut fixed: Vec<u8>, texts: &[(usize, &[u8])]) -> Vec<u8> {
    let mut tail = Vec::new();
    for (at, text) in texts {
        let offset = u16::try_from(size_of::<Head>() + fixed.len() + tail.len()).unwrap();
        let len = u16::try_from(text.len()).unwrap();
        fixed[*at..at + 2].copy_from_slice(&offset.to_ne_bytes());
        fixed[at + 2..at + 4].copy_from_slice(&len.to_ne_bytes());
        tail.extend_from_slice(text);
    }
    let mut bytes = vec![0; size_of::<Head>()];
    let mut put = |at: usize, value: &[u8]| bytes[at..at + value.len()].copy_from_slice(value);
    let len = u32::try_from(size_of::<Head>() + fixed.len() + tail.len()).unwrap();
    put(offset_of!(Head, len), &len.to_ne_bytes());
    put(offset_of!(Head, version), &[LAYOUT_VERSION]);
    put(offset_of!(Head, kind), &[kind as u8]);
    put(offset_of!(Head, time_ns), &time_ns.to_ne_bytes());
    put(offset_of!(Head, start_time_ns), &u64::from(tgid).to_ne_bytes());
    put(offset_of!(Head, tgid), &tgid.to_ne_bytes());
    put(offset_of!(Head, tid), &tgid.to_ne_bytes());
    put(offset_of!(Head, comm), b"cat");
    bytes.extend_from_slice(&fixed);
    bytes.extend_from_slice(&tail);
    bytes
}

pub(super) fn exec(tgid: u32, time_ns: u64) -> Vec<u8> {
    let mut fixed = vec![0; size_of::<Exec>()];
    let parent = offset_of!(Exec, identity) + offset_of!(Identity, parent_tgid);
    fixed[parent..parent + 4].copy_from_slice(&7_u32.to_ne_bytes());
    let texts = [
        (offset_of!(Exec, path), &b"/bin/cat"[..]),
        (offset_of!(Exec, argv), b"cat\0/etc/shadow\0"),
        (offset_of!(Exec, cgroup), b"/user.slice"),
    ];
    record(Kind::Exec, tgid, time_ns, fixed, &texts)
}

pub(super) fn open(tgid: u32, time_ns: u64, path: &[u8]) -> Vec<u8> {
    let mut fixed = vec![0; size_of::<Open>()];
    let call = offset_of!(Open, call);
    fixed[call..call + 4].copy_from_slice(&(Call::OpenAt as u32).to_ne_bytes());
    record(
        Kind::Open,
        tgid,
        time_ns,
        fixed,
        &[(offset_of!(Open, path), path)],
    )
}

/// What is recorded of a shell that starts `cat`, which reads two files.
pub(super) fn items(records: &[(Ring, Vec<u8>)]) -> Vec<Input<'_>> {
    let shell = Seeded {
        key: ProcessKey {
            tgid: 7,
            start_time_ns: 10_000_000,
        },
        image: Image {
            name: (*b"shell").into(),
            argv: (*b"shell\0\xff\0").into(),
            ..Image::default()
        },
        cgroup_path: (*b"/user.slice").into(),
        ..Seeded::default()
    };
    let mut items = vec![
        Input::Seeded(Box::new(shell)),
        Input::Planted(4_026_531_840),
        Input::Now(2 * SECOND_NS),
    ];
    items.extend(records.iter().map(|(ring, bytes)| Input::Record(*ring, bytes)));
    items.push(Input::Idle(3 * SECOND_NS));
    items.push(Input::Tick(Tick {
        now_ns: 3 * SECOND_NS,
        clock: Clock::from_offset_ns(5),
        losses: vec![],
    }));
    items.push(Input::End(End {
        why: "stopped".into(),
        records: records.len() as u64,
        ..End::default()
    }));
    items
}

pub(super) fn records() -> Vec<(Ring, Vec<u8>)> {
    let at = 2 * SECOND_NS;
    vec![
        (Ring::Lifecycle, exec(100, at)),
        (Ring::Activity, open(100, at + 1, b"/etc/shadow")),
        (Ring::Activity, open(100, at + 2, b"/etc/\xff")),
    ]
}

/// A file with one chunk for each of these lists of items.
pub(super) fn file(header: &Header, chunks: &[&[Input<'_>]]) -> Vec<u8> {
    let mut file = Vec::new();
    header.write(&mut file).unwrap();
    for (number, inputs) in (0..).zip(chunks) {
        let mut items = Vec::new();
        for input in *inputs {
            item::encode(input, &mut items).unwrap();
        }
        chunk::write(&mut file, number, &items, &mut Vec::new()).unwrap();
    }
    file
}

/// The sample as a file, each item in a chunk of its own.
pub(super) fn whole() -> Vec<u8> {
    let records = records();
    let items = items(&records);
    let chunks: Vec<_> = items.chunks(1).collect();
    file(&header(), &chunks)
}
