//! Reads test files.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_saphyr::{Location, Spanned};

use super::event::TableEvent;
use crate::field::Catalogue;

/// Bytes of a test file. Ours are a hundred times smaller.
const TEST_FILE_BYTES_MAX: usize = 4 << 20;

/// A test file: cases in order.
#[derive(Clone, Debug)]
pub struct TestFile {
    /// Its name, as it was given.
    pub name: String,
    /// Its cases.
    pub cases: Vec<Case>,
}

/// One event, and the rules that are to match it.
#[derive(Clone, Debug)]
pub struct Case {
    /// The file.
    pub file: String,
    /// The line of the case, from 1.
    pub line: u64,
    /// The rule that the case is about.
    pub rule: String,
    /// What happens in it.
    pub name: String,
    /// The event.
    pub event: TableEvent,
    /// Names of all rules that are to match, sorted.
    pub expected: Vec<String>,
}

/// What is wrong with a test file, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{line}:{column}: {message}")]
pub struct TestFileError {
    /// The file.
    pub file: String,
    /// The line, from 1.
    pub line: u64,
    /// The column, from 1.
    pub column: u64,
    /// What is wrong.
    pub message: String,
}

/// Fields as written; `None` takes one out of the event.
type Fields = BTreeMap<String, Spanned<Option<String>>>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawGroup {
    rule: String,
    #[serde(default)]
    event: Fields,
    #[serde(default)]
    ancestors: Vec<Fields>,
    cases: Vec<RawCase>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawCase {
    name: Spanned<String>,
    #[serde(default)]
    change: Fields,
    /// Instead of the group's.
    ancestors: Option<Vec<Fields>>,
    #[serde(default)]
    incomplete: Vec<String>,
    expect: Vec<String>,
}

/// An event that stands alone, with the keys that it has in a test file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawEvent {
    event: Spanned<Fields>,
    #[serde(default)]
    ancestors: Vec<Fields>,
    #[serde(default)]
    incomplete: Vec<String>,
}

/// Reads one event in YAML or JSON: `event`, and where they are wanted `ancestors` and `incomplete`, as in a test file.
/// The file's name is only used to talk about it.
///
/// # Errors
/// The first thing that is wrong with it, with its place.
pub fn parse_event(name: &str, content: &[u8], catalogue: &Catalogue) -> Result<TableEvent, TestFileError> {
    let raw: RawEvent = read(name, content)?;
    let group = RawGroup {
        rule: String::new(),
        event: raw.event.value,
        ancestors: raw.ancestors,
        cases: Vec::new(),
    };
    let case = RawCase {
        name: Spanned::new(String::new(), raw.event.referenced, raw.event.defined),
        change: Fields::new(),
        ancestors: None,
        incomplete: raw.incomplete,
        expect: Vec::new(),
    };
    event(&group, &case, catalogue).map_err(|(place, message)| fault(name, Some(place), message))
}

fn fault(name: &str, location: Option<Location>, message: String) -> TestFileError {
    TestFileError {
        file: name.to_owned(),
        line: location.map_or(1, |location| location.line()),
        column: location.map_or(1, |location| location.column()),
        message,
    }
}

fn read<T: serde::de::DeserializeOwned>(name: &str, content: &[u8]) -> Result<T, TestFileError> {
    if content.len() > TEST_FILE_BYTES_MAX {
        let message = format!("the file is larger than {TEST_FILE_BYTES_MAX} bytes; split it");
        return Err(fault(name, None, message));
    }
    let text = std::str::from_utf8(content).map_err(|bad| fault(name, None, format!("not UTF-8: {bad}")))?;
    serde_saphyr::from_str(text).map_err(|bad| fault(name, bad.location(), first_line(&bad)))
}

impl TestFile {
    /// Reads a test file, whose name is only used to talk about it.
    ///
    /// # Errors
    /// The first thing that is wrong with it, with its place.
    pub fn parse(name: &str, content: &[u8], catalogue: &Catalogue) -> Result<Self, TestFileError> {
        let groups: Vec<RawGroup> = read(name, content)?;
        let mut cases = Vec::new();
        for group in &groups {
            for case in &group.cases {
                let event = event(group, case, catalogue)
                    .map_err(|(place, message)| fault(name, Some(place), message))?;
                let mut expected = case.expect.clone();
                expected.sort_unstable();
                cases.push(Case {
                    file: name.to_owned(),
                    line: case.name.referenced.line(),
                    rule: group.rule.clone(),
                    name: case.name.value.clone(),
                    event,
                    expected,
                });
            }
        }
        Ok(Self {
            name: name.to_owned(),
            cases,
        })
    }
}

/// The library's messages go on with a picture of the place, which callers draw themselves.
fn first_line(error: &serde_saphyr::Error) -> String {
    error
        .without_snippet()
        .to_string()
        .lines()
        .next()
        .unwrap_or_default()
        .to_owned()
}

/// The event of a case. A fault has the place of the value at fault, or of the case.
fn event(group: &RawGroup, case: &RawCase, catalogue: &Catalogue) -> Result<TableEvent, (Location, String)> {
    let mut fields: BTreeMap<&str, &Spanned<Option<String>>> = BTreeMap::new();
    for (name, value) in group.event.iter().chain(&case.change) {
        fields.insert(name, value);
    }
    let ancestors = case.ancestors.as_ref().unwrap_or(&group.ancestors);
    let place = |name: &str| {
        let found = fields
            .get(name)
            .copied()
            .or_else(|| ancestors.iter().find_map(|one| one.get(name)));
        found.map_or(case.name.referenced, |value| value.referenced)
    };
    let all = fields.iter().map(|(name, value)| (*name, *value));
    let kin = ancestors
        .iter()
        .flatten()
        .map(|(name, value)| (name.as_str(), value));
    for (name, value) in all.chain(kin) {
        let Some(text) = &value.value else { continue };
        TableEvent::new(catalogue, [("evt.type", "execve"), (name, text)], &[])
            .map_err(|error| (place(name), error.to_string()))?;
    }
    let given = fields
        .iter()
        .filter_map(|(name, value)| Some((*name, value.value.as_deref()?)));
    let ancestors: Vec<Vec<_>> = ancestors
        .iter()
        .map(|one| {
            one.iter()
                .filter_map(|(name, value)| Some((name.as_str(), value.value.as_deref()?)))
                .collect()
        })
        .collect();
    TableEvent::new(catalogue, given, &ancestors)
        .map_err(|error| error.to_string())
        .and_then(|event| {
            let incomplete = case.incomplete.iter().map(String::as_str);
            event
                .with_incomplete(catalogue, incomplete)
                .map_err(|error| error.to_string())
        })
        .map_err(|message| (case.name.referenced, message))
}
