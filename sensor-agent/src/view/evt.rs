//! `evt.*`.

use std::fmt::Write as _;

use jiff::{Timestamp, tz::TimeZone};
use sensor_common::{hook::Hook, kind::Kind, record::flags};
use sensor_rules::{
    event::Value,
    field::{Field, FieldArg},
};

use super::{View, container, environment, names, nanoseconds, pod, program, target, write};
use crate::event::Body;

const SECOND_NS: u64 = 1_000_000_000;

impl View<'_> {
    pub(super) fn evt_value<'b>(
        &'b self,
        field: Field,
        arg: &FieldArg,
        buf: &'b mut Vec<u8>,
    ) -> Option<Value<'b>> {
        let time_ns = self.time_ns();
        let since_start = || self.event.header.time_ns.saturating_sub(self.context.start_ns);
        match field {
            Field::EvtNum => Some(Value::Uint(self.number)),
            Field::EvtType | Field::SyscallType => {
                // The end of a process is no system call.
                let is_call = field == Field::EvtType || !matches!(self.event.body, Body::Exit(_));
                is_call.then(|| Value::Text(self.event_type.name().as_bytes()))
            }
            Field::EvtTypeIs => match arg {
                FieldArg::Key(name) => Some(Value::Uint(u64::from(self.event_type.name() == name.as_str()))),
                FieldArg::None | FieldArg::Index(_) => None,
            },
            Field::EvtDir => Some(Value::Text(b"<")),
            Field::EvtCategory => Some(Value::Text(self.category().as_bytes())),
            Field::EvtCpu => Some(Value::Int(i64::from(self.event.header.cpu))),
            Field::EvtSource => Some(Value::Text(b"syscall")),
            Field::EvtHostname => Some(Value::Text(self.context.hostname.as_bytes())),
            Field::EvtIsAsync
            | Field::EvtIsIo
            | Field::EvtIsIoRead
            | Field::EvtIsIoWrite
            | Field::EvtIsWait
            | Field::EvtIsSyslog => Some(Value::Bool(false)),
            Field::EvtCount | Field::EvtCountExit => Some(Value::Uint(1)),
            Field::EvtCountError => Some(Value::Uint(u64::from(self.result() < 0))),
            Field::EvtRawtime => Some(nanoseconds(time_ns)),
            Field::EvtRawtimeS => Some(nanoseconds(time_ns / SECOND_NS)),
            Field::EvtRawtimeNs => Some(nanoseconds(time_ns % SECOND_NS)),
            Field::EvtReltime => Some(nanoseconds(since_start())),
            Field::EvtReltimeS => Some(nanoseconds(since_start() / SECOND_NS)),
            Field::EvtReltimeNs => Some(nanoseconds(since_start() % SECOND_NS)),
            Field::EvtTime | Field::EvtOutputtime => time(time_ns, "%H:%M:%S.%9f", buf),
            Field::EvtTimeS => time(time_ns, "%H:%M:%S", buf),
            Field::EvtTimeIso8601 => time(time_ns, "%Y-%m-%dT%H:%M:%S.%9f+0000", buf),
            Field::EvtDatetime => time(time_ns, "%Y-%m-%d %H:%M:%S.%9f", buf),
            Field::EvtDatetimeS => time(time_ns, "%Y-%m-%d %H:%M:%S", buf),
            Field::EvtRawres => Some(Value::Int(self.result())),
            Field::EvtFailed => Some(Value::Bool(self.result() < 0)),
            Field::EvtRes => match self.result() {
                0.. => Some(Value::Text(b"SUCCESS")),
                errno => match names::errno(errno.unsigned_abs()) {
                    Some(name) => Some(Value::Text(name.as_bytes())),
                    None => write(buf, format_args!("{errno}")),
                },
            },
            Field::EvtDenied => Some(Value::Bool(self.event.has(flags::DENIED))),
            Field::EvtKilled => Some(Value::Bool(self.event.has(flags::KILLED))),
            Field::EvtTruncated
            | Field::EvtIncomplete
            | Field::PathMismatch
            | Field::PathUnresolved
            | Field::ProcArgsTruncated
            | Field::ProcLineageIncomplete => self.certainty_value(field, buf),
            Field::EvtViaIoUring => self.via_io_uring().map(Value::Bool),
            Field::EvtHook => Some(Value::Text(self.hook().as_bytes())),
            Field::SockCgroupDiffers => {
                let of_socket =
                    self.event.has(flags::UNNUMBERED) && matches!(self.event.body, Body::Socket(_));
                of_socket.then(|| Value::Bool(self.event.has(flags::SOCKET_OF_OTHER_CGROUP)))
            }
            Field::EvtArgs | Field::EvtInfo => Some(self.all_arguments(buf)),
            Field::EvtArg => self.argument_text(arg, buf),
            Field::EvtRawarg => self.argument_raw(arg),
            Field::EvtAbspath => self.fd_value(Field::FdName, buf),
            Field::EvtIsOpenRead | Field::EvtIsOpenWrite | Field::EvtIsOpenExec | Field::EvtIsOpenCreate => {
                Some(self.open_class(field))
            }
            field if environment::is_of_environment(field) => self.environment_value(field, arg, buf),
            field if program::is_of_program(field) => self.program_value(field, buf),
            field if pod::is_of_pod(field) => self.pod_value(field, arg, buf),
            field if target::is_of_target(field) => self.target_value(field, buf),
            field if container::is_of_container(field) => self.container_value(field, arg, buf),
            _ => self.other_value(field, buf),
        }
    }

    /// Whether it was asked for through `io_uring`; not known of what only a program on cgroups or TCP's state has told.
    fn via_io_uring(&self) -> Option<bool> {
        let by_socket = self.event.has(flags::UNNUMBERED) && !self.event.has(flags::EXIT_FOLLOWS);
        let is_known = !by_socket || self.event.kind() == Kind::Send;
        let told = self.event.has(flags::VIA_IO_URING);
        (told || is_known).then_some(told)
    }

    fn other_value<'b>(&'b self, field: Field, buf: &'b mut Vec<u8>) -> Option<Value<'b>> {
        self.user_value(field).or_else(|| self.fd_value(field, buf))
    }

    /// Where the record came from.
    fn hook(&self) -> &'static str {
        match (Hook::from_number(self.event.header.hook), &self.event.body) {
            (None, _) => "unknown",
            (Some(Hook::Usual), Body::Fork(_)) => "tp_btf/sched_process_fork",
            (Some(Hook::Usual), Body::Exec(_)) => "tp_btf/sched_process_exec",
            (Some(Hook::Usual), Body::Exit(_)) => "tp_btf/sched_process_exit",
            (Some(hook), _) => hook.name(),
        }
    }

    fn category(&self) -> &'static str {
        match self.event.body {
            Body::Open(_) | Body::Path(_) => "file",
            Body::Socket(_) => "net",
            Body::Identity(_) => "user",
            Body::Fork(_) | Body::Exec(_) | Body::Exit(_) | Body::Plain(_) => "process",
        }
    }
}

/// Wall-clock time in UTC, so that hosts in different zones can be compared.
fn time<'b>(time_ns: u64, format: &str, buf: &'b mut Vec<u8>) -> Option<Value<'b>> {
    let zoned = Timestamp::from_nanosecond(i128::from(time_ns))
        .ok()?
        .to_zoned(TimeZone::UTC);
    let mut text = String::new();
    write!(text, "{}", zoned.strftime(format)).ok()?;
    buf.extend_from_slice(text.as_bytes());
    Some(Value::Text(buf))
}
