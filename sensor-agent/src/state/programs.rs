//! What is known of program files beyond what the kernel tells: their hash, and the package that they belong to.
//!
//! A file is known by device, inode and time of change: who writes to it, renames it or puts another in its place makes
//! another file of it. One that was changed a moment before it ran is known only together with the very start that was
//! seen, since the kernel's clock for files is too coarse to tell two such changes apart.

use std::path::PathBuf;

use sensor_common::record::FileId;
use sensor_rules::{engine::RuleSet, field::Field};
use serde::{Deserialize, Serialize};

use super::answers::Answers;

/// Files that are remembered.
pub const PROGRAMS_MAX: usize = 8192;

/// A file that was changed less than this before it ran counts as fresh. The kernel's clock for files has a step of 10 ms
/// at most (`HZ` is 100 or more), and the distance between its clocks is measured once a second.
pub const FRESH_NS: u64 = 20_000_000;

/// What tells a program file from all others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ProgramKey {
    /// `i_ino`
    pub inode: u64,
    /// `s_dev`, major << 20 | minor.
    pub device: u32,
    /// Change time, nanoseconds since 1970.
    pub ctime_ns: u64,
    /// Of a fresh file, when the start that was seen happened, in nanoseconds after boot; else 0.
    pub started_ns: u64,
}

/// A program that ran.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    /// Its file.
    pub key: ProgramKey,
    /// Change of its content, nanoseconds since 1970.
    pub mtime_ns: u64,
    /// Who ran it.
    pub pid: u32,
    /// When that process began, in nanoseconds after boot.
    pub start_time_ns: u64,
    /// When it started the program, in nanoseconds since 1970.
    pub ran_ns: u64,
    /// Its path, from the root of its mount namespace.
    pub path: PathBuf,
    /// Processes that may have that root, and their mount namespace; `None` for the host's.
    pub inside: Option<([u32; 3], u32)>,
    /// What is wanted of it.
    pub wishes: Wishes,
}

/// The hash of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Hashed {
    /// Nobody asked for it.
    #[default]
    Unasked,
    /// SHA-256 of the very file that ran.
    Known([u8; 32]),
    /// Where the file was, there is another by now.
    Raced,
    /// It is longer than is read.
    TooLong,
    /// It could not be read.
    Unreadable,
}

/// The package that a file belongs to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Packaged {
    /// Nobody asked for it.
    #[default]
    Unasked,
    /// There is no database that could tell.
    Unknown,
    /// There is a database, and no package of it has the file.
    Unowned,
    /// The package's name.
    Owned(Box<str>),
}

/// What was found out of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProgramFacts {
    /// Its hash.
    pub hashed: Hashed,
    /// Its package.
    pub packaged: Packaged,
}

/// What is wanted to be known of each program that starts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wishes {
    /// Its hash.
    pub hash: bool,
    /// Its package.
    pub package: bool,
}

impl Wishes {
    /// Whether anything is.
    #[must_use]
    pub fn any(self) -> bool {
        self.hash || self.package
    }
}

/// When program files are looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum When {
    /// Never.
    Never,
    /// When a loaded rule names what they are looked at for.
    #[default]
    Rules,
    /// Whenever one starts.
    Always,
}

/// All program files.
#[derive(Debug)]
pub struct Programs {
    /// When they are looked at.
    pub when: When,
    /// What is wanted.
    pub(crate) wishes: Wishes,
    /// By file.
    pub files: Answers<ProgramKey, ProgramFacts>,
}

impl Default for Programs {
    fn default() -> Self {
        Self {
            when: When::default(),
            wishes: Wishes::default(),
            files: Answers::new(PROGRAMS_MAX),
        }
    }
}

impl Programs {
    /// These rules are in use: what they name is wanted of each program that starts from now on.
    pub fn wish_for(&mut self, rules: &RuleSet) {
        let names = |wanted: &[Field]| rules.fields().iter().any(|field| wanted.contains(&field.field));
        self.wishes = match self.when {
            When::Never => Wishes::default(),
            When::Rules => Wishes {
                hash: names(&[Field::ProcExeSha256, Field::HashRaced]),
                package: names(&[Field::ProcExePackage, Field::ProcIsExePackaged]),
            },
            When::Always => Wishes {
                hash: true,
                package: true,
            },
        };
    }

    /// Notes that facts on a program are wanted. Returns whether somebody has to look for them.
    pub fn want(&mut self, key: ProgramKey) -> bool {
        let wishes = self.wishes;
        wishes.any() && self.files.want_if(key, |facts| facts.is_useless(wishes))
    }
}

impl ProgramFacts {
    /// Whether another look may tell more of what is wanted.
    fn is_useless(&self, wishes: Wishes) -> bool {
        wishes.hash && matches!(self.hashed, Hashed::Unasked | Hashed::Raced | Hashed::Unreadable)
            || wishes.package && self.packaged == Packaged::Unasked
    }
}

impl ProgramKey {
    /// The key of a file that ran; `epoch_ns` is when, in nanoseconds since 1970, and `boot_ns` the same after boot.
    #[must_use]
    pub fn of(file: &FileId, epoch_ns: u64, boot_ns: u64) -> Option<Self> {
        if file.inode == 0 || file.ctime_ns == 0 {
            return None;
        }
        let is_fresh = epoch_ns < file.ctime_ns.saturating_add(FRESH_NS);
        Some(Self {
            inode: file.inode,
            device: file.device,
            ctime_ns: file.ctime_ns,
            started_ns: if is_fresh { boot_ns } else { 0 },
        })
    }

    /// Whether it ran a moment after it was changed.
    #[must_use]
    pub fn is_fresh(&self) -> bool {
        self.started_ns != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fresh_file_is_known_by_its_start() {
        let file = FileId {
            inode: 5,
            device: 1,
            ctime_ns: 1_000_000_000,
            ..FileId::default()
        };
        let at = |epoch_ns| ProgramKey::of(&file, epoch_ns, 77).unwrap();
        assert!(at(1_000_000_000).is_fresh() && at(1_019_999_999).is_fresh());
        assert!(
            at(999_000_000).is_fresh(),
            "a time in the future is no proof of age"
        );
        assert!(!at(1_020_000_000).is_fresh());
        assert_eq!(at(2_000_000_000), at(3_000_000_000));
        assert!(ProgramKey::of(&FileId::default(), 5, 5).is_none());
    }

    #[test]
    fn only_what_is_wished_for_is_asked() {
        let key = |inode| ProgramKey {
            inode,
            device: 0,
            ctime_ns: 1,
            started_ns: 0,
        };
        let mut programs = Programs::default();
        assert!(!programs.want(key(1)));
        programs.wishes.hash = true;
        assert!(programs.want(key(1)) && !programs.want(key(1)));
        let known = ProgramFacts {
            hashed: Hashed::Known([7; 32]),
            ..ProgramFacts::default()
        };
        programs.files.learn(&key(1), Some(known));
        assert!(!programs.want(key(1)));
        programs.want(key(2));
        let raced = ProgramFacts {
            hashed: Hashed::Raced,
            ..ProgramFacts::default()
        };
        programs.files.learn(&key(2), Some(raced));
        assert!(programs.want(key(2)), "the next one may have more luck");
    }
}
