//! `k8s.*` and `k8smeta.*`: the pod that the event's container belongs to.
//!
//! The pod's uid stands in the cgroup's path and needs nobody's word. What belongs to it is the Kubernetes API's
//! to say, and where that has not, what the container's runtime was told when it made the container.

use sensor_proto::v1;
use sensor_rules::{
    event::Value,
    field::{Field, FieldArg},
};

use super::{View, text, write};
use crate::state::workload::{ContainerFacts, Labels, Owner, PodFacts};

/// All that is known of one pod.
struct Known<'a> {
    uid: &'a str,
    api: Option<&'a PodFacts>,
    runtime: Option<&'a ContainerFacts>,
}

impl<'a> Known<'a> {
    fn name(&self) -> Option<&'a str> {
        self.api
            .map(|pod| &*pod.name)
            .or_else(|| self.runtime?.pod.as_ref()?.name.as_deref())
    }

    fn namespace(&self) -> Option<&'a str> {
        self.api
            .map(|pod| &*pod.namespace)
            .or_else(|| self.runtime?.pod.as_ref()?.namespace.as_deref())
    }

    fn labels(&self) -> Option<&'a Labels> {
        self.api
            .map(|pod| &pod.labels)
            .or_else(|| self.runtime.map(|facts| &facts.pod_labels))
    }

    fn sandbox(&self) -> Option<&'a str> {
        self.runtime?.pod.as_ref()?.sandbox_id.as_deref()
    }

    fn owner(&self, kind: &str) -> Option<&'a Owner> {
        self.api?.owners.iter().find(|owner| &*owner.kind == kind)
    }
}

/// Whether a field is told here.
pub(super) const fn is_of_pod(field: Field) -> bool {
    matches!(
        field,
        Field::K8sPodUid
            | Field::K8sPodId
            | Field::K8smetaPodUid
            | Field::K8sPodName
            | Field::K8smetaPodName
            | Field::K8sNsName
            | Field::K8smetaNsName
            | Field::K8sPodSandboxId
            | Field::K8sPodFullSandboxId
            | Field::K8sPodLabel
            | Field::K8smetaPodLabel
            | Field::K8sPodLabels
            | Field::K8sPodIp
            | Field::K8smetaPodIp
            | Field::K8sPodOwnerKind
            | Field::K8sPodOwnerName
            | Field::K8sPodServiceAccount
            | Field::K8sNodeName
            | Field::K8smetaDeploymentName
            | Field::K8smetaDeploymentUid
            | Field::K8smetaRsName
            | Field::K8smetaRsUid
            | Field::K8smetaRcName
            | Field::K8smetaRcUid
    )
}

impl View<'_> {
    fn pod(&self) -> Option<Known<'_>> {
        let container = self.container()?;
        let workloads = &self.state.workloads;
        let runtime = workloads.container(&container.id).map(|facts| &**facts);
        let uid = container.pod_uid_by(runtime)?;
        Some(Known {
            uid,
            api: workloads.pod(uid).map(|facts| &**facts),
            runtime,
        })
    }

    /// The pod as a detection tells it.
    pub(crate) fn told_pod(&self) -> Option<v1::Pod> {
        let pod = self.pod()?;
        let text = |value: Option<&str>| value.unwrap_or_default().to_owned();
        let owners = pod.api.map_or(&[][..], |pod| &pod.owners);
        Some(v1::Pod {
            uid: pod.uid.to_owned(),
            name: text(pod.name()),
            namespace: text(pod.namespace()),
            labels: pod
                .labels()
                .into_iter()
                .flatten()
                .map(|(name, value)| (name.to_string(), value.to_string()))
                .collect(),
            owners: owners
                .iter()
                .map(|owner| v1::pod::Owner {
                    kind: owner.kind.to_string(),
                    name: owner.name.to_string(),
                    uid: owner.uid.to_string(),
                })
                .collect(),
            service_account: text(pod.api.and_then(|pod| pod.service_account.as_deref())),
            node: text(pod.api.and_then(|pod| pod.node.as_deref())),
        })
    }

    pub(super) fn pod_value<'b>(
        &'b self,
        field: Field,
        arg: &FieldArg,
        buf: &'b mut Vec<u8>,
    ) -> Option<Value<'b>> {
        let pod = self.pod()?;
        let of = |value: Option<&'b str>| text(value?.as_bytes());
        match field {
            Field::K8sPodUid | Field::K8sPodId | Field::K8smetaPodUid => of(Some(pod.uid)),
            Field::K8sPodName | Field::K8smetaPodName => of(pod.name()),
            Field::K8sNsName | Field::K8smetaNsName => of(pod.namespace()),
            Field::K8sPodSandboxId => {
                let id = pod.sandbox()?;
                of(Some(
                    id.get(..crate::state::container::SHORT_ID_CHARS).unwrap_or(id),
                ))
            }
            Field::K8sPodFullSandboxId => of(pod.sandbox()),
            Field::K8sPodLabel | Field::K8smetaPodLabel => {
                let FieldArg::Key(name) = arg else { return None };
                of(Some(pod.labels()?.get(name.as_str())?))
            }
            Field::K8sPodLabels => {
                join(pod.labels()?, buf);
                text(buf)
            }
            Field::K8sPodIp | Field::K8smetaPodIp => {
                let ip = pod.api.and_then(|pod| pod.ip).or_else(|| pod.runtime?.ip)?;
                write(buf, format_args!("{ip}"))
            }
            _ => owner_value(field, &pod),
        }
    }
}

fn owner_value<'a>(field: Field, pod: &Known<'a>) -> Option<Value<'a>> {
    let of = |value: &'a str| text(value.as_bytes());
    match field {
        // The one that a person made: the Deployment, not its replica set.
        Field::K8sPodOwnerKind => of(&pod.api?.owners.last()?.kind),
        Field::K8sPodOwnerName => of(&pod.api?.owners.last()?.name),
        Field::K8sPodServiceAccount => of(pod.api?.service_account.as_deref()?),
        Field::K8sNodeName => of(pod.api?.node.as_deref()?),
        Field::K8smetaDeploymentName => of(&pod.owner("Deployment")?.name),
        Field::K8smetaDeploymentUid => of(&pod.owner("Deployment")?.uid),
        Field::K8smetaRsName => of(&pod.owner("ReplicaSet")?.name),
        Field::K8smetaRsUid => of(&pod.owner("ReplicaSet")?.uid),
        Field::K8smetaRcName => of(&pod.owner("ReplicationController")?.name),
        Field::K8smetaRcUid => of(&pod.owner("ReplicationController")?.uid),
        _ => None,
    }
}

/// As Falco shows labels: `name:value`, between commas.
pub(super) fn join(labels: &Labels, buf: &mut Vec<u8>) {
    for (name, value) in labels {
        if !buf.is_empty() {
            buf.extend_from_slice(b", ");
        }
        buf.extend_from_slice(name.as_bytes());
        buf.push(b':');
        buf.extend_from_slice(value.as_bytes());
    }
}
