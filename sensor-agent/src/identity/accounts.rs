//! What a hand reads: the users and groups of a root, the maps of a user namespace, an environment.

use std::{path::Path, sync::Arc};

use super::{
    environment::{self, Mask, Owner},
    root::{Root, Stamp, namespace},
};
use crate::state::{
    environment::Environment,
    users::{
        Users,
        ids::{IdMap, Ids},
    },
};

/// Longest file that is read, in bytes.
pub const FILE_BYTES_MAX: u64 = 1 << 20;

/// Longest map: its 340 lines have 33 bytes each.
const MAP_BYTES_MAX: u64 = 16 << 10;

const PASSWD: &str = "/etc/passwd";
const GROUP: &str = "/etc/group";

/// How the files of a root were when they were read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamps {
    root: Stamp,
    files: [Option<Stamp>; 2],
}

/// Whose names are read: those of the first of these processes that is still in this mount namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Whose {
    /// Their ids.
    pub pids: [u32; 2],
    /// Their mount namespace.
    pub mount_ns: u32,
}

/// Something to be read.
#[derive(Clone, Debug)]
pub enum Job {
    /// Users and groups.
    Accounts {
        /// Whose.
        whose: Whose,
        /// How the files were when they were read last.
        before: Option<Stamps>,
    },
    /// The maps of the user namespace that this process is in.
    Ids {
        /// The namespace's inode number.
        user_ns: u32,
        /// The process.
        pid: u32,
    },
    /// The environment of this process, without these secrets.
    Environment(Owner, Arc<Mask>),
}

/// Users and groups of a root.
#[derive(Debug, PartialEq, Eq)]
pub struct Found {
    /// Them.
    pub accounts: Users,
    /// What the host's ids are for the process that was looked at.
    pub ids: Ids,
    /// How the files were.
    pub stamps: Stamps,
}

/// What was read.
#[derive(Debug, PartialEq, Eq)]
pub enum Read {
    /// Users and groups.
    Accounts(Box<Found>),
    /// The same files as before.
    Unchanged,
    /// Maps.
    Ids(Ids),
    /// An environment.
    Environment(Environment),
    /// There is no such process any more, or it cannot be looked at.
    Gone,
}

/// Does a piece of work.
#[must_use]
pub fn read(job: Job) -> Read {
    let found = match job {
        Job::Accounts { whose, before } => accounts(whose, before),
        Job::Ids { user_ns, pid } => ids(pid, Some(user_ns)).map(Read::Ids),
        Job::Environment(owner, mask) => environment::read(owner, &mask).map(Read::Environment),
    };
    found.unwrap_or(Read::Gone)
}

fn accounts(whose: Whose, before: Option<Stamps>) -> Option<Read> {
    let (root, ids) = whose.pids.iter().find_map(|pid| {
        let ids = ids(*pid, None)?;
        Some((Root::of_process(*pid, whose.mount_ns)?, ids))
    })?;
    let now = Stamps {
        root: root.stamp()?,
        files: [PASSWD, GROUP].map(|path| root.stamp_of(Path::new(path))),
    };
    if before == Some(now) {
        return Some(Read::Unchanged);
    }
    let read = |path| root.read(Path::new(path), FILE_BYTES_MAX).unzip();
    let ((passwd, passwd_stamp), (group, group_stamp)) = (read(PASSWD), read(GROUP));
    Some(Read::Accounts(Box::new(Found {
        accounts: Users::within_bounds(&passwd.unwrap_or_default(), &group.unwrap_or_default()),
        ids,
        stamps: Stamps {
            // What is not read, because it is no plain file or too long, is looked at once.
            files: [passwd_stamp.or(now.files[0]), group_stamp.or(now.files[1])],
            ..now
        },
    })))
}

/// The maps of a process's user namespace, if it is in that one, before and after.
fn ids(pid: u32, user_ns: Option<u32>) -> Option<Ids> {
    let proc = Root::at(Path::new("/proc"))?;
    let there = namespace(pid, "user")?;
    if user_ns.is_some_and(|wanted| wanted != there) {
        return None;
    }
    let map = |which: &str| {
        let (bytes, _) = proc.read(Path::new(&format!("{pid}/{which}")), MAP_BYTES_MAX)?;
        Some(IdMap::parse(&bytes))
    };
    let ids = Ids {
        users: map("uid_map")?,
        groups: map("gid_map")?,
    };
    (namespace(pid, "user") == Some(there)).then_some(ids)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_own_process_is_read_and_a_stranger_is_not() {
        let pid = std::process::id();
        let (mount_ns, user_ns) = (namespace(pid, "mnt").unwrap(), namespace(pid, "user").unwrap());
        let of = |pids, mount_ns| {
            read(Job::Accounts {
                whose: Whose { pids, mount_ns },
                before: None,
            })
        };
        let Read::Accounts(found) = of([0, pid], mount_ns) else {
            panic!("it has a root");
        };
        assert_eq!(found.accounts.user_name(0), Some(&b"root"[..]));
        let again = Job::Accounts {
            whose: Whose {
                pids: [pid, 0],
                mount_ns,
            },
            before: Some(found.stamps),
        };
        assert_eq!(read(again), Read::Unchanged);
        assert_eq!(of([pid, pid], mount_ns + 1), Read::Gone);
        let Read::Ids(ids) = read(Job::Ids { user_ns, pid }) else {
            panic!("it has maps");
        };
        assert_eq!(
            ids.users.inside(rustix::process::getuid().as_raw()),
            rustix::process::getuid().as_raw()
        );
        let other = user_ns + 1;
        assert_eq!(read(Job::Ids { user_ns: other, pid }), Read::Gone);
    }
}
