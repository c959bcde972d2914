//! The fields of one event, as rules ask for them.
//!
//! A [`View`] binds a decoded event to what the state knows of its process; it computes a field when a
//! rule asks for it, and nothing else. One file a family of fields. A field that the event does not have,
//! or that this agent does not know, is `None`: rules then see no value, never a guess.

mod arguments;
pub(crate) mod call_names;
mod certainty;
mod container;
mod descriptor;
mod environment;
mod evt;
mod fd;
mod filled;
pub(crate) mod names;
pub(crate) mod parameters;
mod pod;
mod process;
mod program;
pub(crate) mod socket;
mod target;
#[cfg(test)]
mod tests;
mod user;

use std::sync::Arc;

pub use filled::{is_filled, limit};

use sensor_common::{
    record::flags,
    syscall::{CALL_COUNT, Call},
};
use sensor_rules::{
    event::Value,
    field::{EventType, Field, FieldArg, FieldRef},
};
use smallvec::SmallVec;

use crate::{
    clock::Clock,
    event::{Body, Event},
    state::{
        self, State,
        cgroup::Cgroup,
        container::Container,
        lookup::Need,
        process::{Image, Process},
        workload::{ContainerFacts, Progress},
    },
};

/// The event types that records become, looked up once.
#[derive(Clone, Copy, Debug)]
pub struct EventTypes {
    execve: EventType,
    execveat: EventType,
    clone: EventType,
    exit: EventType,
    /// By [`Call`].
    calls: [EventType; CALL_COUNT],
}

/// The table of event types lacks a name that the agent needs: a build fault.
#[derive(Debug, thiserror::Error)]
#[error("the rule language does not know the event type {0}")]
pub struct UnknownEventType(&'static str);

impl EventTypes {
    /// Looks the types up.
    ///
    /// # Errors
    /// When the rule language lacks one of them.
    pub fn new() -> Result<Self, UnknownEventType> {
        let of = |name: &'static str| EventType::from_name(name).ok_or(UnknownEventType(name));
        let exit = of("procexit")?;
        let mut calls = [exit; CALL_COUNT];
        for call in Call::ALL {
            calls[call as usize] = of(call.event_type())?;
        }
        Ok(Self {
            execve: of("execve")?,
            execveat: of("execveat")?,
            clone: of("clone")?,
            exit,
            calls,
        })
    }

    /// The type of an event.
    #[must_use]
    pub fn of(&self, event: &Event<'_>) -> EventType {
        match &event.body {
            Body::Fork(_) => self.clone,
            Body::Exec(exec) if exec.fixed.by_descriptor != 0 => self.execveat,
            Body::Exec(_) => self.execve,
            Body::Exit(_) => self.exit,
            // A denied program is told as the start that it would have been.
            Body::Path(_) if event.has(flags::DENIED) && event.call() == Call::Execve => self.execve,
            Body::Path(_) if event.has(flags::DENIED) && event.call() == Call::Execveat => self.execveat,
            Body::Open(_) | Body::Socket(_) | Body::Path(_) | Body::Identity(_) | Body::Plain(_) => {
                self.calls[event.call() as usize]
            }
        }
    }

    /// The type that a call becomes.
    #[must_use]
    pub fn of_call(&self, call: Call) -> Option<EventType> {
        (call != Call::None).then(|| self.calls[call as usize])
    }
}

/// What every event of one run shares.
#[derive(Clone, Debug)]
pub struct Context {
    /// See [`EventTypes`].
    pub types: EventTypes,
    /// See [`Clock`].
    pub clock: Clock,
    /// `evt.hostname`
    pub hostname: Arc<str>,
    /// When the agent started, in nanoseconds after boot.
    pub start_ns: u64,
}

/// One event with all that is known around it.
pub struct View<'a> {
    pub(crate) event: &'a Event<'a>,
    pub(crate) state: &'a State,
    pub(crate) context: &'a Context,
    pub(crate) process: Option<&'a Process>,
    pub(crate) image: Option<&'a Image>,
    pub(crate) cgroup: Option<Arc<Cgroup>>,
    /// `evt.num`
    number: u64,
    event_type: EventType,
}

impl<'a> View<'a> {
    /// The view of an event that the state has taken in.
    #[must_use]
    pub fn new(event: &'a Event<'a>, state: &'a State, context: &'a Context, number: u64) -> Self {
        let process = state.processes.get(state::key(event));
        // An exec is told as the program that it starts.
        let image = process.map(|process| &**process.image_at(event.header.time_ns));
        Self {
            event,
            state,
            context,
            process,
            image,
            cgroup: state.cgroup_of(event),
            number,
            event_type: context.types.of(event),
        }
    }

    /// The container that the process belongs to; of a process that is not known, what its cgroup says.
    #[must_use]
    pub fn container(&self) -> Option<&Container> {
        match self.process {
            Some(process) => process.home.container.as_deref(),
            None => self.named_container(),
        }
    }

    /// What runtimes have told of the container.
    #[must_use]
    pub fn facts(&self) -> Option<&ContainerFacts> {
        self.state
            .workloads
            .container(&self.container()?.id)
            .map(|facts| &**facts)
    }

    /// Whether facts of the container are still looked for.
    pub(crate) fn are_facts_pending(&self) -> bool {
        self.facts().is_some_and(|facts| facts.progress != Progress::Done)
    }

