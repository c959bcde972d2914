//! Any bytes as answers of runtimes' sockets: facts within bounds, or a fault.

use prost::Message as _;
use sensor_proto::cri as api;

use super::{cri, engine};
use crate::state::workload::{ContainerFacts, LABELS_MAX, MOUNTS_MAX};

const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/// Takes the bytes as every answer in turn, with the right id where they have none of their own.
///
/// # Panics
/// When facts are out of bounds.
pub(crate) fn answer(bytes: &[u8]) {
    let mut facts = ContainerFacts {
        id: ID.into(),
        ..ContainerFacts::default()
    };
    if let Ok(mut answer) = api::ContainerStatusResponse::decode(bytes) {
        let _as_it_is = cri::add_container(&answer, &mut facts).is_ok();
        answer.status.get_or_insert_default().id = ID.into();
        let taken = cri::add_container(&answer, &mut facts);
        assert!(taken.is_ok(), "the right id is refused");
    }
    if let Ok(answer) = api::PodSandboxStatusResponse::decode(bytes) {
        let id = answer.status.as_ref().map_or("", |status| &status.id).to_owned();
        let _no_status = cri::add_pod(&answer, &id, &mut facts).is_ok();
    }
    if let Ok(answer) = api::ImageStatusResponse::decode(bytes) {
        cri::add_image(&answer, &mut facts);
    }
    if let Ok(mut answer) = serde_json::from_slice::<serde_json::Value>(bytes) {
        if let Some(object) = answer.as_object_mut() {
            object.insert("Id".into(), ID.into());
        }
        let _no_object = engine::add_container(&answer, &mut facts).is_ok();
        engine::add_image(&answer, &mut facts);
    }
    assert!(facts.labels.len() <= LABELS_MAX && facts.pod_labels.len() <= LABELS_MAX);
    assert!(facts.mounts.len() <= MOUNTS_MAX && facts.ports.len() <= MOUNTS_MAX);
    let names = [
        &facts.name,
        &facts.image.reference,
        &facts.image.id,
        &facts.image.digest,
    ];
    for name in names.into_iter().flatten() {
        assert!(!name.chars().any(char::is_control), "{name:?} would break a line");
    }
}
