//! Finds and reads the conformance cases.

use std::path::{Path, PathBuf};

/// The folder of the cases: `$SENSOR_SHARED/conformance`, or `shared` beside the repository, or beside the folder
/// that holds its worktrees.
fn folder() -> Option<PathBuf> {
    if let Some(shared) = std::env::var_os("SENSOR_SHARED") {
        return Some(PathBuf::from(shared).join("conformance"));
    }
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).parent()?;
    repository
        .ancestors()
        .skip(1)
        .take(2)
        .map(|above| above.join("shared/conformance"))
        .find(|at| at.is_dir())
}

/// The cases of one file, or `None` (said on the standard output) where there are none on this machine.
pub(crate) fn read(file: &str) -> Option<serde_json::Value> {
    let Some(path) = folder()
        .map(|folder| folder.join(file))
        .filter(|path| path.is_file())
    else {
        println!("skip: no conformance data ({file})");
        return None;
    };
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    Some(serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display())))
}

/// Prints the figures and fails with every case that went wrong.
pub(crate) fn conclude(name: &str, total: usize, wrong: &[String]) {
    println!("{name}: {} of {total} cases pass", total - wrong.len());
    assert!(
        wrong.is_empty(),
        "{name}: {} of {total} cases fail:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    assert!(total > 0, "{name}: the file has no cases");
}
