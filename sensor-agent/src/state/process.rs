//! The process table.
//!
//! A process is `(tgid, start time)`, never a bare pid. An exec makes a new image of the same process; old
//! images stay, so that an event that is read late is told with the program that ran when it happened. An
//! ended process stays for a while for the same reason, and as long as it has living children, so that
//! lineage survives a parent that ends first.

#[cfg(test)]
mod tests;

use std::{collections::VecDeque, sync::Arc};

use hashbrown::HashMap;
use sensor_common::record::{FileId, Identity, IdentityCall, Standard, flags};
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use super::{
    cgroup::Cgroup, container::Container, environment::EnvironmentKey, programs::ProgramKey,
    residence::Entry, runtime_call::RuntimeCall,
};
use crate::{
    event::{Event, Exec},
    recording::forms,
};

/// The initial pid namespace (`PROC_PID_INIT_INO`, `include/linux/proc_ns.h`), in which every process has its own id.
pub(crate) const INITIAL_PID_NS: u32 = 0xefff_fffc;

/// Images of one process that are kept.
const IMAGES_MAX: usize = 8;

/// Length of one tick of `/proc/PID/stat`'s start time: `USER_HZ` is 100 on every architecture we run on
/// (`include/asm-generic/param.h`).
pub const TICK_NS: u64 = 10_000_000;

/// Ancestors that are followed.
pub const ANCESTORS_MAX: u32 = 64;

/// What tells one process from all others since boot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ProcessKey {
    /// Process id in the initial pid namespace.
    pub tgid: u32,
    /// Nanoseconds after boot; 0 when it is not known.
    pub start_time_ns: u64,
}

/// As whom a program was started: ids and power right after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Credentials {
    /// Real user id.
    pub uid: u32,
    /// Effective user id.
    pub euid: u32,
    /// Login user id; `u32::MAX` for nobody.
    pub loginuid: u32,
    /// Effective capabilities.
    pub cap_effective: u64,
}

impl Credentials {
    /// Of a process.
    #[must_use]
    pub const fn of(uid: u32, identity: &Identity) -> Self {
        Self {
            uid,
            euid: identity.euid,
            loginuid: identity.loginuid,
            cap_effective: identity.cap_effective,
        }
    }
}

/// A program that a process runs or ran.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Image {
    /// Since when, in nanoseconds after boot.
    pub since_ns: u64,
    /// The thread's name right after the exec.
    #[serde(with = "forms::bytes")]
    pub name: Box<[u8]>,
    /// Resolved path of the program file.
    #[serde(with = "forms::bytes")]
    pub exe_path: Box<[u8]>,
    /// The name it was called by.
    #[serde(with = "forms::bytes")]
    pub filename: Box<[u8]>,
    /// Of a script, its interpreter's name.
    #[serde(with = "forms::bytes")]
    pub interpreter: Box<[u8]>,
    /// Arguments, each ended by a zero byte.
    #[serde(with = "forms::bytes")]
    pub argv: Box<[u8]>,
    /// Arguments but for the first, joined by spaces, behind the name: Falco's `proc.cmdline`.
    #[serde(with = "forms::bytes")]
    pub cmdline: Box<[u8]>,
    /// Working directory at the exec.
    #[serde(with = "forms::bytes")]
    pub cwd: Box<[u8]>,
    /// The program file.
    #[serde(with = "forms::FileIdForm")]
    pub file: FileId,
    /// [`flags`](sensor_common::record::flags) of the exec record.
    pub flags: u32,
    /// Arguments that the kernel counted.
    pub argc: u32,
    /// All of argv, in bytes, before any cut.
    pub argv_len: u32,
    /// What standard input, output and error were at the exec.
    #[serde(with = "forms::StandardForm")]
    pub standard: Standard,
    /// Nothing but the name is known.
    pub is_partial: bool,
    /// What tells its file from others; `None` where its start was not seen.
    pub(crate) program: Option<ProgramKey>,
    /// What tells its environment from others; `None` where nothing was ever seen of its start.
    pub(crate) environment: Option<EnvironmentKey>,
    /// As whom it was started; `None` where that was not seen.
    pub started_as: Option<Credentials>,
}

