//! Containers that begin and end one after another, as quickly as runc makes them.

use std::{
    fs,
    path::Path,
    process::Stdio,
    sync::Mutex,
    sync::atomic::{AtomicUsize, Ordering},
};

use anyhow::{Context as _, bail};

use super::{Container, ID, bundle, cgroup, missing, new_id, runc};

/// Stands for a container's id in a bundle that is used again and again.
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
                let config = fs::read_to_string(folder.path().join("config.json"))?;
                while begun.fetch_add(1, Ordering::Relaxed) < count {
                    let id = one(folder.path(), &config)?;
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

fn one(folder: &Path, config: &str) -> anyhow::Result<String> {
    let id = new_id()?;
    fs::write(folder.join("config.json"), config.replace(PLACE, &id))?;
    let output = runc(folder)
        .args(["run", "--bundle"])
        .arg(folder)
        .arg(&id)
        .stdin(Stdio::null())
        .output()
        .context("runc cannot be run")?;
    if !output.status.success() {
        bail!("runc run: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(id)
}
