//! JSON lines: Falco's keys with Falco's meaning, and ours beside them.
//!
//! Falco's keys are `time`, `rule`, `priority`, `source`, `hostname`, `output`, `tags` and
//! `output_fields`; ours (`id`, `event_type`, `process`, `container`, `pod`, `file`, `incomplete`) are
//! none that it uses. What the sensor says of itself has the source `internal` and, as there, no
//! tags.

use std::io;

use sensor_proto::v1::field_value::Kind;
use sensor_proto::v1::{Detection, FieldValue, Gap, HookRun, Pod, Priority, RulesReload};
use serde::ser::{Serialize, SerializeMap, SerializeSeq, Serializer};

use super::Line;
use super::escape::SafeFormatter;
use super::names::{mode_name, outcome_name, priority_name};
use super::text::{hook_run_priority, reload_priority};
use super::time::UtcTime;

/// Something that somebody should have seen is lost.
pub(super) const GAP_PRIORITY: Priority = Priority::Error;

/// Writes one line without its newline. `hostname` is that of items that do not name it themselves.
pub(super) fn write(line: Line<'_>, hostname: &str, out: &mut Vec<u8>) -> io::Result<()> {
    let mut serializer = serde_json::Serializer::with_formatter(out, SafeFormatter);
    match line {
        Line::Detection(detection) => DetectionLine(detection).serialize(&mut serializer),
        Line::Gap(gap) => gap_line(gap, hostname).serialize(&mut serializer),
        Line::HookRun(run) => hook_run_line(run, hostname).serialize(&mut serializer),
        Line::RulesReload(reload) => reload_line(reload, hostname).serialize(&mut serializer),
    }
    .map_err(io::Error::from)
}

/// The parts of a Falco alert that every line has.
struct Alert<'a> {
    time: UtcTime,
    rule: &'a str,
    priority: Priority,
    source: &'a str,
    hostname: &'a str,
    message: &'a str,
}

impl Alert<'_> {
    fn write<S: SerializeMap>(&self, map: &mut S) -> Result<(), S::Error> {
        let priority = priority_name(self.priority);
        map.serialize_entry("time", &Shown(self.time.rfc3339()))?;
        map.serialize_entry("rule", self.rule)?;
        map.serialize_entry("priority", priority)?;
        map.serialize_entry("source", self.source)?;
        map.serialize_entry("hostname", self.hostname)?;
        map.serialize_entry(
            "output",
            &Shown(format_args!("{}: {priority} {}", self.time.clock(), self.message)),
        )
    }
}

struct Shown<T>(T);

impl<T: std::fmt::Display> Serialize for Shown<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

struct DetectionLine<'a>(&'a Detection);

/// A pod; labels and owners only where there are some.
struct PodLine<'a>(&'a Pod);

impl Serialize for PodLine<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let pod = self.0;
        let mut map = serializer.serialize_map(None)?;
        for (key, value) in [
            ("uid", &pod.uid),
            ("name", &pod.name),
            ("namespace", &pod.namespace),
            ("service_account", &pod.service_account),
            ("node", &pod.node),
        ] {
            if !value.is_empty() {
                map.serialize_entry(key, value)?;
            }
        }
        if !pod.labels.is_empty() {
            map.serialize_entry("labels", &pod.labels)?;
        }
        // The one that a person made.
        if let Some(owner) = pod.owners.last() {
            map.serialize_entry("owner_kind", &owner.kind)?;
            map.serialize_entry("owner_name", &owner.name)?;
        }
        map.end()
    }
}

impl Serialize for DetectionLine<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let detection = self.0;
        let time = UtcTime::new(detection.time.as_ref());
        let mut map = serializer.serialize_map(None)?;
        Alert {
            time,
            rule: &detection.rule,
            priority: detection.priority(),
            source: &detection.source,
            hostname: &detection.hostname,
            message: &detection.output,
        }
        .write(&mut map)?;
        map.serialize_entry("tags", &detection.tags)?;
        map.serialize_entry("output_fields", &OutputFields { detection, time })?;
        map.serialize_entry("id", &detection.id)?;
        map.serialize_entry("event_type", &detection.event_type)?;
        if let Some(process) = &detection.process {
            map.serialize_entry("process", &ProcessValue(process))?;
        }
        if let Some(container) = &detection.container {
            let value = Object([
                ("id", Value::Text(&container.id)),
                ("runtime", Value::Text(&container.runtime)),
                ("cgroup", Value::Text(&container.cgroup)),
                ("name", Value::Text(&container.name)),
                ("image", Value::Text(&container.image)),
                ("pod", Value::Text(&container.pod)),
                ("namespace", Value::Text(&container.namespace)),
                ("unverified", Value::Bool(container.unverified)),
            ]);
            map.serialize_entry("container", &value)?;
        }
        if let Some(pod) = &detection.pod {
            map.serialize_entry("pod", &PodLine(pod))?;
        }
        if let Some(file) = &detection.file {
            let value = Object([
                ("path", Value::Text(&file.path)),
                ("path_given", Value::Text(&file.path_given)),
                ("device", Value::Number(file.device)),
                ("inode", Value::Number(file.inode)),
            ]);
            map.serialize_entry("file", &value)?;
        }
        if detection.update {
            map.serialize_entry("update", &true)?;
        }
        if !detection.incomplete.is_empty() {
            map.serialize_entry("incomplete", &detection.incomplete)?;
        }
        map.end()
    }
}

