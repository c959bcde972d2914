//! Reads the environment of a process, and masks what must not get about.
//!
//! `/proc/PID/environ` is the memory in which the kernel put the environment at the start of the program. The process can
//! write there; what it sets by `setenv` later is elsewhere, and is not seen. Its pages may be somebody's who never
//! answers, so it is read by a [`hand`](super::hand).

use std::{fs::File, io::Read as _};

use rustix::fs::stat;

use super::program::began;
use crate::state::{environment::Environment, process::ProcessKey};

/// Bytes of an environment that are read.
pub const BYTES_MAX: usize = 32 << 10;

/// What stands for a secret.
const MASK: &[u8] = b"***";

/// Whose environment is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner {
    /// The process.
    pub process: ProcessKey,
    /// The inode number of its program's file: with another, its environment is another, too.
    pub inode: u64,
}

/// Which variables are secrets.
#[derive(Debug, Default)]
pub struct Mask {
    /// Words in their names, in capitals.
    words: Vec<Vec<u8>>,
}

impl Mask {
    /// Variables with one of these words in their names, whatever the case of letters.
    #[must_use]
    pub fn new(words: &[String]) -> Self {
        Self {
            words: words
                .iter()
                .map(|word| word.to_ascii_uppercase().into_bytes())
                .collect(),
        }
    }

    fn hides(&self, name: &[u8]) -> bool {
        let name = name.to_ascii_uppercase();
        self.words
            .iter()
            .any(|word| memchr::memmem::find(&name, word).is_some())
    }

    /// An environment without its secrets: those by name, and passwords in addresses.
    fn apply(&self, environment: &[u8]) -> Vec<u8> {
        let mut masked = Vec::with_capacity(environment.len());
        for variable in environment
            .split(|byte| *byte == 0)
            .filter(|variable| !variable.is_empty())
        {
            let name = memchr::memchr(b'=', variable).unwrap_or(variable.len());
            if name < variable.len() && self.hides(&variable[..name]) {
                masked.extend_from_slice(&variable[..=name]);
                masked.extend_from_slice(MASK);
            } else {
                mask_addresses(variable, &mut masked);
            }
            masked.push(0);
        }
        masked
    }
}

/// Copies a text, and masks `PASSWORD` of each `scheme://USER:PASSWORD@host` in it.
fn mask_addresses(text: &[u8], to: &mut Vec<u8>) {
    let mut rest = text;
    while let Some(at) = memchr::memmem::find(rest, b"://") {
        let (before, authority) = rest.split_at(at + 3);
        to.extend_from_slice(before);
        let end = authority
            .iter()
            .position(|byte| b"/?# \t\n,;".contains(byte))
            .unwrap_or(authority.len());
        let (authority, behind) = authority.split_at(end);
        match memchr::memrchr(b'@', authority) {
            Some(host) => {
                let user = memchr::memchr(b':', &authority[..host]);
                to.extend_from_slice(&authority[..user.map_or(host, |user| user + 1)]);
                if user.is_some() {
                    to.extend_from_slice(MASK);
                }
                to.extend_from_slice(&authority[host..]);
            }
            None => to.extend_from_slice(authority),
        }
        rest = behind;
    }
    to.extend_from_slice(rest);
}

/// Reads the environment of a process that still runs that program; `None` when it does not.
#[must_use]
pub fn read(owner: Owner, mask: &Mask) -> Option<Environment> {
    let pid = owner.process.tgid;
    let is_it = || {
        began(pid, owner.process.start_time_ns)
            && stat(format!("/proc/{pid}/exe")).is_ok_and(|exe| exe.st_ino == owner.inode)
    };
    if !is_it() {
        return None;
    }
    let mut bytes = Vec::new();
    let limit = BYTES_MAX as u64 + 1;
    let file = File::open(format!("/proc/{pid}/environ")).ok()?;
    file.take(limit).read_to_end(&mut bytes).ok()?;
    if !is_it() {
        return None;
    }
    let is_cut = bytes.len() > BYTES_MAX;
    if is_cut {
        // Half a value may hide that it is a secret's, and half a name whose it is.
        let whole = memchr::memrchr(0, &bytes[..BYTES_MAX]).map_or(0, |end| end + 1);
        bytes.truncate(whole);
    }
    Some(Environment {
        text: mask.apply(&bytes).into(),
        is_cut,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn masked(text: &[u8]) -> Vec<u8> {
        let words = ["token", "SECRET", "Password", "key"].map(String::from);
        Mask::new(&words).apply(text)
    }

    #[test]
    fn secrets_are_masked_by_name_and_in_addresses() {
        for (given, expected) in [
            ("PATH=/bin\0", "PATH=/bin\0"),
            ("API_TOKEN=abc\0", "API_TOKEN=***\0"),
            ("my_secret_=a=b\0HOME=/\0", "my_secret_=***\0HOME=/\0"),
            ("AWS_ACCESS_KEY_ID=x\0", "AWS_ACCESS_KEY_ID=***\0"),
            ("NAME=token\0", "NAME=token\0"),
            ("token\0", "token\0"),
            (
                "U=postgres://ann:pw@db/x?y=a@b\0",
                "U=postgres://ann:***@db/x?y=a@b\0",
            ),
            (
                "U=http://h:80/ ftp://u:p:q@w@x\0",
                "U=http://h:80/ ftp://u:***@x\0",
            ),
            ("U=ssh://git@host\0", "U=ssh://git@host\0"),
            ("U=://:@\0", "U=://:***@\0"),
        ] {
            let told = masked(given.as_bytes());
            assert_eq!(String::from_utf8_lossy(&told), expected);
        }
    }

    #[test]
    fn the_own_environment_is_read_and_a_strangers_is_not() {
        let mut child = std::process::Command::new("/bin/sleep")
            .arg("1000")
            .env_clear()
            .env("A", "1")
            .env("MY_KEY", "2")
            .spawn()
            .unwrap();
        let pid = child.id();
        let started = procfs::process::Process::new(pid.cast_signed())
            .unwrap()
            .stat()
            .unwrap()
            .starttime;
        let owner = Owner {
            process: ProcessKey {
                tgid: pid,
                start_time_ns: started * crate::state::process::TICK_NS,
            },
            inode: stat("/bin/sleep").unwrap().st_ino,
        };
        let mask = Mask::new(&["key".into()]);
        // Who waits for a child's start is woken before the kernel has laid its environment out.
        let until = std::time::Instant::now() + std::time::Duration::from_secs(10);
        let found = loop {
            let found = read(owner, &mask).unwrap_or_default();
            if !found.text.is_empty() || std::time::Instant::now() > until {
                break found;
            }
            std::thread::yield_now();
        };
        assert_eq!(found.value(b"A"), Some(&b"1"[..]));
        assert_eq!(found.value(b"MY_KEY"), Some(&b"***"[..]));
        let mut other = owner;
        other.inode += 1;
        assert_eq!(read(other, &mask), None);
        other = owner;
        other.process.start_time_ns += crate::state::process::TICK_NS;
        assert_eq!(read(other, &mask), None);
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(read(owner, &mask), None);
    }

    proptest! {
        /// Any bytes are an environment; names stay, and no value of a secret does.
        #[test]
        fn any_bytes_are_masked(text in prop::collection::vec(any::<u8>(), 0..200), value in "[a-z:/@]{4,12}") {
            masked(&text);
            let mut with_secret = text;
            with_secret.extend_from_slice(format!("\0A_KEY={value}").as_bytes());
            prop_assert!(masked(&with_secret).ends_with(b"\0A_KEY=***\0") || masked(&with_secret) == b"A_KEY=***\0");
        }
    }
}