    /// Whether something is still looked for: facts of the container, names of its users, the program's file, its
    /// environment.
    #[must_use]
    pub fn is_pending(&self) -> bool {
        self.are_facts_pending()
            || self.are_names_pending()
            || self.are_ids_pending()
            || self.is_program_pending()
            || self.is_environment_pending()
    }

    /// All that the event needs from others, whether it is there or not.
    #[must_use]
    pub fn needs(&self) -> SmallVec<[Need; 5]> {
        let mut needs = SmallVec::new();
        if let Some(container) = self.container() {
            needs.push(Need::Facts(container.id.clone()));
            needs.push(Need::Names(container.id.clone()));
        }
        if let Some(process) = self.process {
            needs.push(Need::Ids(process.identity.user_ns));
        }
        needs.extend(self.image.and_then(|image| image.program).map(Need::Program));
        needs.extend(self.environment_key().map(Need::Environment));
        needs
    }

    /// The container's runtime: as it says itself, or as the cgroup tells.
    pub(crate) fn runtime(&self) -> &str {
        let told = self.facts().map_or("", |facts| facts.runtime);
        let named = self.container().map_or("", |container| container.runtime);
        if told.is_empty() { named } else { told }
    }

    /// The container that the cgroup names which the event happened in.
    pub(crate) fn named_container(&self) -> Option<&Container> {
        self.cgroup.as_ref()?.container.as_deref()
    }

    /// Nanoseconds since 1970.
    #[must_use]
    pub fn time_ns(&self) -> u64 {
        self.context.clock.epoch_ns(self.event.header.time_ns)
    }

    /// The process itself (0), its parent (1), ..., each with the program that it ran at the time.
    pub(crate) fn lineage(&self, level: u32) -> Option<(&'a Process, &'a Image)> {
        let own = self.process?;
        let process = match level.checked_sub(1) {
            None => own,
            Some(above) => self.state.processes.ancestors(own).nth(above as usize)?,
        };
        Some((process, &**process.image_at(self.event.header.time_ns)))
    }

    /// The call's result: negative is a negated `errno`.
    pub(crate) fn result(&self) -> i64 {
        self.event.result()
    }

    /// What is known to be incomplete, as `field: reason`.
    #[must_use]
    pub fn incomplete(&self) -> Vec<String> {
        let mut found = Vec::new();
        self.each_incomplete(&mut |what| found.push(what.to_string()));
        found
    }
}

impl sensor_rules::event::Event for View<'_> {
    fn event_type(&self) -> EventType {
        self.event_type
    }

    fn value<'b>(&'b self, field: &FieldRef, buf: &'b mut Vec<u8>) -> Option<Value<'b>> {
        self.process_value(field.field, &field.arg, buf)
    }

    fn ancestor_count(&self) -> u32 {
        let count = self
            .process
            .map_or(0, |own| self.state.processes.ancestors(own).count());
        u32::try_from(count).unwrap_or(u32::MAX)
    }

    fn is_incomplete(&self, field: &FieldRef) -> bool {
        let of_image = |wanted| {
            self.image
                .is_none_or(|image| image.is_partial || image.flags & wanted != 0)
        };
        match field.field {
            Field::ProcCmdline | Field::ProcArgs | Field::ProcExeline | Field::ProcExe => {
                of_image(flags::ARGV_TRUNCATED | flags::ARGV_UNREADABLE)
            }
            Field::ProcExepath => of_image(flags::PATH_TRUNCATED),
            Field::ProcCwd => of_image(flags::CWD_TRUNCATED),
            Field::ProcName => self.image.is_none(),
            field if container::is_fact(field) => {
                let is_doubtful = |facts: &ContainerFacts| {
                    !facts.is_verified || facts.missing.is_some() && container::is_told_by_sockets(field)
                };
                self.are_facts_pending() || self.facts().is_some_and(is_doubtful)
            }
            field if user::is_inside(field) => self.is_name_unsure(field),
            field if program::is_looked_up(field) => self.program_facts().is_none(),
            which if environment::is_of_environment(which) => self.is_environment_unsure(which, &field.arg),
            Field::FdName | Field::FdDirectory | Field::FdFilename | Field::FsPathName => self
                .event
                .has(flags::PATH_TRUNCATED | flags::FILE_RACED | flags::ADDRESS_FROM_CALLER),
            Field::FdNameraw | Field::FsPathNameraw => {
                self.event.has(flags::GIVEN_TRUNCATED | flags::GIVEN_UNREADABLE)
            }
            _ => false,
        }
    }
}

/// The argument as an index.
fn index(arg: &FieldArg) -> Option<u32> {
    match arg {
        FieldArg::Index(index) => Some(*index),
        FieldArg::None | FieldArg::Key(_) => None,
    }
}

/// Text, where there is any.
fn text(bytes: &[u8]) -> Option<Value<'_>> {
    (!bytes.is_empty()).then_some(Value::Text(bytes))
}

/// Composes text in `buf`.
fn write<'b>(buf: &'b mut Vec<u8>, arguments: std::fmt::Arguments<'_>) -> Option<Value<'b>> {
    use std::io::Write as _;
    // Writing to a vector does not fail.
    buf.write_fmt(arguments).ok()?;
    Some(Value::Text(buf))
}

/// A number of nanoseconds as the language has it.
fn nanoseconds(value: u64) -> Value<'static> {
    Value::Int(i64::try_from(value).unwrap_or(i64::MAX))
}
