//! The canary itself: a process that the agent starts, which does what it is told and ends.

use std::{
    io::{Read as _, Write as _},
    net::{Ipv4Addr, Ipv6Addr, TcpStream},
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use rustix::fs::{AtFlags, CWD, Mode, OFlags};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::{act::Act, round::Round};
use crate::{cli::Exit, state::seed::Hierarchies};

/// The variable by which the canary hands on what it was told when it becomes itself anew.
const TOLD: &str = "SENSOR_CANARY";
/// What the names of canaries' cgroups begin with.
const CGROUP: &str = "sensor-canary-";
/// What a canary may be told, in bytes.
const TOLD_BYTES_MAX: u64 = 64 * 1024;

/// What a canary is told.
#[derive(Debug, Serialize, Deserialize)]
struct Told {
    folder: PathBuf,
    ports: [Option<u16>; 2],
    acts: Vec<Act>,
}

/// Starts a canary in a cgroup of its own, and waits for its end. Returns what it could not do.
pub(super) async fn run(round: &Round) -> Result<Vec<Act>, String> {
    let said = |what: &str, error: std::io::Error| format!("{what}: {error}");
    std::fs::create_dir(&round.folder).map_err(|error| said("no folder for the canary", error))?;
    let _folder = Gone(round.folder.clone());
    for name in ["file", "old", "gone"] {
        let written = std::fs::write(round.folder.join(name), "");
        written.map_err(|error| said("no file for the canary", error))?;
    }
    let told = Told {
        folder: round.folder.clone(),
        ports: round.ports,
        acts: round.wanted.iter().map(|wanted| wanted.act).collect(),
    };
    let told = serde_json::to_vec(&told).map_err(|error| error.to_string())?;
    let mut child = tokio::process::Command::new("/proc/self/exe")
        .args(["canary", &round.nonce])
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| said("the canary cannot be started", error))?;
    let _cgroup = child.id().and_then(|pid| own_cgroup(pid, &round.nonce));
    if let Some(mut input) = child.stdin.take() {
        input
            .write_all(&told)
            .await
            .map_err(|error| said("the canary does not listen", error))?;
    }
    let mut output = Vec::new();
    if let Some(stdout) = child.stdout.take() {
        let read = stdout.take(TOLD_BYTES_MAX).read_to_end(&mut output).await;
        read.map_err(|error| said("the canary does not answer", error))?;
    }
    let status = child
        .wait()
        .await
        .map_err(|error| said("the canary is lost", error))?;
    if !status.success() {
        return Err(format!("the canary ended with {status}"));
    }
    serde_json::from_slice(&output).map_err(|error| format!("the canary's answer is not understood: {error}"))
}

/// A folder, or a cgroup, that goes with it.
struct Gone(PathBuf);

impl Drop for Gone {
    fn drop(&mut self) {
        // A cgroup has no files that could be removed.
        if std::fs::remove_dir(&self.0).is_err() {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }
}

/// Removes what agents that were killed have left; a cgroup with a process in it stays.
fn sweep(own: &Path) {
    let entries = std::fs::read_dir(own).into_iter().flatten().flatten();
    for entry in entries.filter(|entry| {
        entry
            .file_name()
            .as_encoded_bytes()
            .starts_with(CGROUP.as_bytes())
    }) {
        let _ = std::fs::remove_dir(entry.path());
    }
}

/// Puts the canary into a cgroup below the agent's. Where that cannot be, it stays where it is.
fn own_cgroup(pid: u32, nonce: &str) -> Option<Gone> {
    let mount = Hierarchies::find().v2?;
    let own = std::fs::read_to_string("/proc/self/cgroup").ok()?;
    let path = own.lines().find_map(|line| line.strip_prefix("0::/"))?;
    let own = mount.join(path);
    sweep(&own);
    let folder = own.join(format!("{CGROUP}{}", nonce.get(..16)?));
    std::fs::create_dir(&folder).ok()?;
    let cgroup = Gone(folder);
    std::fs::write(cgroup.0.join("cgroup.procs"), pid.to_string()).ok()?;
    Some(cgroup)
}

/// `sensor canary NONCE`: told what to do on standard input, becomes itself anew, does it, and says what it could not
/// do.
#[must_use]
pub fn perform(nonce: &str) -> Exit {
    match std::env::var(TOLD) {
        Ok(told) => match serde_json::from_str(&told) {
            Ok(told) => answer(&act(&told)),
            Err(_) => Exit::Wrong,
        },
        Err(_) => begin(nonce),
    }
}

/// Reads what is to be done, and becomes itself anew: the first thing.
fn begin(nonce: &str) -> Exit {
    let mut told = String::new();
    let read = std::io::stdin()
        .lock()
        .take(TOLD_BYTES_MAX)
        .read_to_string(&mut told);
    if read.is_err() {
        return Exit::Wrong;
    }
    let failed = Command::new("/proc/self/exe")
        .args(["canary", nonce])
        .env(TOLD, told)
        .exec();
    crate::cli::fail(Exit::Failed, &failed)
}

fn answer(failed: &[Act]) -> Exit {
    match serde_json::to_writer(std::io::stdout().lock(), failed) {
        Ok(()) if std::io::stdout().flush().is_ok() => Exit::Done,
        _ => Exit::Failed,
    }
}

/// Does everything in its order; what could not be done.
fn act(told: &Told) -> Vec<Act> {
    let could_not = |act: &&Act| do_one(**act, told).is_none();
    told.acts.iter().filter(could_not).copied().collect()
}

/// Does one thing; `None` when it cannot be done. What only the kernel does (it is started, it ends) is done.
fn do_one(act: Act, told: &Told) -> Option<()> {
    let at = |name: &str| told.folder.join(name);
    let connect =
        |address: std::net::IpAddr, port: Option<u16>| TcpStream::connect((address, port?)).ok().map(drop);
    match act {
        Act::Fork | Act::Exec | Act::Exit => Some(()),
        Act::Open => rustix::fs::openat(CWD, at("file"), OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
            .ok()
            .map(drop),
        Act::Connect4 => connect(Ipv4Addr::LOCALHOST.into(), told.ports[0]),
        Act::Connect6 => connect(Ipv6Addr::LOCALHOST.into(), told.ports[1]),
        Act::Mkdir => rustix::fs::mkdirat(CWD, at("folder"), Mode::RWXU).ok(),
        Act::Rename => rustix::fs::renameat(CWD, at("old"), CWD, at("new")).ok(),
        Act::Link => rustix::fs::linkat(CWD, at("file"), CWD, at("linked"), AtFlags::empty()).ok(),
        Act::Symlink => rustix::fs::symlinkat(at("file"), CWD, at("symbolic")).ok(),
        Act::Unlink => rustix::fs::unlinkat(CWD, at("gone"), AtFlags::empty()).ok(),
        Act::Chmod => rustix::fs::chmodat(CWD, at("file"), Mode::RUSR | Mode::WUSR, AtFlags::empty()).ok(),
        Act::Chdir => rustix::process::chdir(&told.folder).ok(),
        Act::Memfd => {
            let name = told.folder.file_name()?.to_str()?;
            rustix::fs::memfd_create(name, rustix::fs::MemfdFlags::CLOEXEC)
                .ok()
                .map(drop)
        }
        Act::Setsid => rustix::process::setsid().ok().map(drop),
        Act::Kill => rustix::process::test_kill_process(rustix::process::getpid()).ok(),
    }
}