/// A process.
#[derive(Debug)]
pub struct Process {
    /// Who it is.
    pub key: ProcessKey,
    /// Who made it; a start time of 0 means whoever had that id.
    pub parent: Option<ProcessKey>,
    /// Ids, namespaces, capabilities, at its last fork or exec.
    pub identity: Identity,
    /// Real user id.
    pub uid: u32,
    /// Real group id.
    pub gid: u32,
    /// Its programs, the newest last; never empty.
    pub images: SmallVec<[Arc<Image>; 2]>,
    /// The cgroup that it was in at its last fork, exec or move.
    pub cgroup: Option<Arc<Cgroup>>,
    /// Where it belongs, whatever its cgroup says now.
    pub home: Home,
    /// When it ended.
    pub exited_ns: Option<u64>,
    /// The start time comes from /proc, which rounds it down to a tick.
    pub is_approximate: bool,
    /// Processes in the table that name it as their parent.
    pub children: u32,
}

/// Where a process belongs; the host by default.
#[derive(Clone, Debug, Default)]
pub struct Home {
    /// Its container.
    pub container: Option<Arc<Container>>,
    /// How it, or the ancestor that came from outside, got there.
    pub entry: Option<Entry>,
    /// The call of an OCI runtime that this process is.
    pub runtime_call: Option<Arc<RuntimeCall>>,
}

impl Image {
    /// All that is known of a program that nobody saw start.
    #[must_use]
    pub fn unknown(name: &[u8]) -> Arc<Self> {
        Arc::new(Self {
            name: name.into(),
            is_partial: true,
            ..Self::default()
        })
    }

    /// From an exec event, which happened then in nanoseconds since 1970.
    fn from_exec(event: &Event<'_>, exec: &Exec<'_>, epoch_ns: u64) -> Arc<Self> {
        Arc::new(Self {
            since_ns: event.header.time_ns,
            name: event.comm().into(),
            exe_path: exe_path(exec.path, event.header.flags),
            filename: exec.filename.into(),
            interpreter: exec.interpreter.into(),
            argv: exec.argv.into(),
            cmdline: cmdline(event.comm(), exec.argv),
            cwd: exec.cwd.into(),
            file: exec.fixed.file,
            flags: event.header.flags,
            argc: exec.fixed.argc,
            argv_len: exec.fixed.argv_len,
            standard: exec.fixed.standard,
            is_partial: false,
            program: ProgramKey::of(&exec.fixed.file, epoch_ns, event.header.time_ns),
            environment: Some(EnvironmentKey {
                process: super::key(event),
                since_ns: event.header.time_ns,
            }),
            started_as: Some(Credentials::of(event.header.uid, &exec.fixed.identity)),
        })
    }

    /// The arguments, the first included.
    pub fn args(&self) -> impl Iterator<Item = &[u8]> {
        let argv = self.argv.strip_suffix(&[0]).unwrap_or(&self.argv);
        let is_empty = self.argv.is_empty();
        argv.split(|byte| *byte == 0).filter(move |_| !is_empty)
    }
}

/// The program's path, marked as the kernel and Falco mark a file without a name. The mark comes from the
/// file's link count: a file that is merely named so does not get a second one. A memfd never had a name.
fn exe_path(path: &[u8], found: u32) -> Box<[u8]> {
    if found & flags::DELETED != 0 && found & flags::MEMFD == 0 {
        [path, b" (deleted)"].concat().into()
    } else {
        path.into()
    }
}

