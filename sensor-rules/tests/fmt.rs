//! Formatting changes the layout of rule files, never what they say.
#![expect(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test that cannot go on fails; figures go to the test's output"
)]

use std::path::{Path, PathBuf};

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use sensor_rules::fmt::format;
use sensor_rules::load::{LoadOptions, Loaded, Loader};

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the crate lies in the repository")
}

/// Our rule files in the order in which they load.
fn own_files() -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![repository().join("rules")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "yaml")
                && !path.to_string_lossy().ends_with(".test.yaml")
            {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// Falco's own files, where this machine has them.
fn falco_files() -> Vec<PathBuf> {
    let shared = repository().ancestors().skip(1).take(2);
    let folder = shared
        .map(|above| above.join("shared/falco-rules"))
        .find(|path| path.is_dir());
    let names = ["falco_rules.yaml", "falco-incubating_rules.yaml"];
    folder.map_or_else(Vec::new, |folder| names.map(|name| folder.join(name)).into())
}

fn load(texts: &[String]) -> Loaded {
    let mut files = Loader::new(LoadOptions::default());
    for (position, text) in texts.iter().enumerate() {
        let result = files.add_file(&position.to_string(), text.as_bytes());
        assert!(result.is_ok(), "{:?}", result.errors);
    }
    files.finish()
}

/// All that is loaded, conditions as they are compiled.
fn said(loaded: &Loaded) -> Vec<String> {
    let rules = loaded.rules.iter().map(|rule| {
        let condition = rule.compiled_condition.as_ref().map(ToString::to_string);
        let events = rule.event_types.map(|types| types.len());
        format!(
            "{} {} {:?} {} {:?} {:?} {:?} {:?} {condition:?} {events:?}",
            rule.name,
            rule.description,
            rule.compiled_output,
            rule.source,
            rule.priority,
            rule.tags,
            rule.exceptions,
            rule.enabled,
        )
    });
    let macros = loaded
        .macros
        .iter()
        .map(|one| format!("{} {}", one.name, one.used));
    let lists = loaded
        .lists
        .iter()
        .map(|one| format!("{} {:?} {}", one.name, one.items, one.used));
    rules.chain(macros).chain(lists).collect()
}

#[test]
fn formatted_files_load_as_the_same_rules() {
    for files in [own_files(), falco_files()] {
        let before: Vec<_> = files
            .iter()
            .map(|path| std::fs::read_to_string(path).unwrap())
            .collect();
        let after: Vec<_> = before.iter().map(|text| format(text).unwrap()).collect();
        let changed = before
            .iter()
            .zip(&after)
            .filter(|(before, after)| before != after)
            .count();
        println!("{changed} of {} files change", files.len());
        assert_eq!(said(&load(&before)), said(&load(&after)));
        for text in &after {
            assert_eq!(
                format(text).as_ref(),
                Ok(text),
                "formatting again changes nothing"
            );
        }
    }
}

#[test]
fn comments_stay() {
    for path in own_files().into_iter().chain(falco_files()) {
        let text = std::fs::read_to_string(&path).unwrap();
        let comments = |text: &str| {
            let lines = text.lines().filter(|line| line.trim_start().starts_with('#'));
            lines.map(|line| line.trim_end().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(
            comments(&text),
            comments(&format(&text).unwrap()),
            "{}",
            path.display()
        );
    }
}

/// Words of conditions, whether or not they make sense together.
const WORDS: [&str; 14] = [
    "and",
    "or",
    "not",
    "(",
    ")",
    "proc.name",
    "=",
    "in",
    "(aaa,",
    "bbb)",
    "((x.y",
    "\"a and  (b\"",
    "'#'",
    "# no comment",
];
const BREAKS: [&str; 8] = [
    " ",
    " ",
    " ",
    "   ",
    "\n    ",
    "\n\n\n    ",
    "\n       ",
    " \t\n     ",
];

/// A condition that its author laid out somehow.
fn laid_out() -> impl Strategy<Value = String> {
    let word = prop_oneof![
        8 => select(&WORDS[..]).prop_map(str::to_owned),
        1 => (30_usize..150).prop_map(|length| "w".repeat(length)),
    ];
    vec((word, select(&BREAKS[..])), 1..60).prop_map(|words| {
        let text: String = words
            .iter()
            .flat_map(|(word, blank)| [word.as_str(), blank])
            .collect();
        text.trim_end().to_owned()
    })
}

fn file(condition: &str) -> String {
    format!(
        "# About\n- macro: m  # it\n  condition: >\n    {condition}\n\n\n  # After\n- list: l\n  items: [a,   # one\n    b]\n"
    )
}

/// The lines of the condition in [`file`].
fn lines(file: &str) -> Vec<&str> {
    let above = file.lines().skip_while(|line| !line.contains("condition:"));
    above
        .skip(1)
        .take_while(|line| line.trim().is_empty() || line.starts_with("    "))
        .collect()
}

/// The position among all words of each line's first word, without the operators that lead it.
fn breaks(lines: &[&str]) -> Vec<usize> {
    let (mut words, mut found) = (0, Vec::new());
    for line in lines {
        let own: Vec<_> = line.split_whitespace().collect();
        let operators = own.iter().take_while(|word| is_operator(word)).count();
        if operators < own.len() {
            found.push(words + operators);
        }
        words += own.len();
    }
    found
}

fn is_operator(word: &str) -> bool {
    matches!(word, "and" | "or")
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(1000) })]

    #[test]
    fn formatting_keeps_words_comments_and_the_lines_of_the_author(condition in laid_out()) {
        let text = file(&condition);
        let once = format(&text).unwrap();
        prop_assert_eq!(&format(&once).unwrap(), &once, "formatting again changes nothing");
        prop_assert!(text.split_whitespace().eq(once.split_whitespace()), "{}", once);
        for part in ["# About\n- macro: m  # it\n  condition: >\n    ", "\n\n  # After\n- list: l\n  items: [a,   # one\n    b]\n"] {
            prop_assert!(once.contains(part), "{}", once);
        }
        let (authored, laid_out) = (lines(&text), lines(&once));
        let kept = breaks(&laid_out);
        for place in breaks(&authored) {
            prop_assert!(kept.contains(&place), "a line of the author is joined\n{}\n{}", text, once);
        }
        for line in laid_out {
            let words = line.split_whitespace().skip_while(|word| is_operator(word));
            let is_short = line.chars().count() <= 120 || words.count() <= 3;
            prop_assert!(is_short && line == line.trim_end(), "{}", line);
        }
    }
}
