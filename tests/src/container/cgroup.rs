//! The folders above a container's cgroup, which runc makes and leaves behind.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

const TOP: &str = "/sys/fs/cgroup";

/// What this process's containers have made together: one's folder may be another's parent, or on its way to be.
static SHARED: Mutex<Shared> = Mutex::new(Shared {
    alive: 0,
    made: BTreeSet::new(),
});

struct Shared {
    alive: usize,
    made: BTreeSet<PathBuf>,
}

/// A container's claim on the folders above its cgroup. Dropping the last one removes those that were not there.
#[derive(Debug)]
pub(super) struct Parents(());

impl Parents {
    /// Notes which folders above `cgroup` are not there yet; to be called before runc makes them.
    pub(super) fn of(cgroup: &str) -> anyhow::Result<Self> {
        let inside = Path::new(cgroup.trim_start_matches('/'));
        let mut shared = lock();
        for top in tops()? {
            let parents = inside
                .ancestors()
                .skip(1)
                .filter(|path| !path.as_os_str().is_empty());
            let absent = parents.map(|path| top.join(path)).filter(|path| !path.exists());
            shared.made.extend(absent);
        }
        shared.alive += 1;
        Ok(Self(()))
    }
}

impl Drop for Parents {
    fn drop(&mut self) {
        let mut shared = lock();
        shared.alive -= 1;
        if shared.alive == 0 {
            // The deepest come last in the set's order. Who else uses one keeps it: only empty ones go.
            for path in std::mem::take(&mut shared.made).iter().rev() {
                let _ = fs::remove_dir(path);
            }
        }
    }
}

fn lock() -> MutexGuard<'static, Shared> {
    SHARED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Where runc may put a container's path: at the top of each hierarchy, and below the caller's own cgroup.
fn tops() -> anyhow::Result<BTreeSet<PathBuf>> {
    let own = fs::read_to_string("/proc/self/cgroup")?;
    let own: BTreeSet<&str> = own
        .lines()
        .filter_map(|line| line.splitn(3, ':').nth(2))
        .map(|path| path.trim_start_matches('/'))
        .collect();
    let mut hierarchies = vec![PathBuf::from(TOP)];
    hierarchies.extend(fs::read_dir(TOP)?.filter_map(|entry| Some(entry.ok()?.path())));
    hierarchies.retain(|path| path.join("cgroup.procs").exists());
    Ok(hierarchies
        .iter()
        .flat_map(|top| own.iter().map(|path| top.join(path)))
        .chain(hierarchies.clone())
        .collect())
}
