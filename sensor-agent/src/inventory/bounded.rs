//! A bounded table of what was seen, and how often.

use std::{borrow::Borrow, hash::Hash};

use hashbrown::HashMap;

/// How often something was seen, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    /// How often.
    pub count: u64,
    /// The first time, in nanoseconds after boot.
    pub first_ns: u64,
    /// The last time, in nanoseconds after boot.
    pub last_ns: u64,
}

impl Times {
    fn once(time_ns: u64) -> Self {
        Self {
            count: 1,
            first_ns: time_ns,
            last_ns: time_ns,
        }
    }

    fn again(&mut self, time_ns: u64) {
        self.count += 1;
        self.last_ns = self.last_ns.max(time_ns);
    }

    fn merge(&mut self, other: &Self) {
        self.count += other.count;
        self.first_ns = self.first_ns.min(other.first_ns);
        self.last_ns = self.last_ns.max(other.last_ns);
    }
}

/// What was seen of one sort: at most so many, and how often something was seen that found no room.
#[derive(Clone, Debug)]
pub struct Bounded<K, V = ()> {
    entries: HashMap<K, (Times, V), foldhash::fast::RandomState>,
    len_max: usize,
    /// How often something was seen that found no room.
    pub others: u64,
}

impl<K: Hash + Eq + Clone, V: Clone> Bounded<K, V> {
    pub(super) fn new(len_max: u32) -> Self {
        Self {
            entries: HashMap::default(),
            len_max: len_max as usize,
            others: 0,
        }
    }

    /// Notes that something was seen; `make` says more of what is new. Returns what is noted of it, or `None` when it found
    /// no room.
    pub(super) fn take<Q>(&mut self, key: &Q, time_ns: u64, make: impl FnOnce() -> (K, V)) -> Option<&mut V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        if !self.entries.contains_key(key) {
            if self.entries.len() >= self.len_max {
                self.others += 1;
                return None;
            }
            let (key, value) = make();
            let entry = self.entries.entry(key).or_insert((Times::once(time_ns), value));
            return Some(&mut entry.1);
        }
        let (times, value) = self.entries.get_mut(key)?;
        times.again(time_ns);
        Some(value)
    }

    /// Notes that something was seen that cannot be told.
    pub(super) fn refuse(&mut self) {
        self.others += 1;
    }

    /// Takes in what another table has; `join` joins what both know. Returns how often something was seen that found no
    /// room now.
    pub(super) fn merge(&mut self, other: &Self, mut join: impl FnMut(&mut V, &V)) -> u64 {
        let mut refused = 0;
        for (key, (times, value)) in &other.entries {
            if let Some((known, own)) = self.entries.get_mut(key) {
                known.merge(times);
                join(own, value);
            } else if self.entries.len() < self.len_max {
                self.entries.insert(key.clone(), (*times, value.clone()));
            } else {
                refused += times.count;
            }
        }
        self.others += other.others + refused;
        refused
    }

    /// All of it.
    pub fn iter(&self) -> impl Iterator<Item = (&K, &Times, &V)> {
        self.entries
            .iter()
            .map(|(key, (times, value))| (key, times, value))
    }
}
