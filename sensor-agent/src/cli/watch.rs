//! `sensor watch`: shows detections as they are made. An ordinary client of the gRPC interface.

use std::io::{self, Write};
use std::time::Duration;

use clap::Args;
use sensor_proto::v1::agent_client::AgentClient;
use sensor_proto::v1::detections_client::DetectionsClient;
use sensor_proto::v1::{Filter, Priority, StatusRequest, SubscribeRequest, subscribe_response};
use tonic::{Code, Status};

use super::connect::ConnectArgs;
use super::{ConnectError, Exit, block_on, fail, may_colour, say};
use crate::sink::{Encoder, Format, Line, parse_priority};

/// The first pause before connecting again; each failure doubles it.
const RETRY_FIRST: Duration = Duration::from_millis(250);
const RETRY_MAX: Duration = Duration::from_secs(10);

/// Arguments of `sensor watch`.
#[derive(Debug, Clone, Args)]
#[command(after_long_help = "\
Examples:
  sensor watch
  sensor watch --priority warning --container 3f4e1d2c9a70
  sensor watch --rule 'Read sensitive*' --tag mitre_credential_access --format json
  sensor watch --count 1 --once && echo detected
  sensor watch --address node-7:9765 --ca ca.crt --certificate me.crt --key me.key

A detection is shown when it fits one of the values of each of --rule, --tag and --container that is given.

Exit codes:
  0  as many as --count detections were shown, or standard output was closed; with --once also: the sensor stopped
  1  with --once: the connection failed or was lost
  2  wrong usage, or the sensor refused the filter")]
pub struct WatchArgs {
    /// Only these rules; `*` stands for any text; may be repeated
    #[arg(long = "rule", value_name = "NAME")]
    rules: Vec<String>,
    /// Only this priority and more severe ones: emergency, alert, critical, error, warning, notice,
    /// informational, debug
    #[arg(long, value_name = "PRIORITY", value_parser = priority)]
    priority: Option<Priority>,
    /// Only rules with this tag; may be repeated
    #[arg(long = "tag", value_name = "TAG")]
    tags: Vec<String>,
    /// Only this container, by its id or at least its first 12 characters, or `host`; may be repeated
    #[arg(long = "container", value_name = "ID")]
    containers: Vec<String>,
    /// How detections are written
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// Stop after this many detections
    #[arg(long, value_name = "N")]
    count: Option<u64>,
    /// Stop when the connection cannot be made or ends, instead of connecting again
    #[arg(long)]
    once: bool,
    #[command(flatten)]
    connection: ConnectArgs,
}

fn priority(text: &str) -> Result<Priority, String> {
    parse_priority(text).ok_or_else(|| {
        "use emergency, alert, critical, error, warning, notice, informational or debug".to_owned()
    })
}

pub(super) fn run(args: &WatchArgs) -> Exit {
    let coloured = may_colour(&io::stdout());
    block_on(Watch::new(args, coloured, io::stdout()).run())
}

/// Why a connection's stream is over.
enum End {
    /// All that was asked for is written.
    Complete,
    /// The sensor ended the stream.
    Stopped,
    /// Trying again may help.
    Lost(String),
    /// Trying again would be of no use.
    Refused(String),
    Unwritable(io::Error),
}

impl From<ConnectError> for End {
    fn from(error: ConnectError) -> Self {
        if error.is_transient() {
            Self::Lost(error.to_string())
        } else {
            Self::Refused(error.to_string())
        }
    }
}

impl From<Status> for End {
    fn from(status: Status) -> Self {
        match status.code() {
            Code::InvalidArgument | Code::Unimplemented | Code::PermissionDenied | Code::Unauthenticated => {
                Self::Refused(status.message().to_owned())
            }
            _ => Self::Lost(format!("{}: {}", status.code().description(), status.message())),
        }
    }
}

struct Watch<'a, W> {
    args: &'a WatchArgs,
    coloured: bool,
    out: W,
    /// Detections that are still to be shown; none: all.
    left: Option<u64>,
    retry: Duration,
    line: Vec<u8>,
}

impl<'a, W: Write> Watch<'a, W> {
    fn new(args: &'a WatchArgs, coloured: bool, out: W) -> Self {
        Self {
            args,
            coloured,
            out,
            left: args.count,
            retry: RETRY_FIRST,
            line: Vec::new(),
        }
    }

    async fn run(mut self) -> Exit {
        while self.left != Some(0) {
            let end = match self.stream().await {
                Ok(end) | Err(end) => end,
            };
            match end {
                End::Complete => return Exit::Done,
                End::Unwritable(error) if error.kind() == io::ErrorKind::BrokenPipe => return Exit::Done,
                End::Unwritable(error) => return fail(Exit::Failed, &format_args!("cannot write: {error}")),
                End::Refused(why) => return fail(Exit::Wrong, &why),
                End::Stopped if self.args.once => return Exit::Done,
                End::Lost(why) if self.args.once => return fail(Exit::Failed, &why),
                End::Stopped => say(&"the sensor stopped; waiting for it to come back"),
                End::Lost(why) => say(&format_args!(
                    "{why}; trying again in {:.1} s",
                    self.retry.as_secs_f32()
                )),
            }
            tokio::time::sleep(self.retry).await;
            self.retry = (self.retry * 2).min(RETRY_MAX);
        }
        Exit::Done
    }

    /// Connects once and writes what comes, until that ends.
    async fn stream(&mut self) -> Result<End, End> {
        let channel = self.args.connection.connect().await?;
        let hostname = AgentClient::new(channel.clone())
            .status(StatusRequest {})
            .await?
            .into_inner()
            .hostname;
        let encoder = Encoder::new(self.args.format, self.coloured, hostname);
        let request = SubscribeRequest {
            filter: Some(self.filter()),
        };
        let mut stream = DetectionsClient::new(channel)
            .subscribe(request)
            .await?
            .into_inner();
        self.retry = RETRY_FIRST;
        while let Some(response) = stream.message().await? {
            let line = match &response.item {
                Some(subscribe_response::Item::Detection(detection)) => Line::Detection(detection),
                Some(subscribe_response::Item::Gap(gap)) => Line::Gap(gap),
                Some(subscribe_response::Item::HookRun(run)) => Line::HookRun(run),
                Some(subscribe_response::Item::RulesReload(reload)) => Line::RulesReload(reload),
                // A newer sensor's; those who want to know of them have a newer client.
                None => continue,
            };
            self.line.clear();
            encoder.encode(line, &mut self.line);
            self.out
                .write_all(&self.line)
                .and_then(|()| self.out.flush())
                .map_err(End::Unwritable)?;
            if matches!(line, Line::Detection(_))
                && let Some(left) = &mut self.left
            {
                *left -= 1;
                if *left == 0 {
                    return Ok(End::Complete);
                }
            }
        }
        Ok(End::Stopped)
    }

    fn filter(&self) -> Filter {
        Filter {
            rules: self.args.rules.clone(),
            min_priority: self.args.priority.unwrap_or(Priority::Unspecified).into(),
            tags: self.args.tags.clone(),
            containers: self.args.containers.clone(),
        }
    }
}
