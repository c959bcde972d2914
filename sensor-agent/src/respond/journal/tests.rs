use std::fs::{read, write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::{Entry, Journal, JournalError, Run, verify};

const RUN: Run<'static> = Run {
    id: "r0",
    hook: "h",
    detection: "d",
    rule: "R",
    mode: "act",
    detail: "kill 7",
};

fn outcome(run: Run<'_>) -> Entry<'_> {
    Entry::Outcome {
        run,
        outcome: "done",
        duration_ms: 1,
        output: None,
    }
}

/// A journal with an opening line, and three intents with their outcomes.
fn written(folder: &Path) -> PathBuf {
    let path = folder.join("below/journal");
    let (mut journal, recovery) = Journal::open(&path, 1 << 20).unwrap();
    assert!(recovery.is_clean());
    for id in ["r1", "r2", "r3"] {
        let run = Run { id, ..RUN };
        journal.append(&Entry::Intent(run)).unwrap();
        journal.append(&outcome(run)).unwrap();
    }
    path
}

#[test]
fn a_chain_verifies_and_goes_on_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let path = written(folder.path());
    let first = verify(&path).unwrap();
    assert_eq!((first.records, first.first_seq, first.torn_bytes), (7, 0, 0));
    assert!(first.unfinished.is_empty());
    let (mut journal, recovery) = Journal::open(&path, 1 << 20).unwrap();
    assert!(recovery.is_clean());
    journal.append(&Entry::Intent(RUN)).unwrap();
    let second = verify(&path).unwrap();
    assert_eq!(second.records, 9);
    assert_ne!(first.head, second.head);
    assert_eq!(second.unfinished, ["r0"]);
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn every_kind_of_tampering_is_seen() {
    let folder = tempfile::tempdir().unwrap();
    let path = written(folder.path());
    let text = String::from_utf8(read(&path).unwrap()).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let join = |lines: &[&str]| lines.iter().flat_map(|line| [line, "\n"]).collect::<String>();
    let without = |at: usize| join(&[&lines[..at], &lines[at + 1..]].concat());
    let swapped = {
        let mut lines = lines.clone();
        lines.swap(2, 3);
        join(&lines)
    };
    let cases = [
        ("changed", text.replacen("kill 7", "kill 8", 1), 3),
        ("removed", without(2), 3),
        (
            "first removed, second renumbered",
            without(0).replacen("\"seq\":1", "\"seq\":0", 1),
            1,
        ),
        ("doubled", join(&[&lines[..3], &lines[2..]].concat()), 4),
        ("swapped", swapped, 3),
        ("not json", text.replacen(lines[3], "x", 1), 4),
    ];
    for (name, tampered, expected) in cases {
        write(&path, tampered).unwrap();
        match verify(&path) {
            Err(JournalError::Broken { line, .. }) => assert_eq!(line, expected, "{name}"),
            other => panic!("{name}: {other:?}"),
        }
        let (_, recovery) = Journal::open(&path, 1 << 20).unwrap();
        assert!(recovery.broken.is_some(), "{name}: seen at start as well");
    }
}

#[test]
fn a_torn_last_line_is_cut_off_and_said() {
    let folder = tempfile::tempdir().unwrap();
    let path = written(folder.path());
    let whole = read(&path).unwrap();
    // Up to the third run's intent, and a part of its outcome.
    write(&path, &whole[..whole.len() - 10]).unwrap();
    let torn_bytes = verify(&path).unwrap().torn_bytes;
    assert!(torn_bytes > 100);
    let (_, recovery) = Journal::open(&path, 1 << 20).unwrap();
    assert_eq!(recovery.torn_bytes, torn_bytes);
    assert_eq!(recovery.unfinished, ["r3"]);
    let after = verify(&path).unwrap();
    assert_eq!((after.records, after.torn_bytes), (7, 0));
    let last = String::from_utf8(read(&path).unwrap()).unwrap();
    let last = last.lines().last().unwrap();
    assert!(
        last.contains(&format!("\"kind\":\"opened\",\"torn_bytes\":{torn_bytes}")),
        "{last}"
    );
}

#[test]
fn a_full_journal_is_continued_in_a_new_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal");
    let (mut journal, _) = Journal::open(&path, 2000).unwrap();
    for _ in 0..20 {
        journal.append(&outcome(RUN)).unwrap();
        assert!(path.metadata().unwrap().len() <= 2000);
    }
    let verified = verify(&path).unwrap();
    assert!(verified.first_seq > 0);
    let earlier_files = verified.first_seq / (verified.records - 1);
    assert_eq!(
        verified.first_seq + verified.records,
        21 + earlier_files,
        "one line to continue each"
    );
    let earlier = folder.path().join("journal.1");
    let text = String::from_utf8(read(&earlier).unwrap()).unwrap();
    let cut = text.lines().next().unwrap().to_owned() + "\n";
    write(&earlier, cut).unwrap();
    assert!(matches!(verify(&path), Err(JournalError::Broken { line: 1, .. })));
}

#[test]
fn one_agent_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal");
    let held = Journal::open(&path, 1 << 20).unwrap();
    assert!(matches!(
        Journal::open(&path, 1 << 20),
        Err(JournalError::Locked(_))
    ));
    drop(held);
    Journal::open(&path, 1 << 20).unwrap();
}

#[test]
fn a_link_in_its_place_is_not_followed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal");
    std::os::unix::fs::symlink("/dev/null", &path).unwrap();
    assert!(matches!(
        Journal::open(&path, 1 << 20),
        Err(JournalError::Io { .. })
    ));
}
