//! A container image as one file, made without a registry, a daemon or a container tool.
//!
//! The file is a tar of an OCI image layout (image-spec 1.1) that also holds docker's `manifest.json`, so
//! `docker load`, `podman load` and `ctr images import` all take it and show the same image id.
//!
//! Invariant: the same content gives the same bytes. Times are zero, owners are root, names are sorted.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// One file of the image's only layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct File {
    /// What is in it.
    pub(crate) content: Vec<u8>,
    /// Whether it is a program.
    pub(crate) executable: bool,
}

/// What an image contains and how it is called.
#[derive(Debug)]
pub(crate) struct Image<'a> {
    /// Repository and tag, `localhost/sensor:0.1.0`.
    pub(crate) name: &'a str,
    /// Architecture as OCI names it: `amd64`.
    pub(crate) architecture: &'a str,
    /// Program and first arguments.
    pub(crate) entrypoint: &'a [&'a str],
    /// Arguments that a user's own replace.
    pub(crate) cmd: &'a [&'a str],
    /// Labels (`org.opencontainers.image.…`).
    pub(crate) labels: &'a [(&'a str, &'a str)],
    /// Files by their path, without the leading slash. Folders are made for them.
    pub(crate) files: &'a BTreeMap<String, File>,
}

/// An image's archive and the id that container tools show for it.
#[derive(Debug)]
pub(crate) struct Archive {
    /// The tar file.
    pub(crate) bytes: Vec<u8>,
    /// `sha256:` and the digest of the configuration.
    pub(crate) id: String,
}

/// Assembles an image.
pub(crate) fn archive(image: &Image<'_>) -> Result<Archive> {
    let layer = layer(image.files)?;
    let mut members: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    let mut blob = |bytes: Vec<u8>, media_type: &str| {
        let digest = digest(&bytes);
        let descriptor = json!({
            "mediaType": format!("application/vnd.oci.image.{media_type}"), "digest": digest, "size": bytes.len(),
        });
        members.insert(blob_path(&digest), bytes);
        (digest, descriptor)
    };

    let (layer_digest, layer_descriptor) = blob(layer, "layer.v1.tar");
    let (id, config_descriptor) = blob(config(image, &layer_digest).to_string().into(), "config.v1+json");
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": config_descriptor,
        "layers": [layer_descriptor],
    });
    let (_, mut manifest_descriptor) = blob(manifest.to_string().into(), "manifest.v1+json");
    let tag = image.name.rsplit_once(':').map_or("latest", |(_, tag)| tag);
    manifest_descriptor["annotations"] =
        json!({"io.containerd.image.name": image.name, "org.opencontainers.image.ref.name": tag});

    let index = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [manifest_descriptor],
    });
    let docker = json!([
        {"Config": blob_path(&id), "RepoTags": [image.name], "Layers": [blob_path(&layer_digest)]}
    ]);
    members.insert("index.json".into(), index.to_string().into());
    members.insert("manifest.json".into(), docker.to_string().into());
    members.insert(
        "oci-layout".into(),
        json!({"imageLayoutVersion": "1.0.0"}).to_string().into(),
    );

    let mut outer = Tar::default();
    for (path, content) in &members {
        outer.file(path, content, false)?;
    }
    Ok(Archive {
        bytes: outer.finish()?,
        id,
    })
}

fn config(image: &Image<'_>, layer_digest: &str) -> Value {
    let labels: BTreeMap<_, _> = image.labels.iter().copied().collect();
    json!({
        "architecture": image.architecture,
        "os": "linux",
        "created": "1970-01-01T00:00:00Z",
        "config": {
            "Entrypoint": image.entrypoint,
            "Cmd": image.cmd,
            "Env": ["PATH=/usr/bin"],
            "Labels": labels,
        },
        "rootfs": {"type": "layers", "diff_ids": [layer_digest]},
        "history": [{"created": "1970-01-01T00:00:00Z", "created_by": "cargo xtask image"}],
    })
}

/// The layer is not compressed: its digest then depends on no compressor's release.
fn layer(files: &BTreeMap<String, File>) -> Result<Vec<u8>> {
    let mut tar = Tar::default();
    for (path, file) in files {
        for (slash, _) in path.match_indices('/') {
            tar.folder(&path[..slash])?;
        }
        tar.file(path, &file.content, file.executable)?;
    }
    tar.finish()
}

fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .fold("sha256:".to_owned(), |hex, byte| hex + &format!("{byte:02x}"))
}

fn blob_path(digest: &str) -> String {
    format!("blobs/{}", digest.replace(':', "/"))
}

