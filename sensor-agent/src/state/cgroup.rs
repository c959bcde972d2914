//! Cgroups by id, and what happened in each.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use hashbrown::HashMap;
use sensor_common::kind::{KIND_COUNT, Kind};

use super::container::{self, Container};

/// A cgroup.
#[derive(Debug)]
pub struct Cgroup {
    /// The kernel's id: the inode number of its directory.
    pub id: u64,
    /// From the hierarchy's root; not necessarily UTF-8.
    pub path: Box<[u8]>,
    /// The container that its path names.
    pub container: Option<Arc<Container>>,
    /// Events that were delivered, by kind.
    delivered: [AtomicU64; KIND_COUNT],
}

impl Cgroup {
    /// Knows of a cgroup.
    #[must_use]
    pub fn new(id: u64, path: &[u8]) -> Self {
        Self {
            id,
            path: path.into(),
            container: container::from_cgroup_path(path).map(Arc::new),
            delivered: std::array::from_fn(|_| AtomicU64::new(0)),
        }
    }

    /// Counts a delivered event. Only the pipeline's thread does, so this is no contended atomic.
    pub fn count(&self, kind: Kind) {
        let counter = &self.delivered[kind as usize];
        counter.store(counter.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
    }

    /// Events that were delivered of a kind.
    #[must_use]
    pub fn delivered(&self, kind: Kind) -> u64 {
        self.delivered[kind as usize].load(Ordering::Relaxed)
    }
}

/// All cgroups that were seen, by id.
#[derive(Debug)]
pub struct Cgroups {
    by_id: HashMap<u64, Arc<Cgroup>, foldhash::fast::RandomState>,
    len_max: usize,
    /// Cgroups that were forgotten because the table was full.
    pub evicted: u64,
}

impl Cgroups {
    /// An empty table.
    #[must_use]
    pub fn new(len_max: usize) -> Self {
        Self {
            by_id: HashMap::default(),
            len_max: len_max.max(1),
            evicted: 0,
        }
    }

    /// A cgroup that is known.
    #[must_use]
    pub fn get(&self, id: u64) -> Option<Arc<Cgroup>> {
        self.by_id.get(&id).cloned()
    }

    /// The cgroup of this id and path. An id whose path changed is a new cgroup: the old one is gone or
    /// was renamed.
    pub fn learn(&mut self, id: u64, path: &[u8]) -> Arc<Cgroup> {
        if let Some(known) = self.by_id.get(&id)
            && *known.path == *path
        {
            return Arc::clone(known);
        }
        if self.by_id.len() >= self.len_max {
            self.make_room();
        }
        let cgroup = Arc::new(Cgroup::new(id, path));
        self.by_id.insert(id, Arc::clone(&cgroup));
        cgroup
    }

    /// Forgets the cgroups for which `keep` says no.
    pub fn retain(&mut self, mut keep: impl FnMut(u64) -> bool) {
        self.by_id.retain(|id, _| keep(*id));
    }

    /// Forgets the cgroups that no process in the table is in; with none such, all of them: processes
    /// keep their own.
    fn make_room(&mut self) {
        let before = self.by_id.len();
        self.by_id.retain(|_, cgroup| Arc::strong_count(cgroup) > 1);
        if self.by_id.len() == before {
            self.by_id.clear();
        }
        self.evicted += (before - self.by_id.len()) as u64;
    }

    /// Every cgroup.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Cgroup>> {
        self.by_id.values()
    }

    /// Cgroups in the table.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cgroup_is_learnt_once_and_again_when_its_path_changes() {
        let mut cgroups = Cgroups::new(8);
        let first = cgroups.learn(7, b"/a");
        assert!(Arc::ptr_eq(&first, &cgroups.learn(7, b"/a")));
        let renamed = cgroups.learn(7, b"/b");
        assert!(!Arc::ptr_eq(&first, &renamed));
        assert_eq!(*cgroups.get(7).unwrap().path, *b"/b");
    }

    #[test]
    fn a_full_table_forgets_the_unused_first() {
        let mut cgroups = Cgroups::new(3);
        let used = cgroups.learn(1, b"/used");
        for id in 2..50 {
            cgroups.learn(id, b"/churn");
            assert!(cgroups.len() <= 3);
        }
        assert!(Arc::ptr_eq(&used, &cgroups.get(1).unwrap()));
        assert_eq!(cgroups.evicted, 47 - cgroups.len() as u64 + 2);
    }
}
