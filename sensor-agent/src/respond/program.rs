//! Runs a hook's program on a detection.
//!
//! The program is opened and checked, and what was opened is what runs. It gets fixed arguments, a clean environment, a
//! process group of its own, and the detection on standard input. Every wait ends with the run's deadline, and no
//! process that it started outlives the run; see [`contain`].

mod contain;

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::process::{ExitStatus, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::{Pid, PidfdFlags, pidfd_open};
use sensor_proto::v1::hook_run::Outcome;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};
use tokio_util::sync::CancellationToken;

use super::action::{Refusal, Request, Verdict};
use super::journal::Output;
use super::policy::ProgramAction;
use super::process::ended_by;
use super::secure_path::open_program;
use contain::{Containment, RUN_ID};

/// Bytes that are kept of each of standard output and standard error; the rest is read and thrown away.
const OUTPUT_BYTES_MAX: usize = 64 << 10;
/// The exit code that asks for another try later: `EX_TEMPFAIL` of `sysexits.h`.
const EXIT_RETRY: i32 = 75;
/// Time for what was killed to end and for its last output to arrive.
const CLEANUP: Duration = Duration::from_secs(2);

/// A program, open and ready to run.
#[derive(Debug)]
pub(crate) struct ProgramPlan {
    action: ProgramAction,
    program: OwnedFd,
    input: Vec<u8>,
    run_id: String,
}

impl ProgramPlan {
    pub(crate) fn new(action: &ProgramAction, request: &Request) -> Result<Self, Refusal> {
        let program = open_program(&action.path).map_err(Refusal::new)?;
        let mut input = (request.encode)(&request.detection);
        if !input.ends_with(b"\n") {
            input.push(b'\n');
        }
        Ok(Self {
            action: action.clone(),
            program,
            input,
            run_id: request.run_id.clone(),
        })
    }

    pub(crate) fn describe(&self) -> String {
        let program = self.action.path.display().to_string();
        let args = self.action.args.iter().map(|arg| arg.escape_debug().to_string());
        let command: Vec<String> = std::iter::once(program).chain(args).collect();
        let user = match self.action.run_as {
            Some(ids) => format!("user {}", ids.uid),
            None => "the agent's user".into(),
        };
        format!("run {} as {user}", command.join(" "))
    }

    /// Runs the program until it ends, `deadline` passes or `cancel` is called, and clears up after it.
    pub(crate) async fn run(self, deadline: Instant, cancel: &CancellationToken) -> Verdict {
        let mut containment = Containment::new(&self.run_id);
        let spawned = self.spawn().and_then(|child| Ok((exit_event(&child)?, child)));
        let (exit, mut child) = match spawned {
            Ok(spawned) => spawned,
            Err(error) => {
                return Verdict::failed(format!(
                    "{} cannot be started: {error}",
                    self.action.path.display()
                ));
            }
        };
        containment.add(child.id());
        let (mut stdout, mut stderr) = (Kept::default(), Kept::default());
        let ended = {
            let transfer = std::pin::pin!(transfer(&mut child, &self.input, &mut stdout, &mut stderr));
            wait(exit, transfer, containment, deadline, cancel).await
        };
        // Only now: until the program is reaped, the kernel gives its process group's number to nobody else.
        let status = tokio::time::timeout(CLEANUP, child.wait()).await;
        let output = Output {
            discarded_bytes: stdout.discarded_bytes + stderr.discarded_bytes,
            stdout: stdout.text(),
            stderr: stderr.text(),
        };
        let mut verdict = match (ended.in_time, status) {
            (true, Ok(Ok(status))) => judge(status),
            (false, _) => Verdict::new(Outcome::TimedOut, ended.why),
            (true, Ok(Err(error))) => Verdict::failed(format!("its exit code is lost: {error}")),
            (true, Err(_)) => Verdict::failed("it ended, but could not be reaped"),
        };
        if let Some(said) = said(&output) {
            verdict.detail.push_str(": ");
            verdict.detail.push_str(&said);
        }
        if let Some(leftovers) = ended.leftovers {
            verdict.detail.push_str("; ");
            verdict.detail.push_str(&leftovers);
        }
        verdict.output = Some(output);
        verdict
    }

    fn spawn(&self) -> io::Result<Child> {
        // A script's interpreter opens the script by its descriptor's name, after close-on-exec has closed what it
        // closes: it needs a descriptor that stays open. The lock keeps that one from the programs of other runs.
        static INHERITING: Mutex<()> = Mutex::new(());
        let _inheriting = INHERITING.lock().unwrap_or_else(PoisonError::into_inner);
        let inherited = if is_script(&self.program) {
            Some(rustix::io::dup(&self.program)?)
        } else {
            None
        };
        let program = inherited.as_ref().unwrap_or(&self.program);
        let mut command = Command::new(format!("/proc/self/fd/{}", program.as_raw_fd()));
        command
            .arg0(&self.action.path)
            .args(&self.action.args)
            .env_clear()
            .env(
                "PATH",
                "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            )
            .env("LANG", "C.UTF-8")
            .env(RUN_ID, &self.run_id)
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true);
        if let Some(ids) = self.action.run_as {
            command.uid(ids.uid).gid(ids.gid);
        }
        command.spawn()
    }
}

