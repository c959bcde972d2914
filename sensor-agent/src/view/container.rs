//! `container.*`: what the cgroup tells, and what runtimes have told.

use std::fmt::Write as _;

use sensor_rules::{
    event::Value,
    field::{Field, FieldArg},
};

use super::{View, nanoseconds, pod::join, text, write};
use crate::state::{
    State,
    container::{Container, SHORT_ID_CHARS},
    process::ProcessKey,
    workload::{ContainerFacts, Labels, Mount},
};

/// What Falco calls the container of a process outside containers.
pub(super) const HOST: &[u8] = b"host";

/// The machine's first process, whenever it began.
const INIT: ProcessKey = ProcessKey {
    tgid: 1,
    start_time_ns: 0,
};

/// Fields whose values are facts that others tell, which may come late.
pub(super) const fn is_fact(field: Field) -> bool {
    matches!(
        field,
        Field::ContainerName
            | Field::ContainerImage
            | Field::ContainerImageId
            | Field::ContainerImageRepository
            | Field::ContainerImageTag
            | Field::ContainerImageDigest
            | Field::ContainerPrivileged
            | Field::ContainerMounts
            | Field::ContainerMount
            | Field::ContainerMountSource
            | Field::ContainerMountDest
            | Field::ContainerMountMode
            | Field::ContainerMountRdwr
            | Field::ContainerMountPropagation
            | Field::ContainerIp
            | Field::ContainerHostPid
            | Field::ContainerHostNetwork
            | Field::ContainerHostIpc
            | Field::ContainerLabel
            | Field::ContainerLabels
    )
}

/// Facts that may be in no file of the runtime's, so that they are missing when its socket does not answer.
pub(super) const fn is_told_by_sockets(field: Field) -> bool {
    matches!(
        field,
        Field::ContainerImageId
            | Field::ContainerImageDigest
            | Field::ContainerIp
            | Field::ContainerLabel
            | Field::ContainerLabels
    )
}

/// Every field of this file.
pub(super) const fn is_of_container(field: Field) -> bool {
    is_fact(field)
        || matches!(
            field,
            Field::ContainerId
                | Field::ContainerFullId
                | Field::ContainerType
                | Field::ContainerStartTs
                | Field::ContainerDuration
                | Field::ContainerUnverified
                | Field::ContainerOuterId
                | Field::ContainerSharesPidsWith
                | Field::CgroupMoved
                | Field::ProcIsContainerExec
                | Field::MetaPending
        )
}

impl View<'_> {
    pub(super) fn container_value<'b>(
        &'b self,
        field: Field,
        arg: &FieldArg,
        buf: &'b mut Vec<u8>,
    ) -> Option<Value<'b>> {
        if self.process.is_none() && self.cgroup.is_none() {
            return None;
        }
        let container = self.container();
        match field {
            Field::ContainerId => Some(short_id(container)),
            Field::ContainerFullId => Some(Value::Text(
                container.map_or(HOST, |container| container.id.as_bytes()),
            )),
            Field::ContainerName | Field::ContainerType if container.is_none() => Some(Value::Text(HOST)),
            Field::ContainerType => text(self.runtime().as_bytes()),
            Field::ContainerStartTs => {
                Some(nanoseconds(self.context.clock.epoch_ns(self.container_start()?)))
            }
            Field::ContainerDuration => Some(nanoseconds(
                self.event.header.time_ns.saturating_sub(self.container_start()?),
            )),
            Field::ContainerUnverified => {
                container?;
                Some(Value::Bool(!self.facts().is_some_and(|facts| facts.is_verified)))
            }
            Field::ContainerOuterId => Some(short(container?.outer.as_deref()?)),
            Field::ContainerSharesPidsWith => Some(short(&self.sharing_pids(&container?.id)?.id)),
            Field::CgroupMoved => {
                let moved = self.state.has_moved(self.process?, self.named_container());
                Some(Value::Bool(moved))
            }
            Field::ProcIsContainerExec => Some(Value::Bool(self.process?.home.entry.is_some())),
            Field::MetaPending => Some(Value::Bool(self.is_pending())),
            _ => fact(self.facts()?, field, arg, buf),
        }
    }

    /// The other container whose processes this one sees, unless it sees the host's.
    fn sharing_pids(&self, id: &str) -> Option<&Container> {
        let State {
            residences,
            processes,
            ..
        } = self.state;
        let own = residences.get(id)?.pid_ns;
        let init = processes.get(INIT);
        if init.is_some_and(|init| init.identity.pid_ns == own) {
            return None;
        }
        Some(&residences.sharing_pids(id)?.container)
    }

    /// When the container's first process began, in nanoseconds after boot.
    fn container_start(&self) -> Option<u64> {
        let there = self.state.residences.get(&self.container()?.id)?;
        (there.started_ns != 0).then_some(there.started_ns)
    }
}

/// The part of an id that is shown.
fn short(id: &str) -> Value<'_> {
    Value::Text(id.get(..SHORT_ID_CHARS).unwrap_or(id).as_bytes())
}

/// A container's id as `container.id` has it.
pub(super) fn short_id(container: Option<&Container>) -> Value<'_> {
    container.map_or(Value::Text(HOST), |container| short(&container.id))
}