/// Falco always has `evt.time` among the fields, and falcosidekick refuses an alert that has none.
struct OutputFields<'a> {
    detection: &'a Detection,
    time: UtcTime,
}

impl Serialize for OutputFields<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let fields = &self.detection.output_fields;
        let mut map = serializer.serialize_map(None)?;
        if !fields.contains_key("evt.time") {
            map.serialize_entry("evt.time", &self.time.epoch_ns())?;
        }
        for (name, value) in fields {
            map.serialize_entry(name, &Field(value))?;
        }
        map.end()
    }
}

struct Field<'a>(&'a FieldValue);

impl Serialize for Field<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.0.kind {
            None => serializer.serialize_unit(),
            Some(Kind::StringValue(text)) => serializer.serialize_str(text),
            Some(Kind::IntValue(number)) => serializer.serialize_i64(*number),
            Some(Kind::UintValue(number)) => serializer.serialize_u64(*number),
            Some(Kind::BoolValue(truth)) => serializer.serialize_bool(*truth),
            Some(Kind::DoubleValue(number)) => serializer.serialize_f64(*number),
        }
    }
}

enum Value<'a> {
    Text(&'a str),
    Number(u64),
    Bool(bool),
    Missing,
    Ancestors(&'a [sensor_proto::v1::Ancestor]),
    Credentials(Option<&'a sensor_proto::v1::Credentials>),
}

impl Serialize for Value<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Text(text) => serializer.serialize_str(text),
            Self::Number(number) => serializer.serialize_u64(*number),
            Self::Bool(is_so) => serializer.serialize_bool(*is_so),
            Self::Missing | Self::Credentials(None) => serializer.serialize_unit(),
            Self::Credentials(Some(of)) => Object([
                ("uid", Value::Number(of.uid.into())),
                ("euid", Value::Number(of.euid.into())),
                ("loginuid", Value::Number(of.loginuid.into())),
                ("cap_effective", Value::Number(of.cap_effective)),
            ])
            .serialize(serializer),
            Self::Ancestors(ancestors) => {
                let mut list = serializer.serialize_seq(Some(ancestors.len()))?;
                for ancestor in *ancestors {
                    list.serialize_element(&Object([
                        ("pid", Value::Number(ancestor.pid.into())),
                        ("start_time_ns", Value::Number(ancestor.start_time_ns)),
                        ("name", Value::Text(&ancestor.name)),
                        ("exe_path", Value::Text(&ancestor.exe_path)),
                        ("started_as", Value::Credentials(ancestor.started_as.as_ref())),
                    ]))?;
                }
                list.end()
            }
        }
    }
}

struct Object<'a, const N: usize>([(&'static str, Value<'a>); N]);

impl<const N: usize> Serialize for Object<'_, N> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(key, value)| (key, value)))
    }
}

struct ProcessValue<'a>(&'a sensor_proto::v1::Process);

impl Serialize for ProcessValue<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let process = self.0;
        Object([
            ("pid", Value::Number(process.pid.into())),
            ("tid", Value::Number(process.tid.into())),
            ("start_time_ns", Value::Number(process.start_time_ns)),
            ("name", Value::Text(&process.name)),
            ("exe_path", Value::Text(&process.exe_path)),
            ("cmdline", Value::Text(&process.cmdline)),
            ("cwd", Value::Text(&process.cwd)),
            ("uid", Value::Number(process.uid.into())),
            ("gid", Value::Number(process.gid.into())),
            ("exe_sha256", Value::Text(&process.exe_sha256)),
            ("exe_package", Value::Text(&process.exe_package)),
            ("started_as", Value::Credentials(process.started_as.as_ref())),
            ("ancestors", Value::Ancestors(&process.ancestors)),
        ])
        .serialize(serializer)
    }
}