/// How the wait for a program came out.
#[derive(Debug)]
struct Ended {
    in_time: bool,
    why: String,
    /// What is to be said about processes that it left behind.
    leftovers: Option<String>,
}

/// Waits for the program's end, moving its input and output meanwhile, then kills what it left.
async fn wait(
    exit: OwnedFd,
    mut transfer: std::pin::Pin<&mut impl Future<Output = ()>>,
    containment: Containment,
    deadline: Instant,
    cancel: &CancellationToken,
) -> Ended {
    let mut transferred = false;
    // Ends at the deadline, or when the program is killed before it.
    let mut exit = tokio::task::spawn_blocking(move || ended_by(&exit, deadline));
    let (in_time, why) = loop {
        tokio::select! {
            ended = &mut exit => match ended {
                Ok(true) => break (true, ""),
                Ok(false) => break (false, "it did not end in time and was killed"),
                Err(_) => break (false, "the wait for its end broke off, and it was killed"),
            },
            () = cancel.cancelled() => break (false, "the agent stopped and killed it"),
            () = &mut transfer, if !transferred => transferred = true,
        }
    };
    let killing = tokio::task::spawn_blocking(move || containment.kill_all(Instant::now() + CLEANUP));
    let leftovers = killing
        .await
        .unwrap_or_else(|error| Some(format!("its processes may live on: {error}")));
    if !transferred {
        // What is still in the pipes. Whoever holds them open now has escaped; that is no reason to wait.
        let _ = tokio::time::timeout(CLEANUP, transfer).await;
    }
    Ended {
        in_time,
        why: why.into(),
        leftovers,
    }
}

/// What tells when the program has ended, without reaping it.
fn exit_event(child: &Child) -> io::Result<OwnedFd> {
    let pid = child
        .id()
        .and_then(|pid| i32::try_from(pid).ok())
        .and_then(Pid::from_raw);
    let pid = pid.ok_or_else(|| io::Error::other("it has no process id"))?;
    Ok(pidfd_open(pid, PidfdFlags::empty())?)
}

fn is_script(program: &OwnedFd) -> bool {
    let mut start = [0; 2];
    rustix::io::pread(program, &mut start, 0).is_ok_and(|read| read == 2) && start == *b"#!"
}

/// Moves input and output until all pipes are closed.
async fn transfer(child: &mut Child, input: &[u8], stdout: &mut Kept, stderr: &mut Kept) {
    let (stdin, out, err) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let feed = async {
        if let Some(mut stdin) = stdin {
            // A program need not read its input; then the pipe breaks, which is no failure.
            let _ = stdin.write_all(input).await;
        }
    };
    tokio::join!(feed, stdout.read(out), stderr.read(err));
}

/// The start of what a program wrote.
#[derive(Debug, Default)]
struct Kept {
    bytes: Vec<u8>,
    discarded_bytes: u64,
}

impl Kept {
    async fn read(&mut self, pipe: Option<impl AsyncRead + Unpin>) {
        let Some(mut pipe) = pipe else { return };
        let mut buffer = vec![0; OUTPUT_BYTES_MAX];
        while let Ok(read @ 1..) = pipe.read(&mut buffer).await {
            let kept = read.min(OUTPUT_BYTES_MAX - self.bytes.len());
            self.bytes.extend_from_slice(&buffer[..kept]);
            self.discarded_bytes += (read - kept) as u64;
        }
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }
}

fn judge(status: ExitStatus) -> Verdict {
    use std::os::unix::process::ExitStatusExt;
    match (status.code(), status.signal()) {
        (Some(0), _) => Verdict::done("exit code 0"),
        (Some(EXIT_RETRY), _) => {
            Verdict::failed(format!("exit code {EXIT_RETRY}: it asks to be tried again later"))
        }
        (Some(code), _) => Verdict::failed(format!("exit code {code}")),
        (None, signal) => Verdict::failed(format!("ended by signal {}", signal.unwrap_or_default())),
    }
}

/// The first line of what it said, for people.
fn said(output: &Output) -> Option<String> {
    let text = if output.stderr.trim().is_empty() {
        &output.stdout
    } else {
        &output.stderr
    };
    let line = text.lines().find(|line| !line.trim().is_empty())?;
    Some(line.chars().take(200).flat_map(char::escape_debug).collect())
}
