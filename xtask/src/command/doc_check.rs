//! `cargo xtask doc-check`: the rules of the house that a machine can check.
//!
//! Documents that are generated from code (fields, configuration keys, metrics) are compared by a test
//! in the crate that generates them, where the generator is.

mod dependencies;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::repo::Repo;
use crate::report::Outcome;

/// More than this in one file is two files.
const FILE_LINES_MAX: usize = 600;

/// Folder depth at which a source tree of ours is certainly a mistake.
const DEPTH_MAX: usize = 16;

/// Check that files are documented and small, and that ARCHITECTURE.md names every part.
///
/// Every Rust file starts with a `//!` comment that says what it is for and has at most 600 lines.
/// ARCHITECTURE.md names each crate and each folder at the top, links lead to files that exist, and
/// docs/dependencies.md explains every direct dependency.
#[derive(Debug, Args)]
pub(super) struct DocCheck {}

impl DocCheck {
    #[expect(clippy::unused_self, reason = "every command runs by the same signature")]
    pub(super) fn run(&self, repo: &Repo) -> Result<()> {
        if let Outcome::Passed(what) = check(repo)? {
            println!("doc-check: {what}");
        }
        Ok(())
    }
}

/// Runs the check.
pub(super) fn check(repo: &Repo) -> Result<Outcome> {
    let root = repo.path("");
    let mut files = Vec::new();
    walk(&root, 0, &mut files)?;
    let mut problems = Vec::new();
    let (mut rust, mut markdown) = (0_u32, 0_u32);
    for file in &files {
        let name = file.strip_prefix(&root).unwrap_or(file).display().to_string();
        match file.extension().and_then(|extension| extension.to_str()) {
            Some("rs") => {
                rust += 1;
                problems
                    .extend(source_problems(file, &read(file)?).map(|problem| format!("{name}: {problem}")));
            }
            Some("md") => {
                markdown += 1;
                let folder = file.parent().unwrap_or(&root);
                let dead = dead_links(&read(file)?, |target| folder.join(target).exists());
                problems.extend(
                    dead.into_iter()
                        .map(|link| format!("{name}: no such file: {link}")),
                );
            }
            _ => {}
        }
    }
    problems.extend(unnamed_parts(&root, &files)?);
    problems.extend(unexplained_dependencies(&root, &files)?);
    if problems.is_empty() {
        return Ok(Outcome::Passed(format!(
            "{rust} Rust files, {markdown} documents"
        )));
    }
    bail!("{} problems:\n  {}", problems.len(), problems.join("\n  "))
}

fn read(file: &Path) -> Result<String> {
    fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))
}

/// All files but cargo's, git's and other hidden ones.
fn walk(folder: &Path, depth: usize, files: &mut Vec<PathBuf>) -> Result<()> {
    if depth > DEPTH_MAX {
        bail!("{} lies {depth} folders deep", folder.display());
    }
    let context = || format!("cannot list {}", folder.display());
    for entry in fs::read_dir(folder).with_context(context)? {
        let entry = entry.with_context(context)?;
        let (path, kind) = (entry.path(), entry.file_type().with_context(context)?);
        let name = entry.file_name();
        if name.to_string_lossy().starts_with('.') || path.join("CACHEDIR.TAG").exists() {
            continue;
        }
        if kind.is_dir() {
            walk(&path, depth + 1, files)?;
        } else if kind.is_file() {
            files.push(path);
        }
    }
    files.sort();
    Ok(())
}

/// What is wrong with one Rust file.
///
/// A module's `tests.rs` needs no comment on what it is for: its name and the module it stands under say so.
fn source_problems(path: &Path, text: &str) -> impl Iterator<Item = String> {
    let lines = text.lines().count();
    let long =
        (lines > FILE_LINES_MAX).then(|| format!("{lines} lines, more than {FILE_LINES_MAX}: split it"));
    let start = text
        .lines()
        .find(|line| !line.trim().is_empty())
        .unwrap_or_default();
    let is_tests = path.file_name().is_some_and(|name| name == "tests.rs");
    let undocumented = (!is_tests && !start.starts_with("//!"))
        .then(|| "does not start with a //! comment on what it is for".to_owned());
    long.into_iter().chain(undocumented)
}

