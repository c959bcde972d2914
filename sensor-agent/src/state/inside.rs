//! Users and groups as they are inside: names of each container, from the files of its own root, and what ids mean in a
//! user namespace.
//!
//! Everything here was read by another thread ([`identity`](crate::identity)) and is only looked up. An id of the host
//! never gets a container's name, nor the other way round.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{
    answers::Answers,
    users::{
        Users,
        ids::{IdMap, Ids},
    },
};
use crate::recording::forms;

/// Names of one container.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct InnerNames {
    /// Users and groups, by the ids that they have inside.
    #[serde(with = "forms::shared")]
    pub users: Arc<Users>,
    /// What the host's ids are inside.
    pub ids: Ids,
}

/// Names and ids.
#[derive(Debug)]
pub struct Inside {
    /// Of containers, by their ids.
    pub names: Answers<Box<str>, InnerNames>,
    /// Of user namespaces, by their inode numbers.
    pub namespaces: Answers<u32, Ids>,
    /// The host's own user namespace; 0 when it is not known.
    pub host_user_ns: u32,
}

impl Inside {
    /// Nothing known yet; at most so many containers, and as many user namespaces.
    #[must_use]
    pub fn new(len_max: usize) -> Self {
        Self {
            names: Answers::new(len_max),
            namespaces: Answers::new(len_max),
            host_user_ns: 0,
        }
    }

    /// What a user's id is in a user namespace; `None` where its map is not known.
    #[must_use]
    pub fn uid_in(&self, user_ns: u32, uid: u32) -> Option<u32> {
        self.id_in(user_ns, uid, |ids| &ids.users)
    }

    /// The same of a group's id.
    #[must_use]
    pub fn gid_in(&self, user_ns: u32, gid: u32) -> Option<u32> {
        self.id_in(user_ns, gid, |ids| &ids.groups)
    }

    fn id_in(&self, user_ns: u32, id: u32, map: impl Fn(&Ids) -> &IdMap) -> Option<u32> {
        if self.is_hosts(user_ns) {
            return Some(id);
        }
        Some(map(self.namespaces.get(&user_ns)?).inside(id))
    }

    /// Notes that the maps of a user namespace are wanted. Returns whether somebody has to look for them.
    pub fn want_ids(&mut self, user_ns: u32) -> bool {
        // A namespace is made first, and its maps are written a moment later.
        user_ns != 0
            && !self.is_hosts(user_ns)
            && self
                .namespaces
                .want_if(user_ns, |ids| ids.users.is_empty() || ids.groups.is_empty())
    }

    fn is_hosts(&self, user_ns: u32) -> bool {
        user_ns != 0 && user_ns == self.host_user_ns
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_told_by_namespace() {
        let mut inside = Inside::new(2);
        inside.host_user_ns = 1;
        assert!(!inside.want_ids(1) && !inside.want_ids(0) && inside.want_ids(2) && !inside.want_ids(2));
        let of = |inside: &Inside, user_ns| inside.uid_in(user_ns, 5);
        assert_eq!(
            (of(&inside, 1), of(&inside, 2), of(&inside, 0)),
            (Some(5), None, None)
        );
        let ids = Ids {
            users: IdMap::parse(b"0 1000 1"),
            groups: IdMap::parse(b"0 100 1"),
        };
        inside.namespaces.learn(&2, Some(ids));
        assert_eq!(
            (inside.uid_in(2, 1000), inside.gid_in(2, 100)),
            (Some(0), Some(0))
        );
        inside.namespaces.forget(&2);
        assert!(inside.uid_in(2, 1000).is_none() && inside.want_ids(2));
        inside.namespaces.learn(&2, Some(Ids::default()));
        assert!(inside.want_ids(2), "the map was not written yet");
    }
}
