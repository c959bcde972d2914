//! Paths that tests name, as the kernel looks them up.

use std::collections::BTreeMap;

use sensor_common::enforce::PATH_KEY_BYTES;

/// One path, or the beginning of paths.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PathPattern {
    /// The bytes; of a whole path with a zero byte behind, as the kernel pads it.
    bytes: Vec<u8>,
}

impl PathPattern {
    /// `None` for what is no absolute path, or too long.
    pub(super) fn new(text: &[u8], is_beginning: bool) -> Option<Self> {
        let is_path = text.first() == Some(&b'/') && !text.contains(&0) && text.len() < PATH_KEY_BYTES;
        let mut bytes = text.to_vec();
        if !is_beginning {
            bytes.push(0);
        }
        is_path.then_some(Self { bytes })
    }

    /// Whether each path that the other one holds is held by this one.
    fn holds(&self, other: &Self) -> bool {
        other.bytes.starts_with(&self.bytes)
    }
}

/// Some paths.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PathSet(Vec<PathPattern>);

impl PathSet {
    pub(super) fn new(patterns: Vec<PathPattern>) -> Self {
        Self(patterns)
    }

    pub(super) fn into_patterns(self) -> Vec<PathPattern> {
        self.0
    }

    /// The paths that are in both; `None` is every path.
    pub(super) fn both(first: Option<&Self>, second: Option<&Self>) -> Option<Self> {
        let (Some(a), Some(b)) = (first, second) else {
            return first.or(second).cloned();
        };
        let mut found = Vec::new();
        for x in &a.0 {
            for y in &b.0 {
                if x.holds(y) {
                    found.push(y.clone());
                } else if y.holds(x) {
                    found.push(x.clone());
                }
            }
        }
        found.sort_unstable();
        found.dedup();
        Some(Self(found))
    }
}

/// The entries of a table: for each pattern its bytes, and the numbers of all tests that hold its paths, as bits. The
/// kernel finds the longest entry that a path begins with; so an entry carries what shorter ones say.
pub fn entries<'a>(tests: impl Iterator<Item = (u32, &'a [PathPattern])>) -> BTreeMap<Vec<u8>, u64> {
    let mut named: BTreeMap<&[u8], u64> = BTreeMap::new();
    for (number, patterns) in tests {
        for pattern in patterns {
            *named.entry(&pattern.bytes).or_default() |= 1_u64.checked_shl(number).unwrap_or(0);
        }
    }
    named
        .keys()
        .map(|bytes| {
            let all = (1..=bytes.len())
                .filter_map(|len| named.get(&bytes[..len]))
                .fold(0, |all, tests| all | tests);
            (bytes.to_vec(), all)
        })
        .collect()
}
