//! Whether the agent accepts the configurations that deploy/ hands out.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use crate::repo::Repo;
use crate::report::Outcome;
use crate::step;

/// Has the release build check the host's configuration and the one in the DaemonSet's `ConfigMap`.
pub(super) fn check(repo: &Repo) -> Result<Outcome> {
    let manifest = repo.path("deploy/daemonset.yaml");
    let text =
        fs::read_to_string(&manifest).with_context(|| format!("cannot read {}", manifest.display()))?;
    let inner = literal_block(&text, "sensor.yaml")
        .with_context(|| format!("{} has no ConfigMap key sensor.yaml", manifest.display()))?;
    let folder = repo.target("xtask-log");
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let of_daemonset = folder.join("configmap-sensor.yaml");
    fs::write(&of_daemonset, inner).with_context(|| format!("cannot write {}", of_daemonset.display()))?;

    let files: [PathBuf; 2] = [repo.path("deploy/sensor.yaml"), of_daemonset];
    for file in &files {
        let mut check = Command::new(repo.sensor());
        step::loud(
            "sensor config --check",
            check.args(["config", "--check"]).arg(file),
        )?;
    }
    Ok(Outcome::Passed(format!("{} files", files.len())))
}

/// The text of a YAML literal block (`KEY: |`), without its indentation.
fn literal_block(yaml: &str, key: &str) -> Option<String> {
    let start = format!("{key}: |");
    let mut lines = yaml.lines();
    let indent = loop {
        let line = lines.next()?;
        let content = line.trim_start();
        if content == start {
            break line.len() - content.len();
        }
    };
    let deeper = |line: &&str| line.trim().is_empty() || line.len() - line.trim_start().len() > indent;
    let block: Vec<_> = lines.take_while(deeper).collect();
    let first = block.iter().find(|line| !line.trim().is_empty())?;
    let margin = first.len() - first.trim_start().len();
    Some(
        block
            .iter()
            .map(|line| format!("{}\n", line.get(margin..).unwrap_or_default()))
            .collect::<Vec<_>>()
            .concat(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_literal_block_ends_where_the_indentation_does() {
        let yaml = "data:\n  other: x\n  sensor.yaml: |\n    a:\n      b: 1\n\n    c: 2\nkind: Next\n";
        assert_eq!(
            literal_block(yaml, "sensor.yaml").as_deref(),
            Some("a:\n  b: 1\n\nc: 2\n")
        );
        assert_eq!(literal_block(yaml, "none.yaml"), None);
        assert_eq!(literal_block("sensor.yaml: |\n", "sensor.yaml"), None);
    }
}
