//! The processes that were there before the agent: read from /proc at start.
//!
//! The probes are attached first, so nothing that begins meanwhile is missed; what /proc and the records
//! both tell is one process, since /proc's start time is the kernel's, rounded down to a tick.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use procfs::process::{MountInfos, Process as ProcProcess};
use sensor_common::record::{FileId, Identity};
use serde::{Deserialize, Serialize};

use super::{
    State,
    cgroup::Cgroup,
    environment::EnvironmentKey,
    process::{Home, Image, Process, ProcessKey, TICK_NS, cmdline},
    programs::ProgramKey,
};
use crate::recording::forms;

/// Where to find the cgroups that containers are told by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hierarchies {
    /// Mount point of the v2 hierarchy.
    pub v2: Option<PathBuf>,
    /// The v1 controller that serves where a process is at v2's root, and its mount point.
    pub v1: Option<(String, PathBuf)>,
}

/// The v1 controllers that tell containers apart, best first; the programs choose by the same order.
const V1_CONTROLLERS: [&str; 5] = ["memory", "pids", "cpu", "devices", "freezer"];

impl Hierarchies {
    /// What this machine has mounted.
    #[must_use]
    pub fn find() -> Self {
        let mounts = ProcProcess::myself()
            .and_then(|own| own.mountinfo())
            .unwrap_or(MountInfos(Vec::new()));
        let v2 = mounts
            .0
            .iter()
            .find(|mount| mount.fs_type == "cgroup2")
            .map(|mount| mount.mount_point.clone());
        let v1 = V1_CONTROLLERS.into_iter().find_map(|controller| {
            let mount = mounts
                .0
                .iter()
                .find(|mount| mount.fs_type == "cgroup" && mount.super_options.contains_key(controller))?;
            Some((controller.to_owned(), mount.mount_point.clone()))
        });
        Self { v2, v1 }
    }

    /// Id and path of a process's cgroup, from its `/proc/PID/cgroup`. An id that cannot be found is 0.
    #[must_use]
    pub fn cgroup(&self, text: &str) -> (u64, String) {
        let mut v1_path = None;
        let mut v2_path = None;
        for line in text.lines() {
            let mut parts = line.splitn(3, ':');
            let (Some(number), Some(controllers), Some(path)) = (parts.next(), parts.next(), parts.next())
            else {
                continue;
            };
            if number == "0" && controllers.is_empty() {
                v2_path = Some(path);
            } else if let Some((wanted, _)) = &self.v1
                && controllers.split(',').any(|controller| controller == wanted)
            {
                v1_path = Some(path);
            }
        }
        let (root, path) = match (v2_path, v1_path, &self.v1) {
            (None | Some("/"), Some(path), Some((_, root))) if path != "/" => (Some(root), path),
            (Some(path), _, _) => (self.v2.as_ref(), path),
            (None, _, _) => (None, "/"),
        };
        let id = root
            .and_then(|root| inode(&root.join(path.trim_start_matches('/'))))
            .unwrap_or(0);
        (
            id,
            if path == "/" {
                String::new()
            } else {
                path.to_owned()
            },
        )
    }
}

/// A cgroup's id is the inode number of its directory (`cgroup_id`, `include/linux/cgroup.h`).
fn inode(path: &Path) -> Option<u64> {
    rustix::fs::stat(path).ok().map(|stat| stat.st_ino)
}

/// What was there before the agent.
#[derive(Clone, Debug, Default)]
pub struct Seed {
    /// The host's mount namespace; 0 when it cannot be told.
    pub host_mount_ns: u32,
    /// The processes.
    pub processes: Vec<Seeded>,
}

/// A process as /proc shows it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seeded {
    /// Its id, and its start time rounded down to a tick.
    pub key: ProcessKey,
    /// Its ids, namespaces and capabilities. The parent's start time is not known.
    #[serde(with = "forms::IdentityForm")]
    pub identity: Identity,
    /// Real user id.
    pub uid: u32,
    /// Real group id.
    pub gid: u32,
    /// Its program.
    pub image: Image,
    /// Its cgroup; 0 where the id cannot be found.
    pub cgroup_id: u64,
    /// From the hierarchy's root.
    #[serde(with = "forms::bytes")]
    pub cgroup_path: Box<[u8]>,
}