/// A tar file in which nothing depends on when, where or by whom it is written.
#[derive(Default)]
struct Tar {
    builder: Option<tar::Builder<Vec<u8>>>,
    folders: std::collections::BTreeSet<String>,
}

impl Tar {
    fn folder(&mut self, path: &str) -> Result<()> {
        if self.folders.insert(path.to_owned()) {
            self.entry(&format!("{path}/"), &[], tar::EntryType::Directory, 0o755)?;
        }
        Ok(())
    }

    fn file(&mut self, path: &str, content: &[u8], executable: bool) -> Result<()> {
        self.entry(
            path,
            content,
            tar::EntryType::Regular,
            if executable { 0o755 } else { 0o644 },
        )
    }

    fn entry(&mut self, path: &str, content: &[u8], kind: tar::EntryType, mode: u32) -> Result<()> {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_size(content.len().try_into().context("a file is too large")?);
        let builder = self.builder.get_or_insert_with(|| tar::Builder::new(Vec::new()));
        builder
            .append_data(&mut header, path, content)
            .with_context(|| format!("cannot archive {path}"))
    }

    fn finish(self) -> Result<Vec<u8>> {
        let builder = self.builder.context("an archive of nothing")?;
        builder.into_inner().context("cannot finish an archive")
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    fn example() -> Result<Archive> {
        let file = |content: &str, executable| File {
            content: content.into(),
            executable,
        };
        let files = BTreeMap::from([
            ("usr/bin/sensor".to_owned(), file("program", true)),
            ("etc/sensor/sensor.yaml".to_owned(), file("{}", false)),
            ("etc/sensor/rules/a.yaml".to_owned(), file("[]", false)),
        ]);
        archive(&Image {
            name: "localhost/sensor:1",
            architecture: "amd64",
            entrypoint: &["/usr/bin/sensor"],
            cmd: &["run"],
            labels: &[("b", "2"), ("a", "1")],
            files: &files,
        })
    }

    fn members(tar: &[u8]) -> Result<BTreeMap<String, (u32, Vec<u8>)>> {
        let mut found = BTreeMap::new();
        for entry in tar::Archive::new(tar).entries()? {
            let mut entry = entry?;
            let mut content = Vec::new();
            entry.read_to_end(&mut content)?;
            let path = entry.path()?.display().to_string();
            found.insert(path, (entry.header().mode()?, content));
        }
        Ok(found)
    }

    #[test]
    fn every_digest_names_the_bytes_it_stands_for() -> Result<()> {
        let Archive { bytes, id } = example()?;
        let members = members(&bytes)?;
        for (path, (_, content)) in &members {
            if let Some(hex) = path.strip_prefix("blobs/sha256/") {
                assert_eq!(digest(content), format!("sha256:{hex}"));
            }
        }
        let parse = |path: &str| -> Result<Value> { Ok(serde_json::from_slice(&members[path].1)?) };
        let descriptor = &parse("index.json")?["manifests"][0];
        let manifest = parse(&blob_path(descriptor["digest"].as_str().unwrap_or_default()))?;
        assert_eq!(manifest["config"]["digest"], id.as_str());
        let config = parse(&blob_path(&id))?;
        assert_eq!(config["rootfs"]["diff_ids"][0], manifest["layers"][0]["digest"]);
        assert_eq!(parse("manifest.json")?[0]["Config"], blob_path(&id));
        Ok(())
    }

    #[test]
    fn the_layer_has_the_files_and_their_folders() -> Result<()> {
        let Archive { bytes, .. } = example()?;
        let docker: Value = serde_json::from_slice(&members(&bytes)?["manifest.json"].1)?;
        let layer_path = docker[0]["Layers"][0].as_str().unwrap_or_default().to_owned();
        let layer = members(&members(&bytes)?[&layer_path].1)?;
        let listing: Vec<_> = layer
            .iter()
            .map(|(path, (mode, _))| format!("{mode:o} {path}"))
            .collect();
        let expected = [
            "755 etc/",
            "755 etc/sensor/",
            "755 etc/sensor/rules/",
            "644 etc/sensor/rules/a.yaml",
            "644 etc/sensor/sensor.yaml",
            "755 usr/",
            "755 usr/bin/",
            "755 usr/bin/sensor",
        ];
        assert_eq!(listing, expected);
        Ok(())
    }

    #[test]
    fn the_same_content_gives_the_same_bytes() -> Result<()> {
        assert_eq!(example()?.bytes, example()?.bytes);
        Ok(())
    }

    #[test]
    fn a_digest_is_sha256_in_hex() {
        // FIPS 180-2, appendix B.1.
        let expected = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(digest(b"abc"), expected);
    }
}
