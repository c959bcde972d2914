//! Containers that begin and end one after another, as quickly as runc makes them.

use std::{
    fs,
    path::Path,
    process::Stdio,
    sync::Mutex,
    sync::atomic::{AtomicUsize, Ordering},
};

use anyhow::{Context as _, bail};
use serde_json::{Value, json};

use super::{Container, ID, bundle, cgroup, missing, new_id, runc};

/// Stands for a container's id in the description that theirs are made of.
const PLACE: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// Runs so many containers, some at a time, each of which says a word and ends. Returns their ids.
pub fn churn(count: usize, at_once: usize) -> anyhow::Result<Vec<String>> {
    if let Some(missing) = missing() {
        bail!(missing);
    }
    let _cgroups = cgroup::Parents::of(&format!("/docker/{PLACE}"))?;
    let begun = AtomicUsize::new(0);
    let ids = Mutex::new(Vec::with_capacity(count));
    std::thread::scope(|scope| {
        let turns = (0..at_once).map(|_| {
            scope.spawn(|| {
                let folder = tempfile::Builder::new().prefix("sensor-churn-").tempdir()?;
                let builder = Container::builder();
                let at = builder.cgroup.replace(ID, PLACE);
                bundle::write(&builder, PLACE, &at, folder.path(), &["/bin/echo", "churn"])?;
                let config = fs::read(folder.path().join("config.json"))?;
                let mut config: Value = serde_json::from_slice(&config)?;
                config["root"]["path"] = json!(folder.path().join(bundle::ROOT));
                while begun.fetch_add(1, Ordering::Relaxed) < count {
                    let id = one(folder.path(), &mut config)?;
                    ids.lock()
                        .unwrap_or_else(std::sync::PoisonError::into_inner)
                        .push(id);
                }
                anyhow::Ok(())
            })
        });
        let turns: Vec<_> = turns.collect();
        for turn in turns {
            match turn.join() {
                Ok(ended) => ended?,
                Err(_) => bail!("a thread that makes containers has panicked"),
            }
        }
        anyhow::Ok(())
    })?;
    Ok(ids
        .into_inner()
        .unwrap_or_else(std::sync::PoisonError::into_inner))
}

/// One container, with a bundle of its own, as runtimes make them; it stays until the turn is over.
fn one(folder: &Path, config: &mut Value) -> anyhow::Result<String> {
    let id = new_id()?;
    let bundle = folder.join(&id);
    fs::create_dir(&bundle)?;
    config["linux"]["cgroupsPath"] = json!(format!("/docker/{id}"));
    fs::write(bundle.join("config.json"), config.to_string())?;
    let output = runc(folder)
        .args(["run", "--bundle"])
        .arg(&bundle)
        .arg(&id)
        .stdin(Stdio::null())
        .output()
        .context("runc cannot be run")?;
    if !output.status.success() {
        bail!("runc run: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(id)
}
