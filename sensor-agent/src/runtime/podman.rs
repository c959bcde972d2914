//! Podman's state of a container, in the files of containers/storage: `overlay-containers/containers.json` (or
//! `volatile-containers.json` for `--rm`), and `overlay-images/images.json` for digests.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::text;
use crate::state::workload::ContainerFacts;

/// Adds what the list of containers tells. False where the container is not in it.
pub fn add_container(bytes: &[u8], facts: &mut ContainerFacts) -> bool {
    let Ok(Value::Array(list)) = serde_json::from_slice::<Value>(bytes) else {
        return false;
    };
    let Some(found) = list.iter().find(|one| one["id"].as_str() == Some(&*facts.id)) else {
        return false;
    };
    facts.runtime = "podman";
    facts.image.id = text(&found["image"]);
    // JSON within JSON.
    let metadata: Value = found["metadata"]
        .as_str()
        .and_then(|metadata| serde_json::from_str(metadata).ok())
        .unwrap_or_default();
    facts.image.reference = text(&metadata["image-name"]);
    // A rename changes the list of names, and leaves the metadata as it was.
    facts.name = text(&found["names"][0]).or_else(|| text(&metadata["name"]));
    true
}

/// Adds the image's digest from the list of images.
pub fn add_digest(bytes: &[u8], facts: &mut ContainerFacts) -> bool {
    let Ok(Value::Array(list)) = serde_json::from_slice::<Value>(bytes) else {
        return false;
    };
    let of_image = list
        .iter()
        .find(|image| image["id"].as_str() == facts.image.id.as_deref());
    facts.image.digest = of_image.and_then(|image| text(&image["digest"]));
    true
}

/// The graph root, from the bundle's folder: `<root>/<driver>-containers/<id>/userdata`. CRI-O has its bundles in the
/// run root, where this leads to no list.
#[must_use]
pub fn containers_folder(bundle: &Path) -> Option<PathBuf> {
    let folder = bundle.parent()?.parent()?;
    let is_storage =
        folder.file_name()?.to_str()?.ends_with("-containers") && bundle.file_name()? == "userdata";
    is_storage.then(|| folder.to_owned())
}