fn fact<'b>(
    facts: &'b ContainerFacts,
    field: Field,
    arg: &FieldArg,
    buf: &'b mut Vec<u8>,
) -> Option<Value<'b>> {
    let told = |fact: &'b Option<Box<str>>| text(fact.as_deref()?.as_bytes());
    let image = &facts.image;
    match field {
        Field::ContainerName => told(&facts.name),
        Field::ContainerImage => told(&image.reference),
        Field::ContainerImageId => told(&image.id),
        Field::ContainerImageDigest => told(&image.digest),
        Field::ContainerImageRepository => text(split_reference(image.reference.as_deref()?).0.as_bytes()),
        Field::ContainerImageTag => text(split_reference(image.reference.as_deref()?).1.as_bytes()),
        Field::ContainerPrivileged => facts.is_privileged.map(Value::Bool),
        Field::ContainerHostPid => facts.has_host_pid.map(Value::Bool),
        Field::ContainerHostNetwork => facts.has_host_network.map(Value::Bool),
        Field::ContainerHostIpc => facts.has_host_ipc.map(Value::Bool),
        Field::ContainerIp => write(buf, format_args!("{}", facts.ip?)),
        Field::ContainerLabel => match arg {
            FieldArg::Key(name) => text(facts.labels.get(name.as_str())?.as_bytes()),
            FieldArg::None | FieldArg::Index(_) => None,
        },
        Field::ContainerLabels => all_labels(&facts.labels, buf),
        Field::ContainerMounts => {
            let mut line = String::new();
            for (number, mount) in facts.mounts.iter().enumerate() {
                let comma = if number > 0 { "," } else { "" };
                write!(line, "{comma}{}", Shown(mount)).ok()?;
            }
            buf.extend_from_slice(line.as_bytes());
            text(buf)
        }
        Field::ContainerMount
        | Field::ContainerMountSource
        | Field::ContainerMountDest
        | Field::ContainerMountMode
        | Field::ContainerMountRdwr
        | Field::ContainerMountPropagation => {
            let mount = find_mount(facts, field, arg)?;
            match field {
                Field::ContainerMount => write(buf, format_args!("{}", Shown(mount))),
                Field::ContainerMountSource => text(mount.source.as_bytes()),
                Field::ContainerMountDest => text(mount.destination.as_bytes()),
                Field::ContainerMountMode => text(mount.mode.as_bytes()),
                Field::ContainerMountRdwr => write(buf, format_args!("{}", mount.is_writable)),
                _ => text(mount.propagation.as_bytes()),
            }
        }
        _ => None,
    }
}

/// Falco's form: `source:destination:mode:writable:propagation`.
struct Shown<'a>(&'a Mount);

impl std::fmt::Display for Shown<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Mount {
            source,
            destination,
            mode,
            is_writable,
            propagation,
        } = self.0;
        write!(
            formatter,
            "{source}:{destination}:{mode}:{is_writable}:{propagation}"
        )
    }
}

/// By number, or by a path in which `*` stands for any text: of the source for `container.mount.dest`, else of the
/// destination.
fn find_mount<'a>(facts: &'a ContainerFacts, field: Field, arg: &FieldArg) -> Option<&'a Mount> {
    match arg {
        FieldArg::Index(number) => facts.mounts.get(*number as usize),
        FieldArg::Key(pattern) => facts.mounts.iter().find(|mount| {
            let by_source = matches!(field, Field::ContainerMountDest);
            let by_either = matches!(field, Field::ContainerMount);
            (by_source || by_either) && fits(pattern.as_bytes(), mount.source.as_bytes())
                || !by_source && fits(pattern.as_bytes(), mount.destination.as_bytes())
        }),
        FieldArg::None => None,
    }
}

/// Whether text fits a pattern in which `*` stands for any text; linear but for the number of stars.
fn fits(pattern: &[u8], text: &[u8]) -> bool {
    let (mut at, mut in_text) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while in_text < text.len() {
        if pattern.get(at) == Some(&b'*') {
            star = Some((at, in_text));
            at += 1;
        } else if pattern.get(at) == Some(&text[in_text]) {
            at += 1;
            in_text += 1;
        } else if let Some((star_at, star_text)) = star {
            star = Some((star_at, star_text + 1));
            at = star_at + 1;
            in_text = star_text + 1;
        } else {
            return false;
        }
    }
    pattern[at..].iter().all(|byte| *byte == b'*')
}

/// Repository and tag of an image's reference; a digest is neither.
fn split_reference(reference: &str) -> (&str, &str) {
    let name = reference.split_once('@').map_or(reference, |(name, _)| name);
    match name.rsplit_once(':') {
        // A colon before a slash is a registry's port.
        Some((repository, tag)) if !tag.contains('/') => (repository, tag),
        _ => (name, ""),
    }
}

fn all_labels<'b>(labels: &Labels, buf: &'b mut Vec<u8>) -> Option<Value<'b>> {
    join(labels, buf);
    text(buf)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_is_repository_and_tag() {
        for (reference, expected) in [
            ("busybox", ("busybox", "")),
            ("busybox:1.36", ("busybox", "1.36")),
            ("registry:5000/team/app", ("registry:5000/team/app", "")),
            ("registry:5000/team/app:v1", ("registry:5000/team/app", "v1")),
            ("app:v1@sha256:aa", ("app", "v1")),
            ("app@sha256:aa", ("app", "")),
        ] {
            assert_eq!(split_reference(reference), expected);
        }
    }

    #[test]
    fn mounts_are_found_by_pattern() {
        for (pattern, path, expected) in [
            ("/proc*", "/proc/sys", true),
            ("/etc", "/etc", true),
            ("/etc", "/etc/x", false),
            ("*sock", "/run/docker.sock", true),
            ("/a*b*c", "/a1b2b3c", true),
            ("", "/", false),
        ] {
            assert_eq!(
                fits(pattern.as_bytes(), path.as_bytes()),
                expected,
                "{pattern} {path}"
            );
        }
    }
}
