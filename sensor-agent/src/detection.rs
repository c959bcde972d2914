//! Makes a detection of an event and the rule that it matched.
//!
//! A detection is complete when this returns: nobody changes it afterwards, and nobody has to ask the
//! state again.

use std::{collections::BTreeMap, sync::Arc};

use prost_types::Timestamp;
use sensor_proto::v1;
use sensor_rules::{
    engine::{Rule, Scratch},
    event::Event as _,
    format::OutputValue,
    priority::Priority,
};

use crate::{
    event::Body,
    state::process::{Credentials, Image},
    view::View,
};

/// Ancestors that a detection carries.
const ANCESTORS_MAX: u32 = 16;

/// The time of an event as the wire has it.
#[must_use]
pub fn timestamp(epoch_ns: u64) -> Timestamp {
    Timestamp {
        seconds: i64::try_from(epoch_ns / 1_000_000_000).unwrap_or(i64::MAX),
        nanos: i32::try_from(epoch_ns % 1_000_000_000).unwrap_or(0),
    }
}

/// The detection of `rule` in the event that `view` shows, by this id.
#[must_use]
pub fn build(view: &View<'_>, rule: &Rule, id: String, scratch: &mut Scratch) -> Arc<v1::Detection> {
    let mut output = String::new();
    rule.output.render(view, &mut output, scratch);
    let mut output_fields = BTreeMap::new();
    for field in rule.output.fields() {
        let value = rule.output.value(field, view, scratch);
        output_fields.insert(field.key.clone(), field_value(value));
    }
    for field in &rule.extra_fields {
        output_fields.insert(field.key.clone(), field_value(field.value(view, scratch)));
    }
    // Falco always says when, in nanoseconds since 1970.
    let when = v1::field_value::Kind::IntValue(i64::try_from(view.time_ns()).unwrap_or(i64::MAX));
    output_fields.insert("evt.time".into(), v1::FieldValue { kind: Some(when) });
    Arc::new(v1::Detection {
        id,
        time: Some(timestamp(view.time_ns())),
        rule: rule.name.to_string(),
        priority: priority(rule.priority).into(),
        source: rule.source.to_string(),
        tags: rule.tags.iter().map(ToString::to_string).collect(),
        hostname: view.context.hostname.to_string(),
        output,
        output_fields,
        process: Some(process(view)),
        container: container(view),
        pod: view.told_pod(),
        file: file(view),
        incomplete: view.incomplete(),
        event_type: view.event_type().name().to_owned(),
        update: false,
    })
}

/// A rule's priority as the wire has it.
#[must_use]
pub fn priority(priority: Priority) -> v1::Priority {
    match priority {
        Priority::Emergency => v1::Priority::Emergency,
        Priority::Alert => v1::Priority::Alert,
        Priority::Critical => v1::Priority::Critical,
        Priority::Error => v1::Priority::Error,
        Priority::Warning => v1::Priority::Warning,
        Priority::Notice => v1::Priority::Notice,
        Priority::Informational => v1::Priority::Informational,
        Priority::Debug => v1::Priority::Debug,
    }
}

fn field_value(value: OutputValue) -> v1::FieldValue {
    use v1::field_value::Kind as Wire;

    let kind = match value {
        OutputValue::Null => None,
        OutputValue::Bool(value) => Some(Wire::BoolValue(value)),
        OutputValue::Int(value) => Some(Wire::IntValue(value)),
        OutputValue::Uint(value) => Some(Wire::UintValue(value)),
        OutputValue::Double(value) => Some(Wire::DoubleValue(value)),
        OutputValue::Text(value) => Some(Wire::StringValue(value)),
        OutputValue::List(values) => {
            let texts: Vec<_> = values.into_iter().map(list_text).collect();
            Some(Wire::StringValue(format!("({})", texts.join(","))))
        }
    };
    v1::FieldValue { kind }
}

/// A list's element, as Falco writes it between parentheses.
fn list_text(value: OutputValue) -> String {
    match value {
        OutputValue::Null => String::new(),
        OutputValue::Bool(value) => value.to_string(),
        OutputValue::Int(value) => value.to_string(),
        OutputValue::Uint(value) => value.to_string(),
        OutputValue::Double(value) => format!("{value:.1}"),
        OutputValue::Text(value) => value,
        OutputValue::List(values) => values.into_iter().map(list_text).collect::<Vec<_>>().join(","),
    }
}

