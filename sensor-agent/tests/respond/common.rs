//! A responder with a folder of its own, and processes that are not its children.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant};

use sensor_agent::respond::Responder;
use sensor_agent::respond::config::RespondConfig;
use sensor_agent::respond::journal;
use sensor_proto::v1::hook_run::Outcome;
use sensor_proto::v1::{Container, Detection, File, HookRun, Process};
use tempfile::TempDir;

/// Longer than anything here takes on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

/// Whether the test can run; says why not.
pub(crate) fn is_root() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        println!("skip: not root");
    }
    root
}

/// A folder in which programs can be trusted, and whose files hooks may use.
pub(crate) fn folder() -> TempDir {
    tempfile::Builder::new()
        .prefix("sensor-respond-test-")
        .tempdir_in("/var/lib")
        .unwrap()
}

pub(crate) fn script(folder: &TempDir, name: &str, body: &str) -> PathBuf {
    let path = folder.path().join(name);
    fs::write(&path, format!("#!/bin/sh\n{body}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

/// `yaml` with the files of the responder in `folder`.
pub(crate) fn config(folder: &TempDir, yaml: &str) -> RespondConfig {
    let own = folder.path().join("own").display().to_string();
    let yaml = format!("journal: {own}/journal\nkill_switch: {own}/off\nbreaker: {own}/breaker\n{yaml}\n");
    serde_saphyr::from_str(&yaml).unwrap()
}

/// A responder, and what it published.
pub(crate) struct Rig {
    pub(crate) responder: Responder,
    pub(crate) journal: PathBuf,
    runs: Receiver<HookRun>,
}

impl Rig {
    pub(crate) fn new(folder: &TempDir, yaml: &str) -> Self {
        Self::with_json(folder, yaml, |detection| {
            format!("{:?}", detection.output).into_bytes()
        })
    }

    pub(crate) fn with_json(folder: &TempDir, yaml: &str, encode: fn(&Detection) -> Vec<u8>) -> Self {
        let config = config(folder, yaml);
        let (publish, runs) = sync_channel(100_000);
        let publish = move |run| publish.try_send(run).unwrap();
        let responder = Responder::new(&config, publish, move |detection| encode(detection)).unwrap();
        Self {
            responder,
            journal: config.journal,
            runs,
        }
    }

    pub(crate) fn handle(&self, detection: &Detection) {
        self.responder.handle(Arc::new(detection.clone()));
    }

    pub(crate) fn next(&self) -> HookRun {
        match self.runs.recv_timeout(PATIENCE) {
            Ok(run) => run,
            Err(RecvTimeoutError::Timeout) => panic!("no run was published"),
            Err(RecvTimeoutError::Disconnected) => panic!("the responder is gone"),
        }
    }

    /// Has `detection` answered by the one hook.
    pub(crate) fn answer(&self, detection: &Detection) -> HookRun {
        self.handle(detection);
        let run = self.next();
        assert_eq!(run.detection_id, detection.id);
        run
    }

    #[track_caller]
    pub(crate) fn expect(&self, detection: &Detection, outcome: Outcome, detail: &str) -> HookRun {
        let run = self.answer(detection);
        assert_eq!(run.outcome(), outcome, "{run:?}");
        assert!(run.detail.contains(detail), "{run:?} has no `{detail}`");
        run
    }

    /// Stops the responder, and checks that the journal is whole and every intent has its outcome. Returns what was
    /// published since.
    pub(crate) async fn stop(self, within: Duration) -> Vec<HookRun> {
        self.responder.shutdown(Instant::now() + within).await;
        let verified = journal::verify(&self.journal).unwrap();
        assert_eq!((verified.torn_bytes, verified.unfinished), (0, Vec::new()));
        drop(self.responder);
        self.runs.iter().collect()
    }

    pub(crate) fn journal_lines(&self) -> Vec<serde_json::Value> {
        let text = fs::read_to_string(&self.journal).unwrap();
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }
}

/// Waits until `condition` holds.
#[track_caller]
pub(crate) fn wait_for(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::yield_now();
    }
}

/// Start time in nanoseconds after boot, as the kernel would give it.
pub(crate) fn start_time_ns(pid: u32) -> u64 {
    let stat = procfs::process::Process::new(pid.cast_signed())
        .unwrap()
        .stat()
        .unwrap();
    stat.starttime * 1_000_000_000 / procfs::ticks_per_second()
}

/// A detection about the process `pid`.
pub(crate) fn about_process(id: &str, pid: u32, start_time_ns: u64) -> Detection {
    let process = Process {
        pid,
        tid: pid,
        start_time_ns,
        ..Process::default()
    };
    Detection {
        id: id.into(),
        rule: "Test rule".into(),
        process: Some(process),
        ..Detection::default()
    }
}

/// A detection about a live process.
pub(crate) fn about(id: &str, pid: u32) -> Detection {
    about_process(id, pid, start_time_ns(pid))
}

/// A detection about `path`, caused by nobody that still runs.
pub(crate) fn about_file(id: &str, path: &Path) -> Detection {
    let file = File {
        path: path.to_str().unwrap().into(),
        ..File::default()
    };
    Detection {
        file: Some(file),
        ..about_process(id, 4_000_000, 1)
    }
}

pub(crate) fn in_container(mut detection: Detection) -> Detection {
    detection.container = Some(Container {
        id: "c0ffee".repeat(10),
        ..Container::default()
    });
    detection
}

/// A shell whose parent is not this test, because hooks do not act on the agent's own descendants.
///
/// It runs `script` until this goes out of scope, or its standard input is closed.
pub(crate) struct Stranger {
    stdin: ChildStdin,
    pub(crate) pid: u32,
    lines: std::io::Lines<BufReader<std::process::ChildStdout>>,
}

impl Stranger {
    /// Waits for the script to write the line `ready`.
    pub(crate) fn new(script: &str) -> Self {
        Self::below(&[], script)
    }

    /// The same, below a `command` such as `unshare`; `pid` is that of the shell.
    pub(crate) fn below(command: &[&str], script: &str) -> Self {
        // The outer shell ends at once, so the inner one goes to the first process. Without the detour a shell gives
        // what it starts in the background an empty standard input.
        let outer = r#"exec 3<&0; "$@" <&3 3<&- & exit 0"#;
        // Not `$$`, which is 1 in a process id namespace of its own; this is the number in the one that /proc shows.
        let inner = format!("read pid rest < /proc/self/stat; echo $pid\n{script}");
        let mut launcher = Command::new("/bin/sh")
            .args(["-c", outer, "sh"])
            .args(command)
            .args(["/bin/sh", "-c", &inner])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // What it leaves running must not hold the test's own output open.
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(launcher.stdout.take().unwrap()).lines();
        let pid = lines.next().unwrap().unwrap().parse().unwrap();
        // Before the wait, which would close it.
        let stdin = launcher.stdin.take().unwrap();
        launcher.wait().unwrap();
        let ready = lines.next().unwrap().unwrap();
        assert_eq!(ready, "ready");
        Self { stdin, pid, lines }
    }

    /// Lets the script's next `read` return.
    pub(crate) fn go_on(&mut self) {
        use std::io::Write;
        self.stdin.write_all(b"\n").unwrap();
    }

    /// The script's next line.
    pub(crate) fn line(&mut self) -> String {
        self.lines.next().unwrap().unwrap()
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        // Best effort: it may have been killed, which is often the point.
        let _ = Command::new("/bin/kill")
            .args(["-KILL", &self.pid.to_string()])
            .stderr(Stdio::null())
            .status();
    }
}

/// Processes with `mark` among their arguments.
pub(crate) fn with_argument(mark: &str) -> Vec<u32> {
    let all = procfs::process::all_processes().unwrap();
    let marked = all.flatten().filter(|process| {
        let alive = process.stat().is_ok_and(|stat| stat.state != 'Z');
        alive
            && process
                .cmdline()
                .is_ok_and(|args| args.iter().any(|arg| arg == mark))
    });
    marked.map(|process| process.pid.cast_unsigned()).collect()
}