/// Links of a Markdown text to files that do not exist. `exists` tells of a path relative to the text.
fn dead_links(text: &str, exists: impl Fn(&str) -> bool) -> Vec<String> {
    let mut in_code = false;
    let prose = text.lines().filter(|line| {
        let fence = line.trim_start().starts_with("```");
        in_code ^= fence;
        !fence && !in_code
    });
    let links = prose.flat_map(|line| line.split("](").skip(1).filter_map(|rest| rest.split_once(')')));
    links
        .map(|(link, _)| link.split('#').next().unwrap_or_default())
        .filter(|link| !link.is_empty() && !link.contains("://") && !link.starts_with("mailto:"))
        .filter(|link| !exists(link))
        .map(str::to_owned)
        .collect()
}

/// Crates and top folders that ARCHITECTURE.md does not name.
fn unnamed_parts(root: &Path, files: &[PathBuf]) -> Result<Vec<String>> {
    let text = read(&root.join("ARCHITECTURE.md"))?;
    let mut parts = BTreeSet::new();
    for file in files.iter().filter_map(|file| file.strip_prefix(root).ok()) {
        let mut components = file.components();
        let first = components.next();
        if let (Some(folder), Some(_)) = (first, components.next()) {
            parts.insert(folder.as_os_str().to_string_lossy().into_owned());
        }
    }
    let unnamed = parts.into_iter().filter(|part| !names(&text, part));
    Ok(unnamed
        .map(|part| format!("ARCHITECTURE.md: does not name {part}/"))
        .collect())
}

/// Direct dependencies that docs/dependencies.md does not explain.
fn unexplained_dependencies(root: &Path, files: &[PathBuf]) -> Result<Vec<String>> {
    let listed = dependencies::listed_in_document(&read(&root.join("docs/dependencies.md"))?);
    let mut problems = Vec::new();
    for manifest in files
        .iter()
        .filter(|file| file.file_name().is_some_and(|name| name == "Cargo.toml"))
    {
        let folder = manifest.parent().unwrap_or(root);
        if folder == root {
            // What the workspace only offers is not used yet.
            continue;
        }
        let name = manifest.strip_prefix(root).unwrap_or(manifest).display();
        let unlisted = &dependencies::named_in_manifest(&read(manifest)?) - &listed;
        problems.extend(
            unlisted
                .into_iter()
                .map(|dependency| format!("{name}: {dependency} has no line in docs/dependencies.md")),
        );
    }
    Ok(problems)
}

/// Whether a text has this name as a word of its own, and not as a part of a longer one.
fn names(text: &str, part: &str) -> bool {
    let joins = |c: char| c.is_alphanumeric() || c == '-' || c == '_';
    text.match_indices(part).any(|(start, _)| {
        let (before, after) = (&text[..start], &text[start + part.len()..]);
        !before.ends_with(joins) && !after.starts_with(joins)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_are_documented_and_short() {
        let long = format!("//! Long.\n{}", "\n".repeat(FILE_LINES_MAX));
        for (text, problems) in [
            ("//! Good.\nfn a() {}", 0),
            ("\n//! Good.\n", 0),
            ("fn a() {}", 1),
            ("", 1),
            (long.as_str(), 1),
        ] {
            assert_eq!(
                source_problems(Path::new("src/a.rs"), text).count(),
                problems,
                "{text:.20}"
            );
        }
    }

    #[test]
    fn links_outside_code_must_lead_somewhere() {
        let text = "[a](here.md) [b](gone.md#part) [c](https://example.org/x) [d](#below)\n\
                    ```\n[e](in-code.md)\n```\n[f](also-gone.md)";
        assert_eq!(
            dead_links(text, |link| link == "here.md"),
            ["gone.md", "also-gone.md"]
        );
    }

    #[test]
    fn a_part_is_named_by_a_whole_word() {
        for (text, expected) in [
            ("`sensor-rules/` is", true),
            ("`rules/` is", true),
            ("rules", true),
            ("sensor-rules only", false),
            ("rules-old", false),
        ] {
            let part = if text.starts_with("`sensor") {
                "sensor-rules"
            } else {
                "rules"
            };
            assert_eq!(names(text, part), expected, "{text}");
        }
    }
}