/// A line of source `internal`.
struct InternalLine<'a, const N: usize> {
    time: UtcTime,
    rule: &'static str,
    priority: Priority,
    hostname: &'a str,
    message: String,
    fields: [(&'static str, Value<'a>); N],
}

impl<const N: usize> Serialize for InternalLine<'_, N> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        Alert {
            time: self.time,
            rule: self.rule,
            priority: self.priority,
            source: "internal",
            hostname: self.hostname,
            message: &self.message,
        }
        .write(&mut map)?;
        map.serialize_entry("output_fields", &InternalFields(self))?;
        map.end()
    }
}

struct InternalFields<'a, 'b, const N: usize>(&'a InternalLine<'b, N>);

impl<const N: usize> Serialize for InternalFields<'_, '_, N> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(N + 1))?;
        map.serialize_entry("evt.time", &self.0.time.epoch_ns())?;
        for (key, value) in &self.0.fields {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}

fn gap_line<'a>(gap: &'a Gap, hostname: &'a str) -> InternalLine<'a, 4> {
    InternalLine {
        time: UtcTime::new(gap.time.as_ref()),
        rule: "Sensor internal: items lost",
        priority: GAP_PRIORITY,
        hostname,
        message: gap_message(gap),
        fields: [
            ("cause", Value::Text(&gap.cause)),
            ("kind", Value::Text(&gap.kind)),
            ("count", Value::Number(gap.count)),
            (
                "container.id",
                if gap.container.is_empty() {
                    Value::Missing
                } else {
                    Value::Text(&gap.container)
                },
            ),
        ],
    }
}

fn hook_run_line<'a>(run: &'a HookRun, hostname: &'a str) -> InternalLine<'a, 8> {
    InternalLine {
        time: UtcTime::new(run.time.as_ref()),
        rule: "Sensor internal: hook run",
        priority: hook_run_priority(run),
        hostname,
        message: hook_run_message(run),
        fields: [
            ("id", Value::Text(&run.id)),
            ("hook", Value::Text(&run.hook)),
            ("detection_id", Value::Text(&run.detection_id)),
            ("rule", Value::Text(&run.rule)),
            ("mode", Value::Text(mode_name(run.mode()))),
            ("outcome", Value::Text(outcome_name(run.outcome()))),
            ("detail", Value::Text(&run.detail)),
            ("duration_ms", Value::Number(run.duration_ms)),
        ],
    }
}

fn reload_line<'a>(reload: &'a RulesReload, hostname: &'a str) -> InternalLine<'a, 6> {
    InternalLine {
        time: UtcTime::new(reload.time.as_ref()),
        rule: "Sensor internal: rules reload",
        priority: reload_priority(reload),
        hostname,
        message: reload_message(reload),
        fields: [
            ("outcome", Value::Text(reload_outcome(reload))),
            ("trigger", Value::Text(&reload.trigger)),
            ("rules", Value::Number(reload.rules.into())),
            ("generation", Value::Number(reload.generation)),
            ("duration_ns", Value::Number(reload.duration_ns)),
            (
                "error",
                if reload.error.is_empty() {
                    Value::Missing
                } else {
                    Value::Text(&reload.error)
                },
            ),
        ],
    }
}

fn reload_outcome(reload: &RulesReload) -> &'static str {
    if reload.applied { "applied" } else { "refused" }
}

/// What new rules say to people.
pub(super) fn reload_message(reload: &RulesReload) -> String {
    let RulesReload {
        rules,
        trigger,
        generation,
        ..
    } = reload;
    if reload.applied {
        format!("{rules} rules are in use (trigger={trigger} generation={generation})")
    } else {
        let first = reload.error.lines().next().unwrap_or_default();
        format!(
            "New rules were refused and the {rules} former ones stay in use: {first} (trigger={trigger} generation={generation})"
        )
    }
}

/// What a gap says to people.
pub(super) fn gap_message(gap: &Gap) -> String {
    let of = if gap.container.is_empty() {
        String::new()
    } else {
        format!(" of container {}", gap.container)
    };
    format!(
        "Lost {} items{of} (kind={} cause={})",
        gap.count, gap.kind, gap.cause
    )
}

/// What a hook's run says to people.
pub(super) fn hook_run_message(run: &HookRun) -> String {
    format!(
        "Hook {} answered rule {}: {} (outcome={} mode={} duration_ms={} detection={})",
        run.hook,
        run.rule,
        run.detail,
        outcome_name(run.outcome()),
        mode_name(run.mode()),
        run.duration_ms,
        run.detection_id,
    )
}
