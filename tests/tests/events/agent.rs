//! The agent that the tests of this program share.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    path::PathBuf,
    process::{Child, Command, Output, Stdio},
    sync::{Arc, Mutex, PoisonError, Weak},
};

use sensor_proto::v1::{Detection, Filter};
use sensor_tests::{
    client::{Client, Subscription},
    helper,
    lock::{self, Claim},
    report,
    sensor::Sensor,
    wait::DEADLINE,
};

/// Only programs of the tests open files here that a rule asks for: this machine has others.
const RULES: &str = r#"
- macro: ours
  condition: proc.name startswith e2e- or fd.name contains e2e- or fd.nameraw contains e2e-
- rule: exec
  desc: every field of an exec
  condition: evt.type in (execve, execveat)
  output: >
    %evt.type %evt.arg.filename %evt.arg.loginuid %evt.time %proc.name %proc.exe %proc.exepath %proc.cmdline %proc.args
    %proc.exeline %proc.cmdnargs %proc.cwd %proc.tty %proc.pid %proc.ppid %proc.pname %proc.pexepath %proc.pcmdline
    %proc.aname[1] %proc.aname[2] %proc.apid[1] %proc.apid[2] %proc.vpid %proc.sid %proc.is_exe_upper_layer
    %proc.is_exe_lower_layer %proc.is_exe_from_memfd %proc.is_exe_writable %proc.exe_ino %thread.tid %thread.ismain
    %thread.cap_effective %thread.cap_permitted %thread.cap_inheritable %user.uid %user.name %user.loginuid
    %group.gid %container.id %container.full_id
  priority: NOTICE
  tags: [exec]
- rule: fork
  desc: every field of a fork
  condition: evt.type = clone
  output: "%evt.type %proc.name %proc.exepath %proc.pid %proc.ppid %proc.pname %container.full_id"
  priority: DEBUG
- rule: exit
  desc: every field of an exit
  condition: evt.type = procexit
  output: "%evt.type %proc.name %proc.exepath %proc.pid %evt.arg.ret %evt.arg.sig %evt.arg.status"
  priority: DEBUG
- rule: open
  desc: every field of an open
  condition: evt.type in (open, openat, openat2, creat, open_by_handle_at) and ours
  output: >
    %evt.type %evt.res %evt.rawres %evt.failed %evt.arg.flags %evt.arg.mode %evt.arg.dirfd %evt.is_open_read
    %evt.is_open_write %evt.is_open_create %fd.name %fd.nameraw %fd.directory %fd.filename %fd.num %fd.type %fd.dev
    %fd.ino %fd.is_upper_layer %proc.name %proc.exepath %proc.cmdline %container.full_id
  priority: NOTICE
  tags: [open]
- rule: connect
  desc: every field of a connection
  condition: evt.type = connect and ours
  output: >
    %evt.type %evt.res %evt.rawres %evt.failed %fd.name %fd.type %fd.l4proto %fd.sockfamily %fd.filename %fd.cip
    %fd.cport %fd.sip %fd.sport %fd.lip %fd.lport %fd.rip %fd.rport %fd.connected %fd.num %evt.hook %proc.name
  priority: NOTICE
- rule: name
  desc: every field of a call about names
  condition: >
    proc.name startswith e2e- and evt.type in (rename, renameat2, link, symlink, unlink, mkdir, rmdir, chmod, fchmodat2,
    truncate, mknod, mount, chroot, memfd_create, execfailed)
  output: >
    %evt.type %evt.res %evt.args %evt.arg.oldpath %evt.arg.newpath %evt.arg.target %evt.arg.linkpath %evt.arg.path
    %evt.arg.name %evt.arg.mode %evt.arg.flags %evt.arg.filename %fs.path.name %fs.path.source %fs.path.target %fd.name
    %path.unresolved
  priority: NOTICE
- rule: identity
  desc: every field of a call that changes who a process is
  condition: proc.name startswith e2e- and evt.type in (setuid, setresuid, unshare, prctl, kill, personality)
  output: >
    %evt.type %evt.res %evt.args %evt.arg.uid %evt.arg.euid %evt.arg.flags %evt.arg.sig %evt.arg.option %user.uid
  priority: NOTICE
