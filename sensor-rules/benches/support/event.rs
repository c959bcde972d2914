//! Events of a recorded mix, as quick to ask as an event can be: what is measured is the matcher.

use std::net::{IpAddr, Ipv4Addr};

use sensor_rules::event::{Event, Value};
use sensor_rules::field::{EventType, Field, FieldArg, FieldRef};

/// What was recorded; a line is: type, result, flags or protocol, path or address, name, executable, command line,
/// ancestors as `name=executable`, the parent first.
const MIX: &str = include_str!("../mix.tsv");

/// One event. A program's values are borrowed from the recording, so that a field is a `match` and a copy.
#[derive(Clone, Debug)]
pub(crate) struct MixEvent {
    event_type: EventType,
    result: &'static str,
    flags: &'static str,
    object: &'static str,
    name: &'static str,
    executable: &'static str,
    command_line: &'static str,
    arguments: &'static str,
    ancestors: Vec<(&'static str, &'static str)>,
    server: Option<(IpAddr, u16)>,
    in_container: bool,
}

/// The events of the recording. Each second one happens in a container.
pub(crate) fn mix() -> Vec<MixEvent> {
    MIX.lines()
        .zip([false, true].into_iter().cycle())
        .map(|(line, in_container)| parse(line, in_container))
        .collect()
}

fn parse(line: &'static str, in_container: bool) -> MixEvent {
    let columns: Vec<_> = line.split('\t').collect();
    let [
        kind,
        result,
        flags,
        object,
        name,
        executable,
        command_line,
        ancestors,
    ] = columns[..]
    else {
        panic!("not eight columns: {line}");
    };
    MixEvent {
        event_type: EventType::from_name(kind).unwrap_or_else(|| panic!("no event {kind}")),
        result,
        flags,
        object,
        name,
        executable,
        command_line,
        arguments: command_line
            .split_once(' ')
            .map_or("", |(_, arguments)| arguments),
        ancestors: ancestors
            .split(' ')
            .filter_map(|one| one.split_once('='))
            .collect(),
        server: object
            .split_once(':')
            .and_then(|(ip, port)| Some((IpAddr::V4(ip.parse::<Ipv4Addr>().ok()?), port.parse().ok()?))),
        in_container,
    }
}

impl MixEvent {
    /// The name of its type.
    pub(crate) fn kind(&self) -> &'static str {
        self.event_type.name()
    }

    fn is_open(&self) -> bool {
        self.kind() == "openat"
    }

    fn ancestor(&self, argument: &FieldArg) -> Option<(&'static str, &'static str)> {
        match argument {
            FieldArg::Index(0) => Some((self.name, self.executable)),
            FieldArg::Index(index) => self.ancestors.get(*index as usize - 1).copied(),
            _ => None,
        }
    }

    fn directory(&self) -> (&'static str, &'static str) {
        self.object.rsplit_once('/').unwrap_or(("", self.object))
    }

    fn text(&self, field: &FieldRef) -> Option<&'static str> {
        let parent = || self.ancestors.first();
        match field.field {
            Field::ProcName => Some(self.name),
            Field::ProcExepath => Some(self.executable),
            Field::ProcExe => self.command_line.split(' ').next(),
            Field::ProcCmdline => Some(self.command_line),
            Field::ProcArgs => Some(self.arguments),
            Field::ProcPname | Field::ProcPexe | Field::ProcPcmdline => parent().map(|(name, _)| *name),
            Field::ProcPexepath => parent().map(|(_, executable)| *executable),
            Field::ProcAname => self.ancestor(&field.arg).map(|(name, _)| name),
            Field::ProcAexepath => self.ancestor(&field.arg).map(|(_, executable)| executable),
            Field::ProcCwd => Some("/srv/app/"),
            Field::EvtRes => Some(self.result),
            Field::UserName => Some("root"),
            Field::ContainerId => Some(if self.in_container { "3ad7b26ded6d" } else { "host" }),
            Field::ContainerImageRepository => self.in_container.then_some("registry.example/shop/worker"),
            Field::ThreadCapEffective => Some("CAP_CHOWN CAP_KILL CAP_SETGID CAP_SETUID"),
            Field::EvtArg => {
                matches!(&field.arg, FieldArg::Key(name) if name == "flags").then_some(self.flags)
            }
            Field::FdName | Field::FdNameraw if self.is_open() || self.kind() == "connect" => {
                Some(self.object)
            }
            Field::FdDirectory if self.is_open() => Some(self.directory().0),
            Field::FdFilename if self.is_open() => Some(self.directory().1),
            Field::FdTypechar if self.is_open() => Some("f"),
            Field::FdTypechar => self.server.map(|_| "4"),
            Field::FdType if self.is_open() => Some("file"),
            Field::FdType => self.server.map(|_| "ipv4"),
            Field::FdL4proto => self.server.map(|_| self.flags),
            _ => None,
        }
    }
}

impl Event for MixEvent {
    fn event_type(&self) -> EventType {
        self.event_type
    }

    fn value<'a>(&'a self, field: &FieldRef, _: &'a mut Vec<u8>) -> Option<Value<'a>> {
        let failed = self.result != "SUCCESS";
        Some(match field.field {
            Field::EvtFailed => Value::Bool(failed),
            Field::EvtRawres => Value::Int(if failed { -2 } else { 3 }),
            Field::FdNum => Value::Int(if failed { -1 } else { 3 }),
            Field::EvtIsOpenRead if self.is_open() => Value::Bool(!self.flags.contains("O_WRONLY")),
            Field::EvtIsOpenWrite if self.is_open() => {
                Value::Bool(self.flags.contains("O_WRONLY") || self.flags.contains("O_RDWR"))
            }
            Field::EvtIsOpenCreate if self.is_open() => Value::Bool(self.flags.contains("O_CREAT")),
            Field::ProcTty | Field::UserUid => Value::Uint(0),
            Field::ProcPid | Field::ProcVpid => Value::Int(4711),
            Field::ProcIsExeUpperLayer | Field::ProcIsExeFromMemfd | Field::ContainerPrivileged => {
                Value::Bool(false)
            }
            Field::ProcDuration | Field::ProcPpidDuration => Value::Int(5_000_000_000),
            Field::FdSip | Field::FdRip => Value::Ip(self.server?.0),
            Field::FdSport | Field::FdRport => Value::Uint(self.server?.1.into()),
            Field::FdCip | Field::FdLip => Value::Ip(self.server.map(|_| Ipv4Addr::new(10, 1, 2, 3).into())?),
            Field::FdCport | Field::FdLport => Value::Uint(self.server.map(|_| 54_321)?),
            _ => Value::Text(self.text(field)?.as_bytes()),
        })
    }

    fn ancestor_count(&self) -> u32 {
        u32::try_from(self.ancestors.len()).unwrap_or(u32::MAX)
    }
}
