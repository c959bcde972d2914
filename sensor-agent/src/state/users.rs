//! Names of the host's users and groups, from `/etc/passwd` and `/etc/group`.
//!
//! The files are read when the agent starts and again when they change; an event never waits for it.

use std::{
    path::{Path, PathBuf},
    time::SystemTime,
};

use hashbrown::HashMap;

/// Longest file that is read; a host with more local users than this has another fault.
const FILE_BYTES_MAX: u64 = 16 << 20;

/// Names by id.
#[derive(Debug)]
pub struct Users {
    passwd: Names,
    group: Names,
}

/// One user, as far as rules ask.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct User {
    /// Login name.
    pub name: Box<[u8]>,
    /// Home folder.
    pub home: Box<[u8]>,
    /// Login shell.
    pub shell: Box<[u8]>,
}

#[derive(Debug)]
struct Names {
    path: PathBuf,
    read_at: Option<(SystemTime, u64)>,
    by_id: HashMap<u32, User, foldhash::fast::RandomState>,
}

impl Default for Users {
    fn default() -> Self {
        Self::below(Path::new("/"))
    }
}

impl Users {
    /// The users of the system whose root is this folder.
    #[must_use]
    pub fn below(root: &Path) -> Self {
        let names = |file| Names {
            path: root.join(file),
            read_at: None,
            by_id: HashMap::default(),
        };
        let mut users = Self {
            passwd: names("etc/passwd"),
            group: names("etc/group"),
        };
        users.refresh();
        users
    }

    /// Reads the files again if they changed.
    pub fn refresh(&mut self) {
        self.passwd.refresh();
        self.group.refresh();
    }

    /// A user. Id 0 is root even where no file says so.
    #[must_use]
    pub fn user(&self, uid: u32) -> Option<&User> {
        self.passwd.by_id.get(&uid)
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
        self.group
            .by_id
            .get(&gid)
            .map(|group| &*group.name)
            .or((gid == 0).then_some(b"root"))
    }
}

impl Names {
    /// A file that cannot be read leaves what is known as it is: names change rarely, and a rewrite goes
    /// through a moment without the file.
    fn refresh(&mut self) {
        let Ok(metadata) = std::fs::metadata(&self.path) else {
            return;
        };
        let Ok(modified) = metadata.modified() else { return };
        let stamp = Some((modified, metadata.len()));
        if self.read_at == stamp || metadata.len() > FILE_BYTES_MAX {
            return;
        }
        if let Ok(bytes) = std::fs::read(&self.path) {
            self.by_id = parse(&bytes);
            self.read_at = stamp;
        }
    }
}

/// `name:password:id:...`, one a line; the first line of an id counts, as for `getpwuid`.
fn parse(bytes: &[u8]) -> HashMap<u32, User, foldhash::fast::RandomState> {
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
        let mut users = Users::below(root.path());
        assert_eq!(users.user_name(7), Some(&b"ann"[..]));
        assert_eq!(&*users.user(7).unwrap().shell, b"/bin/sh");
        assert_eq!(
            (users.user_name(0), users.user_name(8)),
            (Some(&b"root"[..]), None)
        );
        std::fs::write(&passwd, "bob:x:8:8:Bob:/home/bob:/bin/bash\n").unwrap();
        users.refresh();
        assert_eq!(
            (users.user_name(7), users.user_name(8)),
            (None, Some(&b"bob"[..]))
        );
        std::fs::remove_file(&passwd).unwrap();
        users.refresh();
        assert_eq!(users.user_name(8), Some(&b"bob"[..]));
    }
}
