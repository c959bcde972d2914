//! What ids mean inside a user namespace: `/proc/PID/uid_map` and `gid_map`.

use serde::{Deserialize, Serialize};

/// Lines of a map (`UID_GID_MAP_MAX_EXTENTS`, `include/linux/user_namespace.h`).
const EXTENTS_MAX: usize = 340;

/// What the kernel says for an id without a meaning (`DEFAULT_OVERFLOWUID`, `include/linux/highuid.h`).
pub const OVERFLOW_ID: u32 = 65534;

/// From ids outside to ids inside.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdMap(Box<[Extent]>);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Extent {
    inside: u32,
    outside: u32,
    count: u32,
}

/// Both maps of a user namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ids {
    /// Of users.
    pub users: IdMap,
    /// Of groups.
    pub groups: IdMap,
}

impl IdMap {
    /// From the file's text: `inside outside count`, one a line. Lines that are none are passed over.
    #[must_use]
    pub fn parse(text: &[u8]) -> Self {
        let extent = |line: &[u8]| {
            let line = std::str::from_utf8(line).ok()?;
            let mut numbers = line.split_ascii_whitespace().map(str::parse);
            let mut next = || numbers.next()?.ok();
            Some(Extent {
                inside: next()?,
                outside: next()?,
                count: next()?,
            })
        };
        let lines = text.split(|byte| *byte == b'\n');
        Self(lines.filter_map(extent).take(EXTENTS_MAX).collect())
    }

    /// What an id of the initial namespace is inside; [`OVERFLOW_ID`] where the map has no word for it.
    #[must_use]
    pub fn inside(&self, outside: u32) -> u32 {
        let found = self.0.iter().find_map(|extent| {
            let offset = outside.checked_sub(extent.outside)?;
            (offset < extent.count).then(|| extent.inside.checked_add(offset))?
        });
        found.unwrap_or(OVERFLOW_ID)
    }

    /// Whether it has not been written yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ids_are_translated() {
        let rootless = b"         0       1000          1\n         1     100000      65536\n";
        let initial = b"         0          0 4294967295\n";
        for (map, outside, inside) in [
            (&rootless[..], 1000, 0),
            (rootless, 100_000, 1),
            (rootless, 165_535, 65_536),
            (rootless, 165_536, OVERFLOW_ID),
            (rootless, 0, OVERFLOW_ID),
            (initial, 0, 0),
            (initial, 4_294_967_294, 4_294_967_294),
            (b"", 5, OVERFLOW_ID),
            (b"x\n0 1\n4294967290 7 100\n", 7, 4_294_967_290),
            (b"4294967290 7 100", 20, OVERFLOW_ID),
        ] {
            assert_eq!(IdMap::parse(map).inside(outside), inside, "{outside}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_a_map(text in prop::collection::vec(any::<u8>(), 0..200), lines in "([0-9 ]{0,30}\n){0,20}", id: u32) {
            let _ = IdMap::parse(&text).inside(id);
            let _ = IdMap::parse(lines.as_bytes()).inside(id);
        }
    }
}
