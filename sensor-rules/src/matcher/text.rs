//! Sets of text constants.

use std::cmp::Ordering;

use aho_corasick::{AhoCorasick, AhoCorasickBuilder, MatchKind};
use hashbrown::HashSet;
use memchr::memmem::Finder;
use regex::Regex;

use super::path::PathSet;
use super::{compile_regex, glob_matches, orders};
use crate::ir::Relation;

/// Text constants of which any may relate to the text.
#[derive(Clone, Debug)]
pub(crate) enum TextSet {
    Nothing,
    One(Box<[u8]>),
    Equal(HashSet<Box<[u8]>, foldhash::fast::RandomState>),
    /// Sorted; none starts with another.
    Prefixes(Box<[Box<[u8]>]>),
    /// Sorted from their ends; none ends in another.
    Suffixes(Box<[Box<[u8]>]>),
    Contains(Box<Finder<'static>>),
    ContainsAny(Box<AhoCorasick>),
    Globs(Box<[Box<[u8]>]>, bool),
    Regexes(Box<[Regex]>),
    Paths(Box<PathSet>),
    Order(Relation, Box<[Box<[u8]>]>),
}

impl TextSet {
    /// The set of texts that relate so to any of `texts`. What the check refuses (a bad pattern) matches nothing.
    pub(super) fn new(relation: Relation, texts: &[Vec<u8>]) -> Self {
        let boxed = || texts.iter().map(|text| text.clone().into_boxed_slice());
        match (relation, texts) {
            (_, []) => Self::Nothing,
            (Relation::Eq, [only]) => Self::One(only.clone().into()),
            (Relation::Eq, _) => Self::Equal(boxed().collect()),
            (Relation::StartsWith, _) => {
                Self::Prefixes(minimal(boxed().collect(), Ord::cmp, <[u8]>::starts_with))
            }
            (Relation::EndsWith, _) => Self::Suffixes(minimal(boxed().collect(), from_end, |text, part| {
                text.ends_with(part)
            })),
            (Relation::Contains, [only]) => Self::Contains(Box::new(Finder::new(only).into_owned())),
            (Relation::Contains | Relation::IContains, _) => {
                automaton(texts, relation == Relation::IContains)
            }
            (Relation::Glob | Relation::IGlob, _) => {
                Self::Globs(boxed().collect(), relation == Relation::IGlob)
            }
            (Relation::Regex, _) => {
                Self::Regexes(texts.iter().filter_map(|text| compile_regex(text).ok()).collect())
            }
            (Relation::Below, _) => Self::Paths(Box::new(PathSet::new(texts))),
            (Relation::Ne | Relation::Lt | Relation::Le | Relation::Gt | Relation::Ge, _) => {
                Self::Order(relation, boxed().collect())
            }
        }
    }

    #[inline]
    pub(super) fn matches(&self, text: &[u8]) -> bool {
        match self {
            Self::Nothing => false,
            Self::One(constant) => **constant == *text,
            Self::Equal(set) => set.contains(text),
            Self::Prefixes(prefixes) => {
                let at = prefixes.partition_point(|prefix| **prefix <= *text);
                at > 0 && text.starts_with(&prefixes[at - 1])
            }
            Self::Suffixes(suffixes) => {
                let at = suffixes.partition_point(|suffix| from_end(suffix, text) != Ordering::Greater);
                at > 0 && text.ends_with(&suffixes[at - 1])
            }
            Self::Contains(finder) => finder.find(text).is_some(),
            Self::ContainsAny(automaton) => automaton.is_match(text),
            Self::Globs(patterns, fold) => patterns.iter().any(|pattern| glob_matches(pattern, text, *fold)),
            Self::Regexes(regexes) => {
                let text = String::from_utf8_lossy(text);
                regexes.iter().any(|regex| regex.is_match(&text))
            }
            Self::Paths(paths) => paths.matches(text),
            Self::Order(relation, constants) => constants
                .iter()
                .any(|constant| orders(*relation, text, &**constant)),
        }
    }
}

/// Compares from the last byte to the first.
fn from_end(a: &[u8], b: &[u8]) -> Ordering {
    a.iter().rev().cmp(b.iter().rev())
}

/// Sorts, and leaves out every text that another makes superfluous. In what is left, the only candidate for a text is
/// the last that is not greater: anything between a prefix and a text that it starts starts with the prefix too.
fn minimal(
    mut texts: Vec<Box<[u8]>>,
    order: fn(&[u8], &[u8]) -> Ordering,
    covers: fn(&[u8], &[u8]) -> bool,
) -> Box<[Box<[u8]>]> {
    texts.sort_unstable_by(|a, b| order(a, b));
    texts.dedup_by(|later, earlier| covers(later, earlier));
    texts.into_boxed_slice()
}

fn automaton(texts: &[Vec<u8>], fold: bool) -> TextSet {
    let built = AhoCorasickBuilder::new()
        .match_kind(MatchKind::LeftmostFirst)
        .ascii_case_insensitive(fold)
        .build(texts);
    // It fails only beyond limits of size that the bound on constants keeps far away.
    built.map_or(TextSet::Nothing, |automaton| {
        TextSet::ContainsAny(Box::new(automaton))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    type Naive = fn(&str, &str) -> bool;

    fn set(relation: Relation, texts: &[&str]) -> TextSet {
        TextSet::new(
            relation,
            &texts
                .iter()
                .map(|text| text.as_bytes().to_vec())
                .collect::<Vec<_>>(),
        )
    }

    #[test]
    fn sets_agree_with_one_comparison_at_a_time() {
        let texts = ["", "a", "ab", "abc", "b", "ba", "cab", "abcab", "B", "zzz", "aab"];
        let constants = [
            &["a"][..],
            &["ab", "b"],
            &["abc", "ab", "b", "ab"],
            &["", "zz"],
            &["ca", "c", "zzz"],
        ];
        let relations: [(Relation, Naive); 5] = [
            (Relation::Eq, |text, part| text == part),
            (Relation::StartsWith, |text, part| text.starts_with(part)),
            (Relation::EndsWith, |text, part| text.ends_with(part)),
            (Relation::Contains, |text, part| text.contains(part)),
            (Relation::IContains, |text, part| {
                text.to_lowercase().contains(&part.to_lowercase())
            }),
        ];
        for (relation, naive) in relations {
            for constants in constants {
                for text in texts {
                    let expected = constants.iter().any(|constant| naive(text, constant));
                    let found = set(relation, constants).matches(text.as_bytes());
                    assert_eq!(found, expected, "{relation:?} {constants:?} {text}");
                }
            }
        }
    }
}
