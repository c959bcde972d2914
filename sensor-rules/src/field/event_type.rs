//! What happened: the type of an event, as `evt.type` names it.

use std::fmt;

use super::event_names::EVENT_NAMES;

/// Type of an event: an index into the table of event and system call names.
///
/// The index is not stable between versions; store the name.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventType(u16);

impl EventType {
    /// How many types there are.
    pub const COUNT: usize = EVENT_NAMES.len();

    /// The type of this name, or `None` where neither Falco nor Linux on x86-64 has one.
    ///
    /// It is `const`, so that the agent can name the types it produces at no cost.
    #[must_use]
    pub const fn from_name(name: &str) -> Option<Self> {
        let (mut low, mut high) = (0, EVENT_NAMES.len());
        while low < high {
            let middle = low.midpoint(high);
            match compare(EVENT_NAMES[middle].0.as_bytes(), name.as_bytes()) {
                Order::Less => low = middle + 1,
                Order::Greater => high = middle,
                Order::Equal => return Some(Self::from_index(middle)),
            }
        }
        None
    }

    /// Falco's name of it: `execve`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        EVENT_NAMES[self.0 as usize].0
    }

    /// Its position in the table, below [`EventType::COUNT`].
    #[must_use]
    pub const fn index(self) -> usize {
        self.0 as usize
    }

    /// How many event codes of Falco's table bear the name.
    #[must_use]
    pub const fn code_count(self) -> usize {
        EVENT_NAMES[self.0 as usize].1 as usize
    }

    /// Every type, in the order of names.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..Self::COUNT).map(Self::from_index)
    }

    #[expect(
        clippy::cast_possible_truncation,
        reason = "the table is checked to be shorter than u16 below"
    )]
    pub(crate) const fn from_index(index: usize) -> Self {
        assert!(index < Self::COUNT);
        Self(index as u16)
    }
}

const _: () = assert!(EVENT_NAMES.len() < u16::MAX as usize);

enum Order {
    Less,
    Equal,
    Greater,
}

/// Compares bytes as `Ord` does, which is not `const` yet.
const fn compare(a: &[u8], b: &[u8]) -> Order {
    let mut at = 0;
    while at < a.len() && at < b.len() {
        if a[at] != b[at] {
            return if a[at] < b[at] {
                Order::Less
            } else {
                Order::Greater
            };
        }
        at += 1;
    }
    if a.len() == b.len() {
        Order::Equal
    } else if a.len() < b.len() {
        Order::Less
    } else {
        Order::Greater
    }
}

impl fmt::Debug for EventType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EventType({})", self.name())
    }
}

impl fmt::Display for EventType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_and_found_by_name() {
        assert!(EVENT_NAMES.is_sorted_by(|a, b| a.0 < b.0));
        for event_type in EventType::all() {
            assert_eq!(EventType::from_name(event_type.name()), Some(event_type));
        }
    }

    #[test]
    fn unknown_names_have_no_type() {
        for name in ["", "NA", "exec", "execvee", "zzz", "Execve"] {
            assert_eq!(EventType::from_name(name), None, "{name}");
        }
    }
}
