//! The rule files of this tree.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

/// Lists the rule files of a folder and its topic folders, in the order of their paths.
///
/// Tests stay out: what lies in a folder `tests` or ends in `.test.yaml`.
pub(crate) fn files(rules: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for path in entries(rules)? {
        let topic = path.is_dir() && path.file_name().is_some_and(|name| name != "tests");
        files.extend(if topic { entries(&path)? } else { vec![path] });
    }
    files.retain(|path| is_rule_file(path));
    if files.is_empty() {
        bail!("no rule file in {}", rules.display());
    }
    files.sort();
    Ok(files)
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let context = || format!("cannot list {}", folder.display());
    let entries = fs::read_dir(folder).with_context(context)?;
    entries
        .map(|entry| entry.map(|entry| entry.path()).with_context(context))
        .collect()
}

fn is_rule_file(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.is_file() && name.ends_with(".yaml") && !name.ends_with(".test.yaml")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_beside_rules_are_no_rules() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let expected = ["all.yaml", "exec/b.yaml", "file/a.yaml"];
        for name in expected
            .iter()
            .chain(&["exec/b.test.yaml", "exec/README.md", "tests/c.yaml"])
        {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().context("a path without a folder")?)?;
            fs::write(path, "[]")?;
        }
        let found = files(folder.path())?;
        let found: Vec<_> = found
            .iter()
            .filter_map(|path| path.strip_prefix(&folder).ok())
            .collect();
        assert_eq!(found, expected.map(Path::new));
        Ok(())
    }

    #[test]
    fn no_rules_is_an_error() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let error = files(folder.path()).expect_err("a folder without rules");
        assert_eq!(
            error.to_string(),
            format!("no rule file in {}", folder.path().display())
        );
        Ok(())
    }
}