impl Seed {
    /// Reads every process that runs.
    #[must_use]
    pub fn from_proc() -> Self {
        let hierarchies = Hierarchies::find();
        let all = procfs::process::all_processes();
        Self {
            host_mount_ns: host_mount_ns(),
            // A process that ends while it is read is no fault: its end is seen by the probes.
            processes: all
                .into_iter()
                .flatten()
                .flatten()
                .filter_map(|process| read(&hierarchies, &process))
                .collect(),
        }
    }
}

impl State {
    /// Adds the processes that were there before; nothing else has been taken in yet. Returns how many there are.
    pub fn plant(&mut self, seed: Seed) -> usize {
        self.residences.set_host_mount_ns(seed.host_mount_ns);
        let first = seed.processes.iter().find(|process| process.key.tgid == 1);
        self.inside.host_user_ns = first.map_or(0, |first| first.identity.user_ns);
        let count = seed.processes.len();
        for seeded in seed.processes {
            let cgroup = if seeded.cgroup_id == 0 {
                Cgroup::new(0, &seeded.cgroup_path).into()
            } else {
                self.cgroups.learn(seeded.cgroup_id, &seeded.cgroup_path)
            };
            let parent_tgid = seeded.identity.parent_tgid;
            let process = Process {
                key: seeded.key,
                parent: (parent_tgid > 0).then_some(ProcessKey {
                    tgid: parent_tgid,
                    start_time_ns: 0,
                }),
                identity: seeded.identity,
                uid: seeded.uid,
                gid: seeded.gid,
                images: smallvec::smallvec![Arc::new(Image {
                    // What it runs is there to be looked at, so how fresh it was does not matter.
                    program: ProgramKey::of(&seeded.image.file, u64::MAX, 0),
                    environment: Some(EnvironmentKey {
                        process: seeded.key,
                        since_ns: 0,
                    }),
                    started_as: None,
                    ..seeded.image
                })],
                cgroup: Some(cgroup),
                home: Home::default(),
                exited_ns: None,
                is_approximate: true,
                children: 0,
            };
            self.processes.insert(process, 0);
        }
        self.settle_seeded();
        self.look_up_running();
        count
    }
}

fn read(hierarchies: &Hierarchies, process: &ProcProcess) -> Option<Seeded> {
    let stat = process.stat().ok()?;
    let status = process.status().ok()?;
    let text = std::fs::read_to_string(format!("/proc/{}/cgroup", process.pid)).ok()?;
    let (id, path) = hierarchies.cgroup(&text);
    let positive = |number: i32| u32::try_from(number).unwrap_or(0);
    let identity = Identity {
        parent_tgid: positive(stat.ppid),
        vpid: status
            .nspid
            .as_ref()
            .and_then(|pids| pids.last())
            .map_or(0, |pid| positive(*pid)),
        parent_start_time_ns: 0,
        cap_effective: status.capeff,
        cap_permitted: status.capprm,
        cap_inheritable: status.capinh,
        euid: status.euid,
        egid: status.egid,
        suid: status.suid,
        sgid: status.sgid,
        loginuid: process.loginuid().unwrap_or(u32::MAX),
        sid: positive(stat.session),
        pgid: positive(stat.pgrp),
        tty: u32::try_from(stat.tty_nr).unwrap_or(0),
        mount_ns: namespace(process.pid, "mnt"),
        pid_ns: namespace(process.pid, "pid"),
        net_ns: namespace(process.pid, "net"),
        user_ns: namespace(process.pid, "user"),
    };
    Some(Seeded {
        key: ProcessKey {
            tgid: positive(process.pid),
            start_time_ns: stat.starttime.checked_mul(TICK_NS)?,
        },
        identity,
        uid: status.ruid,
        gid: status.rgid,
        image: image(process.pid, stat.comm.as_bytes()),
        cgroup_id: id,
        cgroup_path: path.into_bytes().into(),
    })
}