/// Text for people and JSON: what is not UTF-8 becomes U+FFFD.
fn readable(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn process(view: &View<'_>) -> v1::Process {
    let header = &view.event.header;
    let unknown = Image::default();
    let image = view.image.unwrap_or(&unknown);
    let name = if image.name.is_empty() {
        view.event.comm()
    } else {
        &image.name
    };
    let (uid, gid) = view.effective_ids();
    let ancestors = (1..=ANCESTORS_MAX)
        .map_while(|level| view.lineage(level))
        .map(|(process, image)| v1::Ancestor {
            pid: process.key.tgid,
            start_time_ns: process.key.start_time_ns,
            name: readable(&image.name),
            exe_path: readable(&image.exe_path),
            started_as: image.started_as.map(credentials),
        });
    v1::Process {
        pid: header.tgid,
        tid: header.tid,
        start_time_ns: header.start_time_ns,
        name: readable(name),
        exe_path: readable(&image.exe_path),
        cmdline: readable(&image.cmdline),
        cwd: readable(&image.cwd),
        uid,
        gid,
        ancestors: ancestors.collect(),
        exe_sha256: view.exe_sha256(),
        exe_package: view.exe_package(),
        started_as: image.started_as.map(credentials),
    }
}

fn credentials(of: Credentials) -> v1::Credentials {
    v1::Credentials {
        uid: of.uid,
        euid: of.euid,
        loginuid: of.loginuid,
        cap_effective: of.cap_effective,
    }
}

fn container(view: &View<'_>) -> Option<v1::Container> {
    let container = view.container()?;
    let facts = view.facts();
    let shown = |text: Option<&str>| text.unwrap_or_default().to_owned();
    let pod = facts.and_then(|facts| facts.pod.as_ref());
    Some(v1::Container {
        id: container.id.to_string(),
        runtime: view.runtime().to_owned(),
        cgroup: view
            .cgroup
            .as_ref()
            .map_or_else(String::new, |cgroup| readable(&cgroup.path)),
        name: shown(facts.and_then(|facts| facts.name.as_deref())),
        image: shown(facts.and_then(|facts| facts.image.reference.as_deref())),
        pod: shown(pod.and_then(|pod| pod.name.as_deref())),
        namespace: shown(pod.and_then(|pod| pod.namespace.as_deref())),
        unverified: !facts.is_some_and(|facts| facts.is_verified),
    })
}

fn file(view: &View<'_>) -> Option<v1::File> {
    match &view.event.body {
        Body::Open(open) => Some(v1::File {
            path: readable(if open.path.is_empty() {
                open.given
            } else {
                open.path
            }),
            path_given: readable(open.given),
            device: u64::from(open.fixed.file.device),
            inode: open.fixed.file.inode,
        }),
        Body::Exec(exec) => Some(v1::File {
            path: readable(exec.path),
            path_given: readable(exec.filename),
            device: u64::from(exec.fixed.file.device),
            inode: exec.fixed.file.inode,
        }),
        Body::Fork(_)
        | Body::Exit(_)
        | Body::Socket(_)
        | Body::Path(_)
        | Body::Identity(_)
        | Body::Plain(_) => None,
    }
}

/// A loss, as the stream tells it.
#[derive(Clone, Copy, Debug)]
pub struct Lost<'a> {
    /// Why.
    pub cause: &'a str,
    /// The kind of event or, where that is not known, the program that would have told it.
    pub kind: &'a str,
    /// How many.
    pub count: u64,
    /// Between these, in nanoseconds since 1970.
    pub between: (u64, u64),
    /// Whose, as the kernel numbers cgroups; 0 where it is not known.
    pub cgroup_id: u64,
    /// Its container's id; empty where there is none.
    pub container: &'a str,
}

/// A loss, as the wire has it.
#[must_use]
pub fn gap(lost: Lost<'_>) -> v1::Gap {
    v1::Gap {
        time: Some(timestamp(lost.between.1)),
        cause: lost.cause.to_owned(),
        kind: lost.kind.to_owned(),
        count: lost.count,
        container: lost.container.to_owned(),
        since: Some(timestamp(lost.between.0)),
        cgroup_id: lost.cgroup_id,
    }
}
