//! Who a workload is: what Kubernetes runs as one, else a container by image and name, else a unit of the host's service
//! manager, else a cgroup.

use crate::state::{
    container::Container,
    workload::{ContainerFacts, Labels, PodFacts},
};

/// Longest name of a unit or a cgroup, in bytes; what is beyond is cut.
const UNIT_BYTES_MAX: usize = 256;

/// Labels of one workload that are kept.
const LABELS_MAX: usize = 64;

/// Longest label, name and value together, in bytes; Kubernetes allows 380.
const LABEL_BYTES_MAX: usize = 512;

/// Labels that controllers give to pods to tell them from each other, or one version from the next.
const GENERATED_LABELS: [&str; 9] = [
    "pod-template-hash",
    "controller-revision-hash",
    "pod-template-generation",
    "statefulset.kubernetes.io/pod-name",
    "apps.kubernetes.io/pod-index",
    "controller-uid",
    "batch.kubernetes.io/controller-uid",
    "batch.kubernetes.io/job-completion-index",
    "job-name",
];

/// The kind of a workload whose pods come from one template, of which the owner is not known.
const TEMPLATE: &str = "PodTemplate";

/// Who a workload is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Owner {
    /// Pods of one owner.
    Kubernetes {
        /// `metadata.namespace`
        namespace: Box<str>,
        /// `Deployment`, `DaemonSet`, ...; `Pod` for one that stands alone, `PodTemplate` where the owner is not known.
        kind: Box<str>,
        /// The owner's name.
        name: Box<str>,
    },
    /// Containers of one image and name.
    Container {
        /// As it was asked for; empty when it is not known.
        image: Box<str>,
        /// Its name.
        name: Box<str>,
    },
    /// A container of which only its id is known.
    Unknown {
        /// The runtime's whole id.
        id: Box<str>,
    },
    /// Processes of the host.
    Host {
        /// The unit, or the cgroup's path where it is none.
        unit: Box<str>,
    },
}

/// What is known of a container that tells of its workload.
#[derive(Clone, Debug)]
pub(super) struct Described {
    pub(super) owner: Owner,
    pub(super) image: Option<Box<str>>,
    pub(super) container: Option<Box<str>>,
    pub(super) labels: Option<Labels>,
    pub(super) has_host_network: bool,
}

impl Described {
    /// From what the runtime and Kubernetes have told so far.
    pub(super) fn of(container: &Container, facts: Option<&ContainerFacts>, pod: Option<&PodFacts>) -> Self {
        let is_own = facts.is_some_and(|facts| !facts.is_sandbox);
        let own = facts.filter(|_| is_own);
        Self {
            owner: owner(container, facts, pod),
            image: own.and_then(|facts| facts.image.reference.clone().or_else(|| facts.image.id.clone())),
            container: own.and_then(|facts| facts.name.clone()),
            labels: pod
                .map(|pod| &pod.labels)
                .or_else(|| {
                    facts
                        .map(|facts| &facts.pod_labels)
                        .filter(|told| !told.is_empty())
                })
                .map(common_labels),
            has_host_network: facts.and_then(|facts| facts.has_host_network) == Some(true),
        }
    }
}

fn owner(container: &Container, facts: Option<&ContainerFacts>, pod: Option<&PodFacts>) -> Owner {
    if let Some(pod) = pod {
        // A static pod belongs to its node, which runs others, too.
        let owner = pod.owners.last().filter(|owner| &*owner.kind != "Node");
        return Owner::Kubernetes {
            namespace: pod.namespace.clone(),
            kind: owner.map_or_else(|| "Pod".into(), |owner| owner.kind.clone()),
            name: owner.map_or_else(|| pod.name.clone(), |owner| owner.name.clone()),
        };
    }
    let told = facts.and_then(|facts| Some((facts.pod.as_ref()?, &facts.pod_labels)));
    if let Some((pod, labels)) = told
        && let (Some(name), Some(namespace)) = (&pod.name, &pod.namespace)
    {
        let (kind, name) = template(name, labels);
        return Owner::Kubernetes {
            namespace: namespace.clone(),
            kind: kind.into(),
            name: name.into(),
        };
    }
    match facts.and_then(|facts| Some((facts.name.clone()?, &facts.image))) {
        Some((name, image)) => Owner::Container {
            image: image
                .reference
                .clone()
                .or_else(|| image.id.clone())
                .unwrap_or_default(),
            name,
        },
        None => Owner::Unknown {
            id: container.id.clone(),
        },
    }
}

/// The name that pods of one template have in common, by the labels that their controllers give them
/// (`pkg/controller` of Kubernetes: `NAME-HASH-RANDOM`, `NAME-RANDOM`, `NAME-ORDINAL`).
fn template<'a>(name: &'a str, labels: &'a Labels) -> (&'static str, &'a str) {
    let without_last = || name.rsplit_once('-').map_or(name, |(before, _)| before);
    if let Some(hash) = labels.get("pod-template-hash") {
        let before = without_last();
        let stem = before
            .strip_suffix(&**hash)
            .and_then(|stem| stem.strip_suffix('-'));
        return (TEMPLATE, stem.unwrap_or(before));
    }
    if let Some(job) = labels.get("job-name") {
        return ("Job", job);
    }
    if labels.contains_key("controller-revision-hash") {
        return (TEMPLATE, without_last());
    }
    ("Pod", name)
}

