//! Where the programs under test are.

use std::path::{Path, PathBuf};

/// The agent's binary: `SENSOR_BIN`, or what was built last beside this program.
///
/// # Panics
/// When there is none: `cargo xtask test` builds it first.
#[must_use]
pub fn sensor() -> PathBuf {
    if let Some(path) = std::env::var_os("SENSOR_BIN") {
        return path.into();
    }
    let own = std::env::current_exe().unwrap_or_default();
    let found = own
        .ancestors()
        .skip(1)
        .map(|folder| folder.join("sensor"))
        .find(|path| path.is_file());
    found.unwrap_or_else(|| panic!("no sensor binary: set SENSOR_BIN, or run cargo xtask test"))
}

/// The repository's top folder.
#[must_use]
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .map_or_else(PathBuf::new, Path::to_owned)
}

/// A file of the shared data, where there are any: below `$SENSOR_SHARED`, or `shared` beside the repository, or beside
/// what holds its worktrees.
#[must_use]
pub fn shared(file: &str) -> Option<PathBuf> {
    let given = std::env::var_os("SENSOR_SHARED").map(PathBuf::from);
    let repository = repository();
    let above = repository.ancestors().skip(1).take(2);
    given
        .into_iter()
        .chain(above.map(|folder| folder.join("shared")))
        .map(|folder| folder.join(file))
        .find(|path| path.exists())
}

/// A folder beside this program, for what the tests build or share.
pub fn build_folder() -> std::io::Result<PathBuf> {
    let own = std::env::current_exe()?;
    let folder = own.parent().unwrap_or(Path::new(".")).join("e2e");
    std::fs::create_dir_all(&folder)?;
    Ok(folder)
}
