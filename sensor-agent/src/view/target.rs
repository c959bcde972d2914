//! `target.*`: the other process that an event is about.
//!
//! A call names it by an id of the caller's own pid namespace, or by a descriptor, of which the kernel side tells the
//! process. Groups of processes, threads that lead none, and ids that no known process has are no guess: no value.

use sensor_common::syscall::Call;
use sensor_rules::{event::Value, field::Field};

use super::{View, container, text};
use crate::{
    event::Body,
    state::process::{Process, ProcessKey},
};

/// The argument that is the other process's id; `None` for calls that name none, or name it by a descriptor.
const fn place(call: Call) -> Option<usize> {
    match call {
        Call::Ptrace => Some(1),
        Call::Kill
        | Call::Tgkill
        | Call::Tkill
        | Call::RtSigqueueinfo
        | Call::RtTgsigqueueinfo
        | Call::ProcessVmReadv
        | Call::ProcessVmWritev
        | Call::PidfdOpen => Some(0),
        _ => None,
    }
}

/// Whether this is one of these fields.
pub(super) const fn is_of_target(field: Field) -> bool {
    matches!(
        field,
        Field::TargetPid
            | Field::TargetName
            | Field::TargetExepath
            | Field::TargetCmdline
            | Field::TargetContainerId
            | Field::TargetContainerName
            | Field::TargetKey
    )
}

impl View<'_> {
    pub(super) fn target_value<'b>(&'b self, field: Field, buf: &'b mut Vec<u8>) -> Option<Value<'b>> {
        let process = self.target()?;
        let image = process.image_at(self.event.header.time_ns);
        let container = process.home.container.as_deref();
        match field {
            Field::TargetPid => Some(Value::Int(i64::from(process.key.tgid))),
            Field::TargetKey => super::write(
                buf,
                format_args!("{}:{}", process.key.tgid, process.key.start_time_ns),
            ),
            Field::TargetName => text(&image.name),
            Field::TargetExepath => text(&image.exe_path),
            Field::TargetCmdline => text(&image.cmdline),
            Field::TargetContainerId => Some(container::short_id(container)),
            Field::TargetContainerName => {
                let Some(container) = container else {
                    return Some(Value::Text(container::HOST));
                };
                let facts = self.state.workloads.container(&container.id)?;
                text(facts.name.as_deref()?.as_bytes())
            }
            _ => None,
        }
    }

    fn target(&self) -> Option<&Process> {
        let Body::Plain(call) = &self.event.body else {
            return None;
        };
        let processes = &self.state.processes;
        if call.fixed.target_tgid != 0 {
            return processes.get(ProcessKey {
                tgid: call.fixed.target_tgid,
                start_time_ns: call.fixed.target_start_time_ns,
            });
        }
        let number = self.argument(place(self.event.call())?)? & 0xffff_ffff;
        // Groups of processes, and all of them, are named by numbers below 1.
        let number = u32::try_from(number)
            .ok()
            .filter(|number| number.cast_signed() > 0)?;
        processes.within(self.process?.identity.pid_ns, number)
    }
}
