//! `sensor rules reload`: lets a sensor on this machine read its rules anew, and says what came of it.
//!
//! A client of gRPC changes nothing: who may do this is who may send the sensor a signal. The socket only tells which
//! process it is, and what it made of the signal.

use std::{
    os::unix::net::UnixStream,
    path::Path,
    time::{Duration, Instant},
};

use clap::Args;
use rustix::process::{PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use sensor_proto::v1::{self, StatusRequest, agent_client::AgentClient};

use super::{Exit, fail, print};
use crate::cli::{
    block_on, clean,
    connect::{ConnectArgs, unanswered},
};

/// How long reading the rules may take.
const PATIENCE: Duration = Duration::from_mins(2);
/// Between two questions whether it is done.
const PAUSE: Duration = Duration::from_millis(20);

/// Arguments of `sensor rules reload`.
#[derive(Debug, Clone, Args)]
#[command(after_long_help = "\
Exit codes:
  0  the new rules are in use
  1  the sensor cannot be reached, or not be sent a signal
  2  the new rules have errors; the former ones stay in use")]
pub(super) struct ReloadArgs {
    #[command(flatten)]
    connection: ConnectArgs,
}

pub(super) fn run(args: &ReloadArgs) -> Result<Exit, Exit> {
    let Some(socket) = args.connection.socket() else {
        return Err(fail(
            Exit::Wrong,
            &"rules are read anew by a signal, so only on the machine itself: --address must be a socket's path",
        ));
    };
    Ok(block_on(reload(&args.connection, socket)))
}

async fn reload(connection: &ConnectArgs, socket: &Path) -> Exit {
    let channel = match connection.connect().await {
        Ok(channel) => channel,
        Err(error) => return fail(Exit::Failed, &error),
    };
    let mut agent = AgentClient::new(channel);
    let mut rules = async || match agent.status(StatusRequest {}).await {
        Ok(answer) => Ok(answer.into_inner().rules.unwrap_or_default()),
        Err(status) => Err(unanswered(&status)),
    };
    let before = match rules().await {
        Ok(before) => before,
        Err(exit) => return exit,
    };
    if let Err(error) = send_hangup(socket) {
        return fail(
            Exit::Failed,
            &format_args!(
                "cannot send a signal to the sensor at {}: {error}",
                socket.display()
            ),
        );
    }
    let begin = Instant::now();
    while begin.elapsed() < PATIENCE {
        tokio::time::sleep(PAUSE).await;
        let now = match rules().await {
            Ok(now) => now,
            Err(exit) => return exit,
        };
        if let Some(exit) = outcome(&before, &now) {
            return exit;
        }
    }
    fail(
        Exit::Failed,
        &format_args!("the sensor has not said within {PATIENCE:?} what it makes of the rules"),
    )
}

/// What came of it, once something has.
fn outcome(before: &v1::Rules, now: &v1::Rules) -> Option<Exit> {
    if now.generation != before.generation {
        let v1::Rules { enabled, files, .. } = now;
        return Some(print(&format!(
            "{enabled} rules from {} files are in use\n",
            files.len()
        )));
    }
    if now.reloads_failed != before.reloads_failed {
        return Some(fail(
            Exit::Wrong,
            &format_args!(
                "{}\nthe new rules were refused, and the {} former ones stay in use",
                clean(&now.error),
                now.enabled
            ),
        ));
    }
    None
}

/// Sends SIGHUP to the process that listens there.
fn send_hangup(socket: &Path) -> std::io::Result<()> {
    let stream = UnixStream::connect(socket)?;
    let owner = rustix::net::sockopt::socket_peercred(&stream)?.pid;
    let process = pidfd_open(owner, PidfdFlags::empty())?;
    Ok(pidfd_send_signal(process, Signal::HUP)?)
}
