use sensor_common::{kind::Kind, record};

use super::*;
use crate::event::{Body, Event};

const SECOND_NS: u64 = 1_000_000_000;

fn key(tgid: u32, start_time_ns: u64) -> ProcessKey {
    ProcessKey { tgid, start_time_ns }
}

fn process(own: ProcessKey, parent: Option<ProcessKey>) -> Process {
    Process {
        key: own,
        parent,
        identity: Identity::default(),
        uid: 0,
        gid: 0,
        images: smallvec::smallvec![Image::unknown(b"x")],
        home: Home::default(),
        cgroup: None,
        exited_ns: None,
        is_approximate: false,
        children: 0,
    }
}

fn exec(own: ProcessKey, time_ns: u64, argv: &[u8]) -> (record::Header, record::Exec, Vec<u8>) {
    let mut header = record::Header {
        tgid: own.tgid,
        start_time_ns: own.start_time_ns,
        time_ns,
        kind: Kind::Exec as u8,
        ..Default::default()
    };
    header.comm[..3].copy_from_slice(b"cat");
    (header, record::Exec::default(), argv.to_vec())
}

fn apply_exec(table: &mut Processes, own: ProcessKey, time_ns: u64, argv: &[u8]) {
    let (header, fixed, argv) = exec(own, time_ns, argv);
    let body = Exec {
        fixed,
        path: b"/bin/cat",
        filename: b"cat",
        interpreter: b"",
        argv: &argv,
        cwd: b"/",
        cgroup: b"/",
    };
    let event = Event {
        header,
        body: Body::Exec(body.clone()),
    };
    table.exec(&event, &body, 0, Arc::new(Cgroup::new(1, b"/")), Home::default());
}

#[test]
fn an_event_is_told_with_the_program_that_ran_when_it_happened() {
    let mut table = Processes::new(100, SECOND_NS);
    let own = key(7, 100);
    table.insert(process(own, None), 100);
    apply_exec(&mut table, own, 200, b"first\0");
    apply_exec(&mut table, own, 300, b"second\0a b\0");
    let at = |time_ns| table.image_at(own, time_ns).unwrap().cmdline.clone();
    assert_eq!(
        (&*at(150), &*at(250), &*at(900)),
        (&b""[..], &b"cat"[..], &b"cat a b"[..])
    );
}

#[test]
fn only_so_many_programs_of_a_process_are_kept() {
    let mut table = Processes::new(100, SECOND_NS);
    let own = key(7, 100);
    for time in 0..50 {
        apply_exec(&mut table, own, 200 + time, b"x\0");
    }
    let images = &table.get(own).unwrap().images;
    assert_eq!((images.len(), images.last().unwrap().since_ns), (IMAGES_MAX, 249));
}

#[test]
fn an_id_that_is_used_again_is_another_process() {
    let mut table = Processes::new(100, SECOND_NS);
    table.insert(process(key(7, 100), None), 100);
    table.exit(key(7, 100), 150);
    table.insert(process(key(7, 200), None), 200);
    assert_eq!(table.len(), 2);
    assert!(table.get(key(7, 100)).unwrap().exited_ns.is_some());
    assert!(table.get(key(7, 200)).unwrap().exited_ns.is_none());
    assert!(table.get(key(7, 300)).is_none());
}

#[test]
fn a_process_from_proc_gets_its_exact_start_time() {
    let mut table = Processes::new(100, SECOND_NS);
    let mut seeded = process(key(7, 5 * TICK_NS), None);
    seeded.is_approximate = true;
    table.insert(seeded, 0);
    let exact = key(7, 5 * TICK_NS + 1234);
    assert!(table.get(key(7, 6 * TICK_NS)).is_none());
    assert_eq!(table.get_or_upgrade(exact).unwrap().key, exact);
    assert!(table.get(key(7, 5 * TICK_NS + 99)).is_none());
}

#[test]
fn lineage_survives_parents_that_end_first_and_is_forgotten_with_the_last_child() {
    let mut table = Processes::new(100, SECOND_NS);
    let keys: Vec<_> = (1..=4).map(|tgid| key(tgid, u64::from(tgid))).collect();
    table.insert(process(keys[0], None), 0);
    for pair in keys.windows(2) {
        table.insert(process(pair[1], Some(pair[0])), 0);
    }
    table.exit(keys[1], 10);
    table.exit(keys[2], 20);
    table.sweep(50 * SECOND_NS);
    let lineage: Vec<_> = table
        .ancestors(table.get(keys[3]).unwrap())
        .map(|ancestor| ancestor.key.tgid)
        .collect();
    assert_eq!(lineage, [3, 2, 1]);
    table.exit(keys[3], 60 * SECOND_NS);
    table.sweep(60 * SECOND_NS);
    assert_eq!(table.len(), 4, "kept for late events");
    table.sweep(62 * SECOND_NS);
    assert_eq!(table.len(), 1, "the first one lives");
}