/// The program of a process. `proc.exe` and argv are what the process shows now, which it may have
/// changed: only an exec record tells what it was started with.
fn image(pid: i32, name: &[u8]) -> Image {
    use std::os::unix::ffi::OsStrExt as _;

    let link = |what| std::fs::read_link(format!("/proc/{pid}/{what}")).unwrap_or_default();
    let argv = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let exe = link("exe");
    let exe_path = exe.as_os_str().as_bytes();
    let file = rustix::fs::stat(format!("/proc/{pid}/exe")).ok();
    Image {
        name: name.into(),
        // The kernel marks a deleted file itself.
        exe_path: exe_path.into(),
        filename: argv.split(|byte| *byte == 0).next().unwrap_or_default().into(),
        cmdline: cmdline(name, &argv),
        argc: u32::try_from(memchr::memchr_iter(0, &argv).count()).unwrap_or(u32::MAX),
        argv_len: u32::try_from(argv.len()).unwrap_or(u32::MAX),
        argv: argv.into(),
        cwd: link("cwd").as_os_str().as_bytes().into(),
        file: file.map_or_else(FileId::default, |stat| FileId {
            inode: stat.st_ino,
            device: rustix::fs::major(stat.st_dev) << 20 | rustix::fs::minor(stat.st_dev),
            mode: stat.st_mode,
            uid: stat.st_uid,
            links: u32::try_from(stat.st_nlink).unwrap_or(u32::MAX),
            ctime_ns: nanoseconds(stat.st_ctime, stat.st_ctime_nsec),
            mtime_ns: nanoseconds(stat.st_mtime, stat.st_mtime_nsec),
        }),
        ..Image::default()
    }
}

fn nanoseconds(seconds: i64, nanoseconds: impl TryInto<u64>) -> u64 {
    u64::try_from(seconds).unwrap_or(0) * 1_000_000_000 + nanoseconds.try_into().unwrap_or(0)
}

/// The host's mount namespace: that of the first process. 0 where it cannot be told.
fn host_mount_ns() -> u32 {
    namespace(1, "mnt")
}

/// The inode number in `mnt:[4026531840]`.
fn namespace(pid: i32, which: &str) -> u32 {
    let link = std::fs::read_link(format!("/proc/{pid}/ns/{which}")).unwrap_or_default();
    let text = link.to_string_lossy();
    text.split_once('[')
        .and_then(|(_, rest)| rest.strip_suffix(']'))
        .and_then(|number| number.parse().ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::StateLimits;

    #[test]
    fn a_cgroup_file_names_one_cgroup() {
        let hybrid = Hierarchies {
            v2: Some("/none".into()),
            v1: Some(("memory".into(), "/none".into())),
        };
        let pure = Hierarchies {
            v2: Some("/none".into()),
            v1: None,
        };
        let old = Hierarchies {
            v2: None,
            v1: Some(("memory".into(), "/none".into())),
        };
        let cases = [
            (
                &pure,
                "0::/system.slice/ssh.service\n",
                "/system.slice/ssh.service",
            ),
            (&pure, "0::/\n", ""),
            (&hybrid, "4:memory:/docker/x\n0::/docker/x\n", "/docker/x"),
            (&hybrid, "4:memory:/docker/x\n0::/\n", "/docker/x"),
            (&hybrid, "4:memory:/\n0::/a\n", "/a"),
            (&old, "9:cpu:/b\n4:memory:/docker/x\n", "/docker/x"),
            (&old, "9:cpuset,memory:/c:d\n", "/c:d"),
            (&pure, "", ""),
        ];
        for (hierarchies, text, expected) in cases {
            assert_eq!(hierarchies.cgroup(text).1, expected, "{text:?}");
        }
    }

    #[test]
    fn this_process_and_its_ancestors_are_found() {
        let limits = StateLimits {
            processes_max: 10_000,
            exited_keep_ns: 0,
            cgroups_max: 1000,
        };
        let mut state = State::new(limits);
        assert!(state.plant(Seed::from_proc()) > 1);
        let own = state
            .processes
            .get(ProcessKey {
                tgid: std::process::id(),
                start_time_ns: 0,
            })
            .unwrap();
        let program = own.images[0].exe_path.clone();
        assert_eq!(
            &*program,
            std::env::current_exe().unwrap().as_os_str().as_encoded_bytes()
        );
        let parent = state.processes.ancestors(own).next().unwrap();
        assert_eq!(
            parent.key.tgid,
            rustix::process::getppid().map_or(0, |pid| pid.as_raw_nonzero().get().cast_unsigned())
        );
    }
}