- rule: ptrace
  desc: every field of a ptrace
  condition: evt.type = ptrace
  output: "%evt.type %evt.res %evt.arg.request %evt.arg.pid %proc.name %proc.exepath"
  priority: NOTICE
"#;

/// An agent, a client of it, and a process that is older than it.
pub(crate) struct Agent {
    client: Client,
    // Ends after its clients, and before the machine is given back.
    sensor: Sensor,
    elder: Mutex<Child>,
    _claim: Claim,
}

static RUNNING: Mutex<Weak<Agent>> = Mutex::new(Weak::new());

/// The agent, started if no test has it; `None` without root, which is said.
pub(crate) fn agent() -> Option<Arc<Agent>> {
    if !rustix::process::geteuid().is_root() {
        report::skip("not root");
        return None;
    }
    let mut running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(agent) = running.upgrade() {
        return Some(agent);
    }
    let claim = lock::shared().unwrap();
    let elder = Command::new(process())
        .args(["told", "/bin/true"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let sensor = Sensor::builder()
        .rules(RULES)
        .set("stdout.enabled=false")
        // Room for what else the machine does: these tests are not about loss.
        .set("kernel.activity_ring_bytes=67108864")
        .start()
        .unwrap();
    let client = sensor.client().unwrap();
    let agent = Arc::new(Agent {
        client,
        sensor,
        elder: Mutex::new(elder),
        _claim: claim,
    });
    *running = Arc::downgrade(&agent);
    Some(agent)
}

impl Agent {
    /// Detections of one rule from now on.
    pub(crate) fn watch(&self, rule: &str) -> Watch<'_> {
        let filter = Filter {
            rules: vec![rule.into()],
            ..Filter::default()
        };
        Watch {
            stream: self.client.subscribe(Some(filter)).unwrap(),
            sensor: &self.sensor,
            rule: rule.into(),
        }
    }

    /// Its state.
    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    /// Has the process that is older than the agent run `/bin/true`: its id, then the child's.
    pub(crate) fn tell_elder(&self) -> (u32, u32) {
        let mut elder = self.elder.lock().unwrap_or_else(PoisonError::into_inner);
        elder.stdin.as_mut().unwrap().write_all(b"now\n").unwrap();
        let mut line = String::new();
        BufReader::new(elder.stdout.as_mut().unwrap())
            .read_line(&mut line)
            .unwrap();
        (elder.id(), line.trim().parse().unwrap())
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let elder = self.elder.get_mut().unwrap_or_else(PoisonError::into_inner);
        // It ends by itself when its standard input is closed.
        drop(elder.stdin.take());
        let _ = elder.wait();
    }
}

/// Detections of one rule.
pub(crate) struct Watch<'a> {
    stream: Subscription<'a>,
    sensor: &'a Sensor,
    rule: String,
}

impl Watch<'_> {
    /// The first detection that fits.
    pub(crate) fn find(&mut self, fits: impl FnMut(&Detection) -> bool) -> Detection {
        let found = self.stream.find(DEADLINE, fits).unwrap();
        found.unwrap_or_else(|| {
            panic!(
                "no {} event came; the agent's log:\n{}",
                self.rule,
                self.sensor.log()
            )
        })
    }

    /// The first detection of a process that fits.
    pub(crate) fn of(&mut self, pid: u32, mut fits: impl FnMut(&Detection) -> bool) -> Detection {
        self.find(|detection| pid_of(detection) == pid && fits(detection))
    }
}

/// The process that a detection is about.
pub(crate) fn pid_of(detection: &Detection) -> u32 {
    detection.process.as_ref().map_or(0, |process| process.pid)
}

/// The helper that starts programs.
pub(crate) fn process() -> PathBuf {
    helper::path("process").unwrap()
}

/// Runs a command to its end: its process id and what it printed.
pub(crate) fn run(command: &mut Command) -> (u32, Output) {
    let child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let pid = child.id();
    (pid, child.wait_with_output().unwrap())
}

/// Runs a command, which must end well: its process id and what it printed.
pub(crate) fn run_well(command: &mut Command) -> (u32, String) {
    let (pid, output) = run(command);
    assert!(output.status.success(), "{command:?}: {output:?}");
    (pid, String::from_utf8(output.stdout).unwrap())
}