/// Falco's `proc.cmdline`: the process's name and its arguments without the first, joined by spaces.
#[must_use]
pub fn cmdline(name: &[u8], argv: &[u8]) -> Box<[u8]> {
    let argv = argv.strip_suffix(&[0]).unwrap_or(argv);
    let mut line = Vec::with_capacity(name.len() + argv.len());
    line.extend_from_slice(name);
    for argument in argv.split(|byte| *byte == 0).skip(1) {
        line.push(b' ');
        line.extend_from_slice(argument);
    }
    line.into()
}

impl Process {
    /// Whether it has started a program after this time, in nanoseconds after boot.
    fn has_started_since(&self, time_ns: u64) -> bool {
        self.images.last().is_some_and(|image| image.since_ns > time_ns)
    }

    /// The program that it ran at a time: the newest one that is not younger.
    #[must_use]
    pub fn image_at(&self, time_ns: u64) -> &Arc<Image> {
        self.images
            .iter()
            .rev()
            .find(|image| image.since_ns <= time_ns)
            .unwrap_or(&self.images[0])
    }

    fn is(&self, key: ProcessKey) -> bool {
        let (own, asked) = (self.key.start_time_ns, key.start_time_ns);
        own == asked || asked == 0 || (self.is_approximate && own == asked / TICK_NS * TICK_NS)
    }
}

/// What a process is called within a pid namespace of its own; `None` for those of the initial one.
fn own_id(process: &Process) -> Option<(u32, u32)> {
    let Identity { pid_ns, vpid, .. } = process.identity;
    (pid_ns != 0 && vpid != 0 && pid_ns != INITIAL_PID_NS).then_some((pid_ns, vpid))
}

/// All processes, by id and start time.
#[derive(Debug)]
pub struct Processes {
    /// Mostly one each; an id that is used again has its former owners here as long as they are kept.
    by_tgid: HashMap<u32, SmallVec<[Box<Process>; 1]>, foldhash::fast::RandomState>,
    /// By pid namespace and id therein, the initial namespace excepted: the newest owner's id.
    by_own_id: HashMap<(u32, u32), u32, foldhash::fast::RandomState>,
    len: usize,
    len_max: usize,
    exited_keep_ns: u64,
    /// Ended processes in the order of their end.
    exited: VecDeque<(u64, ProcessKey)>,
    /// Processes that were dropped because the table was full.
    pub evicted: u64,
    /// Events of processes that were not in the table.
    pub unknown: u64,
}

impl Processes {
    /// An empty table.
    #[must_use]
    pub fn new(len_max: usize, exited_keep_ns: u64) -> Self {
        Self {
            by_tgid: HashMap::default(),
            by_own_id: HashMap::default(),
            len: 0,
            len_max: len_max.max(1),
            exited_keep_ns,
            exited: VecDeque::new(),
            evicted: 0,
            unknown: 0,
        }
    }

    /// Processes in the table.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// A process.
    #[must_use]
    pub fn get(&self, key: ProcessKey) -> Option<&Process> {
        self.by_tgid
            .get(&key.tgid)?
            .iter()
            .rev()
            .find(|process| process.is(key))
            .map(|found| &**found)
    }

    /// The newest process that has an id within a pid namespace.
    #[must_use]
    pub fn within(&self, pid_ns: u32, id: u32) -> Option<&Process> {
        if pid_ns == INITIAL_PID_NS {
            return self.get(ProcessKey {
                tgid: id,
                start_time_ns: 0,
            });
        }
        let owners = self.by_tgid.get(self.by_own_id.get(&(pid_ns, id))?)?;
        let mut newest = owners.iter().rev();
        newest
            .find(|process| own_id(process) == Some((pid_ns, id)))
            .map(|found| &**found)
    }

    fn get_mut(&mut self, key: ProcessKey) -> Option<&mut Process> {
        self.by_tgid
            .get_mut(&key.tgid)?
            .iter_mut()
            .rev()
            .find(|process| process.is(key))
            .map(|found| &mut **found)
    }

    /// A process; one that came from /proc now gets its exact start time.
    pub fn get_or_upgrade(&mut self, key: ProcessKey) -> Option<&Process> {
        let process = self.get_mut(key)?;
        if process.is_approximate && key.start_time_ns != 0 {
            process.key = key;
            process.is_approximate = false;
        }
        Some(process)
    }

