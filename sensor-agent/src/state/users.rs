//! Names of the host's users and groups, from `/etc/passwd` and `/etc/group`.
//!
//! The files are read when the agent starts and again when they change; an event never waits for it. What they say
//! comes to the state as a fact, like everything that no record tells.

pub mod accounts;
pub mod ids;

use std::{
    path::{Path, PathBuf},
    time::SystemTime,
};

use hashbrown::HashMap;
use serde::{Deserialize, Serialize};

use crate::recording::forms;

/// Longest file that is read; a host with more local users than this has another fault.
const FILE_BYTES_MAX: u64 = 16 << 20;

/// Names by id.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Users {
    /// By user id.
    #[serde(with = "forms::names")]
    pub users: Names,
    /// By group id; of these only the name is known.
    #[serde(with = "forms::names")]
    pub groups: Names,
}

/// Users or groups by id.
pub type Names = HashMap<u32, User, foldhash::fast::RandomState>;

/// One user, as far as rules ask.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// Login name.
    #[serde(with = "forms::bytes")]
    pub name: Box<[u8]>,
    /// Home folder.
    #[serde(with = "forms::bytes")]
    pub home: Box<[u8]>,
    /// Login shell.
    #[serde(with = "forms::bytes")]
    pub shell: Box<[u8]>,
}

/// The files, and what they looked like when they were read.
#[derive(Debug)]
pub struct UserFiles {
    passwd: NameFile,
    group: NameFile,
}

#[derive(Debug)]
struct NameFile {
    path: PathBuf,
    read_at: Option<(SystemTime, u64)>,
    names: Names,
}

impl Users {
    /// A user. Id 0 is root even where no file says so.
    #[must_use]
    pub fn user(&self, uid: u32) -> Option<&User> {
        self.users.get(&uid)
    }

    /// A user's name.
    #[must_use]
    pub fn user_name(&self, uid: u32) -> Option<&[u8]> {
        self.user(uid)
            .map(|user| &*user.name)
            .or((uid == 0).then_some(b"root"))
    }

    /// A group's name.
    #[must_use]
    pub fn group_name(&self, gid: u32) -> Option<&[u8]> {
        self.groups
            .get(&gid)
            .map(|group| &*group.name)
            .or((gid == 0).then_some(b"root"))
    }
}

impl UserFiles {
    /// The files of the system whose root is this folder; nothing is read yet.
    #[must_use]
    pub fn below(root: &Path) -> Self {
        let file = |name| NameFile {
            path: root.join(name),
            read_at: None,
            names: HashMap::default(),
        };
        Self {
            passwd: file("etc/passwd"),
            group: file("etc/group"),
        }
    }

    /// Reads the files if they changed since the last time, and then tells all names.
    #[must_use]
    pub fn changed(&mut self) -> Option<Users> {
        let changed = [self.passwd.refresh(), self.group.refresh()];
        changed.contains(&true).then(|| Users {
            users: self.passwd.names.clone(),
            groups: self.group.names.clone(),
        })
    }
}

impl NameFile {
    /// A file that cannot be read leaves what is known as it is: names change rarely, and a rewrite goes
    /// through a moment without the file. Returns whether it was read.
    fn refresh(&mut self) -> bool {
        let Ok(metadata) = std::fs::metadata(&self.path) else {
            return false;
        };
        let Ok(modified) = metadata.modified() else {
            return false;
        };
        let stamp = Some((modified, metadata.len()));
        if self.read_at == stamp || metadata.len() > FILE_BYTES_MAX {
            return false;
        }
        let Ok(bytes) = std::fs::read(&self.path) else {
            return false;
        };
        self.names = parse(&bytes);
        self.read_at = stamp;
        true
    }
}

/// `name:password:id:...`, one a line; the first line of an id counts, as for `getpwuid`.
fn parse(bytes: &[u8]) -> Names {
    let mut by_id = HashMap::default();
    for line in bytes.split(|byte| *byte == b'\n') {
        let fields: Vec<&[u8]> = line.split(|byte| *byte == b':').collect();
        let id = fields
            .get(2)
            .and_then(|id| std::str::from_utf8(id).ok())
            .and_then(|id| id.parse().ok());
        if let (Some(id), [name, ..]) = (id, &fields[..])
            && !name.is_empty()
        {
            let field = |index: usize| {
                fields
                    .get(index)
                    .map_or(Box::default(), |field| Box::from(*field))
            };
            by_id.entry(id).or_insert_with(|| User {
                name: Box::from(*name),
                home: field(5),
                shell: field(6),
            });
        }
    }
    by_id
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_and_follow_the_file() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("etc")).unwrap();
        let passwd = root.path().join("etc/passwd");
        std::fs::write(
            &passwd,
            "# none\nann:x:7:7:Ann:/home/ann:/bin/sh\nagain:x:7:7::/:\nbad:x:y:0\n\n",
        )
        .unwrap();
        let mut files = UserFiles::below(root.path());
        let users = files.changed().unwrap();
        assert_eq!(files.changed(), None);
        assert_eq!(users.user_name(7), Some(&b"ann"[..]));
        assert_eq!(&*users.user(7).unwrap().shell, b"/bin/sh");
        assert_eq!(
            (users.user_name(0), users.user_name(8)),
            (Some(&b"root"[..]), None)
        );
        std::fs::write(&passwd, "bob:x:8:8:Bob:/home/bob:/bin/bash\n").unwrap();
        let users = files.changed().unwrap();
        assert_eq!(
            (users.user_name(7), users.user_name(8)),
            (None, Some(&b"bob"[..]))
        );
        std::fs::remove_file(&passwd).unwrap();
        assert_eq!(files.changed(), None);
        assert_eq!(users.user_name(8), Some(&b"bob"[..]));
    }
}
