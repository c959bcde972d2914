//! `proc.*` and `thread.*`.

use sensor_common::{record::flags, syscall::Call};
use sensor_rules::{
    event::Value,
    field::{Field, FieldArg},
};

use super::{View, index, names, nanoseconds, text, write};
use crate::{
    event::Body,
    state::process::{Image, Process},
};

/// Permission bit that lets anyone write a file (`S_IWOTH`).
const WRITABLE_BY_OTHERS: u32 = 0o002;
/// Capability that makes permissions not matter (`CAP_DAC_OVERRIDE`).
const CAP_DAC_OVERRIDE: u64 = 1 << 1;

/// What a field tells of one process of a lineage.
#[derive(Clone, Copy)]
enum Of {
    Name,
    Exe,
    ExePath,
    Cmdline,
    Args,
    Pid,
}

impl View<'_> {
    /// The value of a field, whatever its family: process fields first, since rules ask for them most.
    pub(super) fn process_value<'b>(
        &'b self,
        field: Field,
        arg: &FieldArg,
        buf: &'b mut Vec<u8>,
    ) -> Option<Value<'b>> {
        match field {
            Field::ProcName => self
                .image
                .map_or_else(|| text(self.event.comm()), |image| text(&image.name)),
            Field::ProcExe => self.of(0, Of::Exe, buf),
            Field::ProcExepath => match self.denied_program() {
                Some(path) => text(path),
                None => self.of(0, Of::ExePath, buf),
            },
            Field::ProcCmdline => self.of(0, Of::Cmdline, buf),
            Field::ProcArgs => match index(arg) {
                None => self.of(0, Of::Args, buf),
                Some(number) => self.image?.args().nth(number as usize + 1).map(Value::Text),
            },
            Field::ProcPid => Some(Value::Int(i64::from(self.event.header.tgid))),
            Field::ProcPname => self.of(1, Of::Name, buf),
            Field::ProcPexe => self.of(1, Of::Exe, buf),
            Field::ProcPexepath => self.of(1, Of::ExePath, buf),
            Field::ProcPcmdline => self.of(1, Of::Cmdline, buf),
            Field::ProcPpid => Some(Value::Int(i64::from(self.process?.parent?.tgid))),
            Field::ProcAname => self.of(index(arg)?, Of::Name, buf),
            Field::ProcAexe => self.of(index(arg)?, Of::Exe, buf),
            Field::ProcAexepath => self.of(index(arg)?, Of::ExePath, buf),
            Field::ProcAcmdline => self.of(index(arg)?, Of::Cmdline, buf),
            Field::ProcAargs => self.of(index(arg)?, Of::Args, buf),
            Field::ProcApid => self.of(index(arg)?, Of::Pid, buf),
            _ => self.own_value(field, arg, buf),
        }
    }

    /// The program that the sensor did not let start: what the rule that denied it is about.
    fn denied_program(&self) -> Option<&[u8]> {
        match &self.event.body {
            Body::Path(call)
                if self.event.has(flags::DENIED)
                    && matches!(self.event.call(), Call::Execve | Call::Execveat) =>
            {
                Some(call.path)
            }
            _ => None,
        }
    }

    fn of<'b>(&'b self, level: u32, what: Of, buf: &'b mut Vec<u8>) -> Option<Value<'b>> {
        let (process, image) = self.lineage(level)?;
        match what {
            Of::Name => text(&image.name),
            Of::Exe => image
                .args()
                .next()
                .filter(|exe| !exe.is_empty())
                .map(Value::Text)
                .or_else(|| text(&image.name)),
            Of::ExePath => text(&image.exe_path),
            Of::Cmdline => text(if image.cmdline.is_empty() {
                &image.name
            } else {
                &image.cmdline
            }),
            Of::Args => {
                join(image, buf);
                Some(Value::Text(buf))
            }
            Of::Pid => Some(Value::Int(i64::from(process.key.tgid))),
        }
    }

    /// Fields of the process itself that are asked for less often.
    fn own_value<'b>(&'b self, field: Field, arg: &FieldArg, buf: &'b mut Vec<u8>) -> Option<Value<'b>> {
        let image = self.image;
        let has = |wanted: u32| Some(Value::Bool(image?.flags & wanted != 0));
        let int = |number: u32| Some(Value::Int(i64::from(number)));
        match field {
            Field::ProcExeline => {
                let image = image?;
                let exe = image.args().next().unwrap_or_default();
                join(image, buf);
                if !buf.is_empty() {
                    buf.insert(0, b' ');
                }
                buf.splice(0..0, exe.iter().copied());
                Some(Value::Text(buf))
            }
            Field::ProcCmdnargs => Some(Value::Uint(u64::from(image?.argc.saturating_sub(1)))),
            Field::ProcCmdlenargs => {
                join(image?, buf);
                Some(Value::Uint(buf.len() as u64))
            }
            Field::ProcCwd => {
                // Falco ends a folder by a slash.
                buf.extend_from_slice(&image?.cwd);
                if buf.is_empty() {
                    return None;
                }
                if !buf.ends_with(b"/") {
                    buf.push(b'/');
                }
                Some(Value::Text(buf))
            }
            Field::ProcKey => {
                let key = crate::state::key(self.event);
                write(buf, format_args!("{}:{}", key.tgid, key.start_time_ns))
            }
            Field::ProcTty => Some(Value::Uint(u64::from(self.process?.identity.tty))),
            Field::ProcVpid => int(self.process?.identity.vpid),
            Field::ProcPvpid => int(self.lineage(1)?.0.identity.vpid),
            Field::ProcSid => int(self.process?.identity.sid),
            Field::ProcPgid => int(self.process?.identity.pgid),
            Field::ProcSname => text(&self.leader(self.process?.identity.sid)?.1.name),
            Field::ProcSidExe => text(self.leader(self.process?.identity.sid)?.1.args().next()?),
            Field::ProcSidExepath => text(&self.leader(self.process?.identity.sid)?.1.exe_path),
            Field::ProcPgidName => text(&self.leader(self.process?.identity.pgid)?.1.name),
            Field::ProcPgidExe => text(self.leader(self.process?.identity.pgid)?.1.args().next()?),
            Field::ProcPgidExepath => text(&self.leader(self.process?.identity.pgid)?.1.exe_path),
            Field::ProcIsSidLeader => Some(Value::Bool(self.process?.identity.sid == self.event.header.tgid)),
            Field::ProcIsPgidLeader => {
                Some(Value::Bool(self.process?.identity.pgid == self.event.header.tgid))
            }
            Field::ProcLoginshellid => self.login_shell().map(Value::Int),
            Field::ProcDuration => Some(nanoseconds(self.age_ns(self.process?))),
            Field::ProcPpidDuration => Some(nanoseconds(self.age_ns(self.lineage(1)?.0))),
            Field::ProcPidTs => Some(nanoseconds(self.start_ns(self.process?))),
            Field::ProcPpidTs => Some(nanoseconds(self.start_ns(self.lineage(1)?.0))),
            Field::ProcIsExeWritable => Some(Value::Bool(self.is_exe_writable(image?)?)),
            Field::ProcIsExeUpperLayer => has(flags::UPPER_LAYER),
            Field::ProcIsExeLowerLayer => has(flags::LOWER_LAYER),
            Field::ProcIsExeFromMemfd => has(flags::MEMFD),
            Field::ProcExeIno => Some(Value::Int(i64::try_from(image?.file.inode).ok()?)),
            Field::ProcExeInoCtime => Some(nanoseconds(image?.file.ctime_ns)),
            Field::ProcExeInoMtime => Some(nanoseconds(image?.file.mtime_ns)),
            Field::ProcExeInoCtimeDurationProcStart => {
                let image = image?;
                let started = self.context.clock.epoch_ns(image.since_ns);
                (image.file.ctime_ns != 0).then(|| nanoseconds(started.saturating_sub(image.file.ctime_ns)))
            }
            Field::ThreadTid => int(self.event.header.tid),
            Field::ThreadName => text(self.event.comm()),
            Field::ThreadIsmain => Some(Value::Bool(self.event.header.tid == self.event.header.tgid)),
            Field::ThreadCapEffective => Some(capabilities(self.process?.identity.cap_effective, buf)),
            Field::ThreadCapPermitted => Some(capabilities(self.process?.identity.cap_permitted, buf)),
            Field::ThreadCapInheritable => Some(capabilities(self.process?.identity.cap_inheritable, buf)),
            Field::ProcStdinType => self.standard_type(0),
            Field::ProcStdoutType => self.standard_type(1),
            Field::ProcStderrType => self.standard_type(2),
            Field::FdTypes => self.standard_type(index(arg)? as usize),
            Field::ProcStdinName => self.standard_ends(0, buf),
            Field::ProcStdoutName => self.standard_ends(1, buf),
            Field::ProcStderrName => self.standard_ends(2, buf),
            Field::ThreadCgroups => text(&self.cgroup.as_ref()?.path),
            _ => self.evt_value(field, arg, buf),
        }
    }

    /// The process that leads a session or group, if it is remembered.
    fn leader(&self, tgid: u32) -> Option<(&Process, &Image)> {
        let key = crate::state::process::ProcessKey {
            tgid,
            start_time_ns: 0,
        };
        let process = self.state.processes.get(key)?;
        Some((process, &**process.image_at(self.event.header.time_ns)))
    }

    /// The oldest shell of an unbroken line of shells above the process: Falco's login shell.
    fn login_shell(&self) -> Option<i64> {
        let mut found = None;
        for (process, image) in (0..).map_while(|level| self.lineage(level)) {
            if names::is_shell(&image.name) {
                found = Some(i64::from(process.key.tgid));
            }
        }
        found
    }

    fn age_ns(&self, process: &Process) -> u64 {
        self.event
            .header
            .time_ns
            .saturating_sub(process.key.start_time_ns)
    }

    fn start_ns(&self, process: &Process) -> u64 {
        self.context.clock.epoch_ns(process.key.start_time_ns)
    }

    /// What of its program `execve` tells, as Falco spells it; 0 for nothing.
    pub(super) fn exe_flags<'b>(&self, buf: &'b mut Vec<u8>) -> Option<Value<'b>> {
        let image = self.image?;
        let is = |wanted: u32| image.flags & wanted != 0;
        let names = [
            ("EXE_WRITABLE", self.is_exe_writable(image) == Some(true)),
            ("EXE_UPPER_LAYER", is(flags::UPPER_LAYER)),
            ("EXE_FROM_MEMFD", is(flags::MEMFD)),
            ("EXE_LOWER_LAYER", is(flags::LOWER_LAYER)),
        ];
        for (name, _) in names.iter().filter(|(_, is_so)| *is_so) {
            if !buf.is_empty() {
                buf.push(b'|');
            }
            buf.extend_from_slice(name.as_bytes());
        }
        if buf.is_empty() {
            buf.push(b'0');
        }
        Some(Value::Text(buf))
    }

    /// Whether the process could change its own program, by the file's owner and permissions.
    fn is_exe_writable(&self, image: &Image) -> Option<bool> {
        let process = self.process?;
        let is_owner = image.file.uid == process.identity.euid && image.file.mode & 0o200 != 0;
        let by_others = image.file.mode & WRITABLE_BY_OTHERS != 0;
        Some(is_owner || by_others || process.identity.cap_effective & CAP_DAC_OVERRIDE != 0)
    }
}

/// Arguments without the first, joined by spaces.
fn join(image: &Image, buf: &mut Vec<u8>) {
    for (number, argument) in image.args().skip(1).enumerate() {
        if number > 0 {
            buf.push(b' ');
        }
        buf.extend_from_slice(argument);
    }
}

/// Names of the capabilities in a set, joined by spaces.
fn capabilities(set: u64, buf: &mut Vec<u8>) -> Value<'_> {
    for (number, name) in names::CAPABILITIES.iter().enumerate() {
        if set & (1 << number) != 0 {
            if !buf.is_empty() {
                buf.push(b' ');
            }
            buf.extend_from_slice(name.as_bytes());
        }
    }
    Value::Text(buf)
}