#[test]
fn a_process_that_names_itself_as_its_parent_has_an_end() {
    let mut table = Processes::new(100, SECOND_NS);
    table.insert(process(key(1, 1), Some(key(1, 1))), 0);
    assert!(table.ancestors(table.get(key(1, 1)).unwrap()).count() <= 1);
    table.insert(process(key(2, 2), Some(key(3, 3))), 0);
    table.insert(process(key(3, 3), Some(key(2, 2))), 0);
    assert_eq!(
        table.ancestors(table.get(key(2, 2)).unwrap()).count(),
        ANCESTORS_MAX as usize
    );
}

#[test]
fn a_full_table_drops_the_ended_first_and_stays_within_its_bound() {
    let mut table = Processes::new(10, SECOND_NS);
    for tgid in 0..5 {
        table.insert(process(key(tgid, 1), None), 0);
    }
    for tgid in 5..500 {
        table.insert(process(key(tgid, 1), None), u64::from(tgid));
        table.exit(key(tgid, 1), u64::from(tgid));
        assert!(table.len() <= 10);
    }
    for tgid in 0..5 {
        assert!(table.get(key(tgid, 1)).is_some(), "{tgid} lives");
    }
    assert_eq!(table.evicted, 490);
}

#[test]
fn a_command_line_is_the_name_and_the_arguments() {
    let cases: [(&[u8], &[u8], &[u8]); 4] = [
        (b"sh", b"/bin/sh\0-c\0echo 'a b'\0", b"sh -c echo 'a b'"),
        (b"sh", b"", b"sh"),
        (b"sh", b"sh\0", b"sh"),
        (b"sh", b"sh\0\0x\0", b"sh  x"),
    ];
    for (name, argv, expected) in cases {
        assert_eq!(&*cmdline(name, argv), expected);
    }
}

#[test]
fn a_namespace_that_is_joined_changes_not_where_children_are_known_to_come_from() {
    let mut table = Processes::new(100, SECOND_NS);
    let own = key(7, 100);
    table.insert(process(own, None), 100);
    let mut call = IdentityCall::default();
    call.identity.mount_ns = 4_026_532_000;
    call.identity.net_ns = 4_026_532_001;
    table.identify(own, 200, &call);
    let identity = table.get(own).unwrap().identity;
    assert_eq!((identity.mount_ns, identity.net_ns), (0, 4_026_532_001));
}

#[test]
fn a_process_is_found_by_its_id_within_its_own_namespace() {
    const INNER: u32 = 4_026_532_200;
    let mut table = Processes::new(16, 0);
    let mut add = |tgid: u32, start_time_ns, pid_ns, vpid| {
        let mut process = process(key(tgid, start_time_ns), None);
        process.identity.pid_ns = pid_ns;
        process.identity.vpid = vpid;
        table.insert(process, 0);
    };
    add(100, 1, INNER, 1);
    add(101, 2, INNER, 7);
    add(7, 3, INITIAL_PID_NS, 7);
    // The id is used again within, and the number outside, too.
    add(102, 4, INNER, 7);
    add(101, 5, INNER + 1, 7);
    let of = |table: &Processes, pid_ns, id| table.within(pid_ns, id).map(|found| found.key.tgid);
    assert_eq!(of(&table, INNER, 1), Some(100));
    assert_eq!(of(&table, INNER, 7), Some(102));
    assert_eq!(of(&table, INNER + 1, 7), Some(101));
    assert_eq!(of(&table, INITIAL_PID_NS, 7), Some(7));
    assert_eq!(of(&table, INITIAL_PID_NS, 1), None);
    assert_eq!(of(&table, 0, 7), None);
    for (tgid, start_time_ns) in [(102, 4), (101, 5), (101, 2), (100, 1)] {
        table.exit(key(tgid, start_time_ns), 10);
    }
    table.sweep(SECOND_NS);
    assert_eq!(of(&table, INNER, 7), None);
    assert!(table.by_own_id.is_empty(), "{:?}", table.by_own_id);
}
