//! That `docs/evasion.md` leaves nothing out: each entry of the catalogue's tiers has a row there, and each test that a
//! row names exists.
//!
//! The catalogue is `reference/evasion.md` of the shared data, which is not part of this repository; without it the first
//! of these tests says so.

use std::{collections::BTreeSet, fs, path::Path};

use sensor_tests::{binary, report};

fn catalogue() -> Option<String> {
    fs::read_to_string(binary::shared("reference/evasion.md")?).ok()
}

/// The cells of each row of a table.
fn rows(text: &str) -> impl Iterator<Item = Vec<&str>> {
    text.lines()
        .filter(|line| line.starts_with("| "))
        .map(|line| line.trim_matches('|').split(" | ").map(str::trim).collect())
}

/// Ids in a cell, such as `P01–P03, E05 (sctp)`.
fn ids(cell: &str) -> Vec<String> {
    let is_id = |word: &str| {
        word.len() == 3 && word.starts_with(char::is_uppercase) && word[1..].parse::<u8>().is_ok()
    };
    let of = |part: &str| {
        let (first, last) = part.split_once('–').unwrap_or((part, part));
        if !is_id(first) || !is_id(last) {
            return Vec::new();
        }
        let number = |id: &str| id[1..].parse::<u8>().unwrap();
        (number(first)..=number(last))
            .map(|number| format!("{}{number:02}", &first[..1]))
            .collect()
    };
    cell.split([',', ' ']).flat_map(|part| of(part.trim())).collect()
}

fn documented() -> String {
    fs::read_to_string(binary::repository().join("docs/evasion.md")).unwrap()
}

#[test]
fn every_entry_of_the_catalogue_s_tiers_has_a_row() {
    let Some(catalogue) = catalogue() else {
        report::skip("the shared catalogue is not here");
        return;
    };
    let tiers: BTreeSet<_> = rows(&catalogue)
        .filter(|row| row[0].starts_with(['1', '2', '3']) && row[0].get(1..2) == Some(":"))
        .flat_map(|row| ids(row[1]))
        .collect();
    assert!(tiers.len() > 60, "that is no catalogue: {tiers:?}");
    let text = documented();
    let told: BTreeSet<_> = rows(&text).flat_map(|row| ids(row[0])).collect();
    let missing: Vec<_> = tiers.difference(&told).collect();
    assert!(missing.is_empty(), "docs/evasion.md has no row for {missing:?}");
    report::note(format_args!(
        "{} entries of three tiers have their rows",
        tiers.len()
    ));
}

/// Every Rust source below a folder, as one text.
fn sources(folder: &Path, into: &mut String) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, into);
        } else if path.extension().is_some_and(|kind| kind == "rs") {
            into.push_str(&fs::read_to_string(&path).unwrap());
        }
    }
}

#[test]
fn every_test_that_is_named_exists() {
    let mut text = String::new();
    for folder in ["tests/tests", "sensor-agent", "sensor-common", "sensor-rules"] {
        sources(&binary::repository().join(folder), &mut text);
    }
    let documented = documented();
    let named = rows(&documented).flat_map(|row| {
        let cell = row.last().copied().unwrap_or_default();
        let words = cell.split('`').skip(1).step_by(2).map(str::to_owned);
        words.collect::<Vec<_>>()
    });
    let is_name = |word: &String| !word.contains(['/', '.']) && word.contains('_');
    let missing: Vec<_> = named
        .filter(is_name)
        .filter(|word| {
            let begin = word.trim_end_matches('…');
            let end = if begin == word { "(" } else { "" };
            !text.contains(&format!("fn {begin}{end}"))
        })
        .collect();
    assert!(
        missing.is_empty(),
        "docs/evasion.md names tests that do not exist: {missing:?}"
    );
}
