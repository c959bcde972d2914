//! Environments of programs, as their processes show them soon after the start. They are read only when a rule asks for
//! them, and come here with secrets masked already.

use std::sync::Arc;

use sensor_rules::{engine::RuleSet, field::Field};
use serde::{Deserialize, Serialize};

use super::{
    answers::Answers,
    process::{Image, ProcessKey, Processes},
};
use crate::recording::forms;

/// Environments that are remembered.
pub const ENVIRONMENTS_MAX: usize = 4096;

/// Bytes of all environments together.
pub const BYTES_MAX: usize = 16 << 20;

/// What tells the environment of one start from all others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct EnvironmentKey {
    /// Who started the program.
    pub process: ProcessKey,
    /// When, in nanoseconds after boot; 0 where it was not seen.
    pub since_ns: u64,
}

/// The environment of a program.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Environment {
    /// `NAME=VALUE`, each ended by a zero byte.
    #[serde(with = "forms::bytes")]
    pub text: Box<[u8]>,
    /// There is more than was read.
    pub is_cut: bool,
}

/// All environments.
#[derive(Debug)]
pub struct Environments {
    /// A rule asks for them.
    pub(crate) is_wanted: bool,
    answers: Answers<EnvironmentKey, Environment>,
    bytes: usize,
    /// Environments that were not kept, because all together took too much memory.
    pub dropped: u64,
}

impl Environment {
    /// The variables, as `NAME=VALUE`.
    pub fn variables(&self) -> impl Iterator<Item = &[u8]> {
        self.text
            .split(|byte| *byte == 0)
            .filter(|variable| !variable.is_empty())
    }

    /// The value of a variable: the first of its name counts, as for `getenv`.
    #[must_use]
    pub fn value(&self, name: &[u8]) -> Option<&[u8]> {
        self.variables()
            .find_map(|variable| variable.strip_prefix(name)?.strip_prefix(b"="))
    }
}

impl Default for Environments {
    fn default() -> Self {
        Self {
            is_wanted: false,
            answers: Answers::new(ENVIRONMENTS_MAX),
            bytes: 0,
            dropped: 0,
        }
    }
}

impl Environments {
    /// These rules are in use. Returns whether environments are wanted that were not before.
    pub fn wish_for(&mut self, rules: &RuleSet) -> bool {
        let asks = |field: Field| matches!(field, Field::ProcEnv | Field::ProcAenv);
        let is_wanted = rules.fields().iter().any(|field| asks(field.field));
        let is_new = is_wanted && !self.is_wanted;
        self.is_wanted = is_wanted;
        is_new
    }

    /// Notes that an environment is wanted. Returns whether somebody has to read it.
    pub fn want(&mut self, key: EnvironmentKey) -> bool {
        self.is_wanted && self.answers.want(key)
    }

    /// Takes one in; `None` when it could not be read.
    pub fn learn(&mut self, key: &EnvironmentKey, found: Option<Environment>) {
        let len = found.as_ref().map_or(0, |found| found.text.len());
        if self.bytes + len > BYTES_MAX {
            self.dropped += 1;
            self.answers.learn(key, None);
        } else {
            self.bytes += len;
            self.answers.learn(key, found);
        }
    }

    /// What is known.
    #[must_use]
    pub fn answers(&self) -> &Answers<EnvironmentKey, Environment> {
        &self.answers
    }

    /// Forgets the environments that no living process has, once there are many or they are large.
    pub(super) fn forget_unused(&mut self, processes: &Processes) {
        if self.answers.len() <= ENVIRONMENTS_MAX / 2 && self.bytes <= BYTES_MAX / 2 {
            return;
        }
        let living = processes.iter().filter(|process| process.exited_ns.is_none());
        let images = living.flat_map(|process| &process.images);
        let used: std::collections::HashSet<EnvironmentKey, foldhash::fast::RandomState> = images
            .filter_map(|image: &Arc<Image>| image.environment)
            .collect();
        self.answers.retain(|key| used.contains(key));
        self.bytes = self.answers.values().map(|found| found.text.len()).sum();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(tgid: u32) -> EnvironmentKey {
        EnvironmentKey {
            process: ProcessKey {
                tgid,
                start_time_ns: 1,
            },
            since_ns: 2,
        }
    }

    #[test]
    fn variables_are_found_by_their_whole_name() {
        let found = Environment {
            text: b"AB=1\0A=x=y\0A=2\0EMPTY=\0none\0\xff=\xfe\0".as_slice().into(),
            is_cut: false,
        };
        assert_eq!(found.value(b"A"), Some(&b"x=y"[..]));
        assert_eq!(found.value(b"EMPTY"), Some(&b""[..]));
        assert_eq!(found.value(b"\xff"), Some(&b"\xfe"[..]));
        assert_eq!(found.value(b"B"), None);
        assert_eq!(found.value(b"none"), None);
        assert_eq!(found.variables().count(), 6);
    }

    #[test]
    fn nobody_is_asked_unless_a_rule_does_and_memory_is_bounded() {
        let mut all = Environments::default();
        assert!(!all.want(key(1)));
        all.is_wanted = true;
        let large = || {
            Some(Environment {
                text: vec![b'x'; BYTES_MAX / 2].into(),
                is_cut: true,
            })
        };
        for tgid in 1..=3 {
            assert!(all.want(key(tgid)));
            all.learn(&key(tgid), large());
        }
        assert_eq!(all.dropped, 1);
        assert!(all.answers().get(&key(2)).is_some() && all.answers().get(&key(3)).is_none());
        all.want(key(4));
        all.learn(&key(4), Some(Environment::default()));
        // Nobody runs any of them.
        all.forget_unused(&Processes::new(16, 0));
        assert_eq!((all.answers().len(), all.bytes), (0, 0));
    }
}
