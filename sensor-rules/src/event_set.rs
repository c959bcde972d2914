//! Sets of event types.

use std::fmt;

use crate::field::EventType;

const WORDS: usize = EventType::COUNT.div_ceil(64);

/// A set of event types: what a rule can match, what the agent must collect.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct EventTypeSet([u64; WORDS]);

impl EventTypeSet {
    /// The set without a member.
    pub const EMPTY: Self = Self([0; WORDS]);

    /// The set of every type.
    #[must_use]
    pub fn all() -> Self {
        EventType::all().collect()
    }

    /// Adds one type.
    pub fn insert(&mut self, event_type: EventType) {
        self.0[event_type.index() / 64] |= 1 << (event_type.index() % 64);
    }

    /// Whether `event_type` is a member.
    #[must_use]
    pub fn contains(&self, event_type: EventType) -> bool {
        self.0[event_type.index() / 64] & (1 << (event_type.index() % 64)) != 0
    }

    /// Members of either set.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        self.zip(other, |a, b| a | b)
    }

    /// Members of both sets.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        self.zip(other, |a, b| a & b)
    }

    /// Every type that is no member.
    #[must_use]
    pub fn complement(&self) -> Self {
        Self::all().zip(self, |all, own| all & !own)
    }

    /// How many members there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// Whether there is no member.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::EMPTY
    }

    /// The members, in the order of names.
    pub fn iter(&self) -> impl Iterator<Item = EventType> + '_ {
        EventType::all().filter(|event_type| self.contains(*event_type))
    }

    /// How many event codes of Falco's table the members stand for. More than
    /// [`crate::limits::EVENT_CODES_MAX`] is what Falco warns about.
    #[must_use]
    pub fn code_count(&self) -> usize {
        self.iter().map(EventType::code_count).sum()
    }

    fn zip(&self, other: &Self, combine: impl Fn(u64, u64) -> u64) -> Self {
        Self(std::array::from_fn(|word| combine(self.0[word], other.0[word])))
    }
}

impl FromIterator<EventType> for EventTypeSet {
    fn from_iter<I: IntoIterator<Item = EventType>>(types: I) -> Self {
        let mut set = Self::EMPTY;
        types.into_iter().for_each(|event_type| set.insert(event_type));
        set
    }
}

impl fmt::Debug for EventTypeSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter().map(EventType::name)).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(names: &[&str]) -> EventTypeSet {
        names
            .iter()
            .filter_map(|name| EventType::from_name(name))
            .collect()
    }

    #[test]
    fn algebra() {
        let (a, b) = (set(&["open", "openat"]), set(&["openat", "execve"]));
        assert_eq!(a.union(&b), set(&["open", "openat", "execve"]));
        assert_eq!(a.intersection(&b), set(&["openat"]));
        assert_eq!(a.complement().len(), EventType::COUNT - 2);
        assert_eq!(a.complement().complement(), a);
        assert!(a.intersection(&a.complement()).is_empty());
        assert_eq!(a.union(&a.complement()), EventTypeSet::all());
        assert_eq!(
            a.iter().map(EventType::name).collect::<Vec<_>>(),
            ["open", "openat"]
        );
    }
}
