//! Builds the tests' helper programs into a folder: `build-helpers FOLDER`.

use std::path::Path;

use anyhow::Context as _;

fn main() -> anyhow::Result<()> {
    let folder = std::env::args_os()
        .nth(1)
        .context("usage: build-helpers FOLDER")?;
    sensor_tests::helper::build_all(Path::new(&folder))
}