    /// The program that a process ran at a time.
    #[must_use]
    pub fn image_at(&self, key: ProcessKey, time_ns: u64) -> Option<Arc<Image>> {
        self.get(key).map(|process| Arc::clone(process.image_at(time_ns)))
    }

    /// Ancestors, the parent first, at most [`ANCESTORS_MAX`].
    pub fn ancestors(&self, of: &Process) -> impl Iterator<Item = &Process> {
        let mut next = of.parent;
        let mut steps = 0;
        std::iter::from_fn(move || {
            steps += 1;
            let found = self.get(next?).filter(|_| steps <= ANCESTORS_MAX)?;
            next = found.parent.filter(|parent| *parent != found.key);
            Some(found)
        })
    }

    /// Adds a process, unless it is there.
    pub fn insert(&mut self, process: Process, now_ns: u64) {
        if self.get(process.key).is_some() {
            return;
        }
        if self.len >= self.len_max {
            self.evict(now_ns);
        }
        if let Some(parent) = process.parent.and_then(|parent| self.get_mut(parent)) {
            parent.children += 1;
        }
        if let Some(own) = own_id(&process) {
            self.by_own_id.insert(own, process.key.tgid);
        }
        self.by_tgid
            .entry(process.key.tgid)
            .or_default()
            .push(Box::new(process));
        self.len += 1;
    }

    /// Adds a process of which only an activity record tells.
    pub fn insert_unknown(&mut self, event: &Event<'_>, cgroup: Option<Arc<Cgroup>>) {
        self.unknown += 1;
        let header = &event.header;
        let process = Process {
            key: super::key(event),
            parent: None,
            identity: Identity {
                euid: header.uid,
                egid: header.gid,
                loginuid: u32::MAX,
                ..Identity::default()
            },
            uid: header.uid,
            gid: header.gid,
            images: smallvec::smallvec![Image::unknown(event.comm())],
            home: Home {
                container: cgroup.as_ref().and_then(|cgroup| cgroup.container.clone()),
                ..Home::default()
            },
            cgroup,
            exited_ns: None,
            is_approximate: false,
            children: 0,
        };
        self.insert(process, header.time_ns);
    }

    /// Takes in an exec: a new image, and newer identities. `epoch_ns` is when, in nanoseconds since 1970.
    pub fn exec(
        &mut self,
        event: &Event<'_>,
        exec: &Exec<'_>,
        epoch_ns: u64,
        cgroup: Arc<Cgroup>,
        home: Home,
    ) {
        let key = super::key(event);
        let image = Image::from_exec(event, exec, epoch_ns);
        let identity = exec.fixed.identity;
        self.get_or_upgrade(key);
        if let Some(process) = self.get_mut(key) {
            process.identity = identity;
            process.uid = event.header.uid;
            process.gid = event.header.gid;
            process.cgroup = Some(cgroup);
            process.home = home;
            if process.images.len() == IMAGES_MAX {
                process.images.remove(0);
            }
            process.images.push(image);
            // One that was not seen to begin is known by its own id from here on.
            if let Some(own) = own_id(process) {
                self.by_own_id.insert(own, key.tgid);
            }
            return;
        }
        let process = Process {
            key,
            parent: Some(super::parent_key(&identity)),
            identity,
            uid: event.header.uid,
            gid: event.header.gid,
            images: smallvec::smallvec![image],
            cgroup: Some(cgroup),
            home,
            exited_ns: None,
            is_approximate: false,
            children: 0,
        };
        self.insert(process, event.header.time_ns);
    }