/// A pod's labels, but for those that only it has.
pub(super) fn common_labels(labels: &Labels) -> Labels {
    labels
        .iter()
        .filter(|(name, value)| {
            !GENERATED_LABELS.contains(&&***name) && name.len() + value.len() <= LABEL_BYTES_MAX
        })
        .take(LABELS_MAX)
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

impl Owner {
    /// The unit that a cgroup of the host is of, or the cgroup itself.
    #[must_use]
    pub fn of_cgroup(path: &[u8]) -> Self {
        let text = String::from_utf8_lossy(path);
        let components: Vec<_> = text.split('/').filter(|part| !part.is_empty()).collect();
        let is_unit = |part: &&str| matches!(part.rsplit_once('.'), Some((_, "service" | "scope")));
        let mut unit = match components.iter().rposition(is_unit) {
            Some(at) => {
                let name = without_number(components[at]);
                // Sessions of two users are two workloads.
                let user = components[..at]
                    .iter()
                    .rev()
                    .find(|part| part.starts_with("user-"));
                user.map_or_else(|| name.clone(), |user| format!("{user}/{name}"))
            }
            None => format!("/{}", components.join("/")),
        };
        unit.truncate(unit.floor_char_boundary(UNIT_BYTES_MAX));
        Self::Host { unit: unit.into() }
    }
}

/// A transient unit's name without what tells it from the next one: `session-3.scope`, `run-u12.service`,
/// `libpod-conmon-ID.scope`.
fn without_number(unit: &str) -> String {
    let Some((stem, suffix)) = unit.rsplit_once('.') else {
        return unit.to_owned();
    };
    let Some((before, last)) = stem.rsplit_once('-') else {
        return unit.to_owned();
    };
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let hex = |text: &str, len: usize| text.len() == len && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let is_run = before == "run"
        && (last.strip_prefix(['u', 'p']).is_some_and(digits)
            || last.strip_prefix('r').is_some_and(|rest| hex(rest, 32)));
    if is_run || hex(last, 64) || (suffix == "scope" && digits(last)) {
        return format!("{before}-*.{suffix}");
    }
    unit.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(list: &[(&str, &str)]) -> Labels {
        list.iter()
            .map(|(name, value)| ((*name).into(), (*value).into()))
            .collect()
    }

    #[test]
    fn a_unit_of_the_host_is_named_by_the_service_manager() {
        let id = "a".repeat(64);
        for (path, unit) in [
            ("/system.slice/nginx.service", "nginx.service"),
            ("/system.slice/nginx.service/worker", "nginx.service"),
            (
                "/user.slice/user-1000.slice/session-3.scope",
                "user-1000.slice/session-*.scope",
            ),
            (
                "/user.slice/user-0.slice/user@0.service/app.slice/a.service",
                "user-0.slice/a.service",
            ),
            (
                "/system.slice/system-getty.slice/getty@tty1.service",
                "getty@tty1.service",
            ),
            ("/system.slice/run-u12.service", "run-*.service"),
            ("/system.slice/foo-2.service", "foo-2.service"),
            (
                &format!("/machine.slice/libpod-conmon-{id}.scope"),
                "libpod-conmon-*.scope",
            ),
            ("/jobs/17", "/jobs/17"),
            ("/", "/"),
            ("", "/"),
        ] {
            assert_eq!(
                Owner::of_cgroup(path.as_bytes()),
                Owner::Host { unit: unit.into() },
                "{path}"
            );
        }
        let Owner::Host { unit } = Owner::of_cgroup("/ä".repeat(1000).as_bytes()) else {
            unreachable!()
        };
        assert!(unit.len() <= UNIT_BYTES_MAX, "{unit}");
    }

    #[test]
    fn pods_of_one_template_have_one_name() {
        for (pod, told, expected) in [
            (
                "web-7d4b9c-x2x4z",
                &[("pod-template-hash", "7d4b9c")][..],
                (TEMPLATE, "web"),
            ),
            (
                "my-web-7d4b9c-x2x4z",
                &[("pod-template-hash", "7d4b9c")],
                (TEMPLATE, "my-web"),
            ),
            // A name that was too long lost a part of the hash.
            (
                "long-name-x2x4z",
                &[("pod-template-hash", "7d4b9c")],
                (TEMPLATE, "long-name"),
            ),
            (
                "agent-x2x4z",
                &[("controller-revision-hash", "55")],
                (TEMPLATE, "agent"),
            ),
            ("db-0", &[("controller-revision-hash", "db-55")], (TEMPLATE, "db")),
            (
                "nightly-28-abc",
                &[("job-name", "nightly-28")],
                ("Job", "nightly-28"),
            ),
            ("alone", &[("app", "alone")], ("Pod", "alone")),
        ] {
            assert_eq!(template(pod, &labels(told)), expected, "{pod}");
        }
    }
}
