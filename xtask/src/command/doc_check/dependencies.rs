//! Every direct dependency has its line in docs/dependencies.md.

use std::collections::BTreeSet;

/// The dependencies that a `Cargo.toml` names, of all kinds, without our own crates.
pub(super) fn named_in_manifest(manifest: &str) -> BTreeSet<String> {
    let mut in_dependencies = false;
    let mut names = BTreeSet::new();
    for line in manifest.lines() {
        if let Some(section) = line.strip_prefix('[') {
            in_dependencies = section.trim_end().trim_end_matches(']').ends_with("dependencies");
            continue;
        }
        let end = line
            .find(|c: char| !c.is_alphanumeric() && c != '-' && c != '_')
            .unwrap_or(line.len());
        let name = &line[..end];
        if in_dependencies && !name.is_empty() && !name.starts_with("sensor-") {
            names.insert(name.to_owned());
        }
    }
    names
}

/// The crates that the document's tables list in their first column, several of them between commas.
pub(super) fn listed_in_document(document: &str) -> BTreeSet<String> {
    let rows = document
        .lines()
        .filter_map(|line| line.strip_prefix("| ")?.split(" | ").next());
    rows.flat_map(|cell| cell.split(", "))
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn manifests_name_dependencies_of_every_kind() {
        let manifest = "[package]\nname = \"x\"\n[dependencies]\n# a comment\nsensor-common.workspace = true\n\
                        anyhow.workspace = true\nobject = { version = \"1\" }\n\n[lints]\nworkspace = true\n\
                        [target.'cfg(unix)'.dependencies]\nserde_json = \"1\"\n[dev-dependencies]\ntempfile.workspace = true\n";
        let expected = ["anyhow", "object", "serde_json", "tempfile"];
        assert_eq!(named_in_manifest(manifest), expected.map(str::to_owned).into());
    }

    #[test]
    fn documents_list_several_in_a_cell() {
        let document =
            "| crate | for |\n| --- | --- |\n| serde, serde_json | x |\n| clap | y |\nno | table |";
        let listed = listed_in_document(document);
        for name in ["serde", "serde_json", "clap"] {
            assert!(listed.contains(name), "{name}");
        }
        assert!(!listed.contains("no"));
    }
}