    /// Takes in who a process is after a call, unless it has started a program since: that knew better.
    ///
    /// Its mount namespace stays that of its last fork or exec: a child that is in another one has come from outside,
    /// and whether the parent's `setns` or the child's fork is told first is chance, since they come by different rings.
    pub fn identify(&mut self, key: ProcessKey, time_ns: u64, call: &IdentityCall) {
        if let Some(process) = self.get_mut(key)
            && !process.has_started_since(time_ns)
        {
            process.identity = Identity {
                mount_ns: process.identity.mount_ns,
                ..call.identity
            };
            process.uid = call.uid;
            process.gid = call.gid;
        }
    }

    /// Takes in a move to another cgroup, unless it has started a program since: that knew better.
    pub fn moved(&mut self, key: ProcessKey, time_ns: u64, cgroup: Arc<Cgroup>) {
        if let Some(process) = self.get_mut(key)
            && !process.has_started_since(time_ns)
        {
            process.cgroup = Some(cgroup);
        }
    }

    /// Says where a process belongs.
    pub fn set_home(&mut self, key: ProcessKey, home: Home) {
        if let Some(process) = self.get_mut(key) {
            process.home = home;
        }
    }

    /// Every process.
    pub fn iter(&self) -> impl Iterator<Item = &Process> {
        self.by_tgid.values().flatten().map(|process| &**process)
    }

    /// Takes in an end; the process stays for a while.
    pub fn exit(&mut self, key: ProcessKey, time_ns: u64) {
        if let Some(process) = self.get_mut(key)
            && process.exited_ns.is_none()
        {
            process.exited_ns = Some(time_ns);
            self.exited.push_back((time_ns, key));
        }
    }

    /// Forgets processes that ended long enough ago and have no children in the table.
    pub fn sweep(&mut self, now_ns: u64) {
        while let Some(&(time_ns, key)) = self.exited.front() {
            if !self.is_old(time_ns, now_ns) {
                break;
            }
            self.exited.pop_front();
            self.remove_if_childless(key, now_ns);
        }
    }

    fn is_old(&self, exited_ns: u64, now_ns: u64) -> bool {
        exited_ns.saturating_add(self.exited_keep_ns) <= now_ns
    }

    /// Removes an old process without children, and then each ancestor that only waited for it.
    fn remove_if_childless(&mut self, key: ProcessKey, now_ns: u64) {
        let mut next = Some(key);
        for _ in 0..=ANCESTORS_MAX {
            let Some(process) = next.and_then(|key| self.get(key)) else {
                return;
            };
            let is_old = process
                .exited_ns
                .is_some_and(|exited_ns| self.is_old(exited_ns, now_ns));
            if !is_old || process.children > 0 {
                return;
            }
            next = process.parent;
            self.remove(process.key);
        }
    }

    fn remove(&mut self, key: ProcessKey) {
        let Some(owners) = self.by_tgid.get_mut(&key.tgid) else {
            return;
        };
        let Some(index) = owners.iter().position(|process| process.key == key) else {
            return;
        };
        let removed = owners.remove(index);
        if owners.is_empty() {
            self.by_tgid.remove(&key.tgid);
        }
        self.len -= 1;
        if let Some(own) = own_id(&removed)
            && self.by_own_id.get(&own) == Some(&key.tgid)
            && self.within(own.0, own.1).is_none()
        {
            self.by_own_id.remove(&own);
        }
        if let Some(parent) = removed.parent.and_then(|parent| self.get_mut(parent)) {
            parent.children = parent.children.saturating_sub(1);
        }
    }

    /// Makes room: the process that ended first goes, whatever it still has; with none ended, any one.
    fn evict(&mut self, now_ns: u64) {
        self.sweep(now_ns);
        while self.len >= self.len_max {
            let key = match self.exited.pop_front() {
                Some((_, key)) => self.get(key).map(|process| process.key),
                None => self
                    .by_tgid
                    .values()
                    .next()
                    .and_then(|owners| owners.first())
                    .map(|process| process.key),
            };
            if let Some(key) = key {
                self.remove(key);
                self.evicted += 1;
            } else if self.exited.is_empty() && self.by_tgid.is_empty() {
                return;
            }
        }
    }
}
