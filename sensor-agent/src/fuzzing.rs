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
    inventory::owner::Owner,
    runtime::{docker, oci, podman},
    state::{
        container, runtime_call,
        users::{Users, accounts, ids, ids::IdMap},
        workload::{ContainerFacts, LABELS_MAX, MOUNTS_MAX, TEXT_BYTES_MAX},
    },
};

/// Every target of this crate.
pub const TARGETS: [Target; 9] = [
    ("accounts", accounts),
    ("cgroup_path", cgroup_path),
    ("config", config),
    ("pod", pod),
    ("record", record),
    ("recording", recording),
    ("runtime_answer", runtime_answer),
    ("runtime_call", runtime_call),
    ("runtime_file", runtime_file),
];

/// Longer inputs only take longer.
const INPUT_BYTES_MAX: usize = 64 * 1024;

/// A container's `/etc/passwd`, which is read as its `/etc/group` and as a map of ids, too: each name is one of a line, and
/// short; an id has a meaning inside, or the kernel's id for none.
///
/// # Panics
/// Where the law is broken.
pub fn accounts(input: &[u8]) {
    if input.len() > INPUT_BYTES_MAX {
        return;
    }
    let users = Users::within_bounds(input, input);
    let map = IdMap::parse(input);
    for line in input.split(|byte| *byte == b'\n') {
        let id = line.split(|byte| *byte == b':').nth(2);
        let id = id.and_then(|id| std::str::from_utf8(id).ok()?.parse::<u32>().ok());
        let Some(id) = id else { continue };
        let user = users.user(id);
        let texts = [
            users.user_name(id),
            users.group_name(id),
            user.map(|user| &*user.home),
            user.map(|user| &*user.shell),
        ];
        for text in texts.into_iter().flatten() {
            assert!(text.len() <= accounts::TEXT_BYTES_MAX, "{} bytes", text.len());
            assert!(!text.contains(&b':') && !text.contains(&b'\n'), "{text:?}");
        }
        assert!(!map.is_empty() || map.inside(id) == ids::OVERFLOW_ID);
    }
    assert!(users.bytes() <= 2 * accounts::ENTRIES_MAX * (4 * accounts::TEXT_BYTES_MAX));
}

/// The path of a cgroup: whatever container it names, its names are parts of the path; the unit that it is of is short.
///
/// # Panics
/// Where the law is broken.
pub fn cgroup_path(input: &[u8]) {
    let Owner::Host { unit } = Owner::of_cgroup(input) else {
        panic!("a cgroup is the host's")
    };
    assert!(!unit.is_empty() && unit.len() <= 256, "{unit:?}");
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

/// The working directory and, behind a line break, the arguments of somebody who may be a runtime: a bundle is an absolute
/// path, and an id is an argument that names no folder.
///
/// # Panics
/// Where the law is broken.
pub fn runtime_call(input: &[u8]) {
    let at = memchr::memchr(b'\n', input).unwrap_or(input.len());
    let (cwd, argv) = input.split_at(at);
    let argv = argv.strip_prefix(b"\n").unwrap_or(argv);
    if let Some((bundle, id)) = runtime_call::parse(argv, cwd) {
        assert!(bundle.is_absolute(), "{}", bundle.display());
        assert!(!id.is_empty() && !id.contains(['/', '\0']), "{id:?}");
        assert!(
            argv.split(|byte| *byte == 0)
                .any(|argument| argument == id.as_bytes())
        );
        assert!(!runtime_call::is_exec(b"sh", argv));
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
