//! What the fuzz targets do with their input, as functions, so that ordinary tests run them over the corpus too.
//!
//! Here are the readers of what the kernel, container runtimes, the API server and a user's file say; those of the rule
//! language are in [`sensor_rules::fuzzing`]. Each function takes any bytes and holds what it finds to a law. The
//! targets of `sensor-agent/fuzz/` call these and nothing else.
//!
//! Invariant: a body is deterministic but for the clock, so that an input that once failed fails again.

mod record;
mod recording;

pub use record::record;
pub use recording::recording;

use sensor_rules::fuzzing::Target;

use crate::{
    config,
    runtime::{docker, oci, podman},
    state::{
        container,
        workload::{ContainerFacts, LABELS_MAX, MOUNTS_MAX, TEXT_BYTES_MAX},
    },
};

/// Every target of this crate.
pub const TARGETS: [Target; 7] = [
    ("cgroup_path", cgroup_path),
    ("config", config),
    ("pod", pod),
    ("record", record),
    ("recording", recording),
    ("runtime_answer", runtime_answer),
    ("runtime_file", runtime_file),
];

/// Longer inputs only take longer.
const INPUT_BYTES_MAX: usize = 64 * 1024;

/// The path of a cgroup: whatever container it names, its names are parts of the path.
///
/// # Panics
/// Where the law is broken.
pub fn cgroup_path(input: &[u8]) {
    let Some(found) = container::from_cgroup_path(input) else {
        return;
    };
    let is_part = |name: &str| memchr::memmem::find(input, name.as_bytes()).is_some();
    assert!(!found.id.is_empty() && is_part(&found.id), "{found:?}");
    assert!(found.outer.as_deref().is_none_or(is_part), "{found:?}");
    assert!(found.id.starts_with(found.short_id()));
    // systemd's names have `_` where the uid has `-`.
    let dashed = |bytes: &[u8]| {
        bytes
            .iter()
            .map(|byte| if *byte == b'_' { b'-' } else { *byte })
            .collect::<Vec<_>>()
    };
    let path = dashed(input);
    let uid = found.pod_uid.as_deref().map(|uid| dashed(uid.as_bytes()));
    assert!(
        uid.is_none_or(|uid| memchr::memmem::find(&path, &uid).is_some()),
        "{found:?}"
    );
}

/// A configuration: it is one, or each fault can be drawn at its place.
///
/// # Panics
/// Where the law is broken.
pub fn config(input: &[u8]) {
    if input.len() > INPUT_BYTES_MAX {
        return;
    }
    let Ok(text) = std::str::from_utf8(input) else {
        return;
    };
    match config::parse("fuzz.yaml", text, &[]) {
        Ok(_) => {}
        Err(errors) => {
            assert!(errors.count() > 0);
            assert!(!errors.render(false).is_empty());
        }
    }
}

/// An answer of the API server, as a list and as a watch.
///
/// # Panics
/// Where the law is broken.
pub fn pod(input: &[u8]) {
    if input.len() <= INPUT_BYTES_MAX {
        crate::kubernetes::fuzzing::answer(input);
    }
}

/// An answer of a container runtime's socket, as each call's in turn.
///
/// # Panics
/// Where the law is broken.
pub fn runtime_answer(input: &[u8]) {
    if input.len() <= INPUT_BYTES_MAX {
        crate::runtime::socket::fuzzing::answer(input);
    }
}

/// A file of a container runtime; the first byte says whose. What is taken from it keeps its bounds.
///
/// # Panics
/// Where the law is broken.
pub fn runtime_file(input: &[u8]) {
    let Some((whose, bytes)) = input.split_first() else {
        return;
    };
    if bytes.len() > INPUT_BYTES_MAX {
        return;
    }
    let id = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    let mut facts = ContainerFacts {
        id: id.into(),
        ..ContainerFacts::default()
    };
    facts.image.id = Some("sha256:beef".into());
    match whose % 6 {
        0 => facts = oci::read(bytes).unwrap_or_default(),
        1 => drop(docker::add_config(bytes, &mut facts)),
        2 => drop(docker::add_host_config(bytes, &mut facts)),
        3 => drop(docker::add_digest(bytes, &mut facts)),
        4 => drop(podman::add_container(bytes, &mut facts)),
        _ => drop(podman::add_digest(bytes, &mut facts)),
    }
    let texts = [
        facts.name.as_deref(),
        facts.image.reference.as_deref(),
        facts.image.id.as_deref(),
        facts.image.digest.as_deref(),
    ];
    for text in texts.into_iter().flatten() {
        assert!(!text.contains(['\n', '\0']), "{text:?} would break a line");
        assert!(text.len() <= TEXT_BYTES_MAX, "{} bytes", text.len());
    }
    // A label may hold lines: who writes it escapes it.
    let labels = facts.labels.iter().chain(&facts.pod_labels);
    for text in labels.flat_map(|(key, value)| [key, value]) {
        assert!(text.len() <= TEXT_BYTES_MAX, "{} bytes", text.len());
    }
    assert!(facts.mounts.len() <= MOUNTS_MAX && facts.labels.len() <= LABELS_MAX);
}
