//! What a caller decides about loading: not what rules say, but how they are taken.

use std::collections::BTreeSet;

use super::version::Version;
use crate::engine::RuleMatching;
use crate::field::Catalogue;
use crate::priority::Priority;

/// The version of Falco's engine whose rules load here.
pub const ENGINE_VERSION: Version = Version::new(0, 63, 0);

/// How rule files are loaded. `LoadOptions::default()` is what Falco does without configuration.
#[derive(Clone, Debug)]
pub struct LoadOptions {
    /// The newest engine version that a file may require.
    pub engine_version: Version,
    /// Event sources that exist; rules of others are skipped with a warning.
    pub known_sources: Vec<String>,
    /// The fields that rules may use.
    pub catalogue: Catalogue,
    /// Rules less severe than this are left out.
    pub min_priority: Priority,
    /// Which rules are enabled and disabled, applied in order after all files are read.
    pub selection: Vec<Selection>,
    /// What is added to outputs.
    pub append_output: Vec<AppendOutput>,
    /// Whether one event may match several rules.
    pub rule_matching: RuleMatching,
    /// Plugins that are there, for `required_plugin_versions`.
    pub plugins: Vec<Plugin>,
}

impl Default for LoadOptions {
    fn default() -> Self {
        Self {
            engine_version: ENGINE_VERSION,
            known_sources: vec!["syscall".to_owned()],
            catalogue: Catalogue::new(),
            min_priority: Priority::Debug,
            selection: Vec::new(),
            append_output: Vec::new(),
            rule_matching: RuleMatching::First,
            // Its fields are part of the catalogue, so rules that need it have what they need.
            plugins: vec![Plugin {
                name: "container".to_owned(),
                version: Version::new(0, 99, 0),
            }],
        }
    }
}

/// A plugin of Falco, or what stands in for one here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plugin {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: Version,
}

/// Enables or disables rules: an entry of Falco's `rules:`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selection {
    /// Whether the rules are enabled or disabled.
    pub enable: bool,
    /// Which rules.
    pub target: SelectionTarget,
}

/// Which rules a [`Selection`] is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SelectionTarget {
    /// Rules whose name matches, where `*` stands for any text.
    Rule(String),
    /// Rules that have a tag.
    Tag(String),
}

impl SelectionTarget {
    pub(crate) fn selects(&self, name: &str, tags: &BTreeSet<String>) -> bool {
        match self {
            Self::Rule(pattern) => matches_wildcard(pattern, name),
            Self::Tag(tag) => tags.contains(tag),
        }
    }
}

/// Adds to the outputs of some rules: an entry of Falco's `append_output:`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AppendOutput {
    /// Only rules of this source.
    pub source: Option<String>,
    /// Only rules with all these tags.
    pub tags: BTreeSet<String>,
    /// Only the rule of exactly this name.
    pub rule: Option<String>,
    /// Text appended to the output after a blank.
    pub extra_output: Option<String>,
    /// Fields added beside the output.
    pub extra_fields: Vec<ExtraFieldOption>,
    /// Whether the fields that plugins suggest are appended: container and pod.
    pub suggested_output: bool,
}

/// A field added to `output_fields`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExtraFieldOption {
    /// Its key; without a format, the field itself.
    pub key: String,
    /// An output format whose text is the value.
    pub format: Option<String>,
}

/// Whether `text` matches a pattern in which `*` stands for any text. Linear in `pattern × text` at worst.
fn matches_wildcard(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut p, mut t) = (0, 0);
    // Where to go on after a `*` that took too little.
    let mut retry = None;
    while t < text.len() {
        if pattern.get(p) == Some(&b'*') {
            retry = Some((p + 1, t));
            p += 1;
        } else if pattern.get(p) == Some(&text[t]) {
            (p, t) = (p + 1, t + 1);
        } else if let Some((after, taken)) = retry {
            retry = Some((after, taken + 1));
            (p, t) = (after, taken + 1);
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|&byte| byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards() {
        for (pattern, text, expected) in [
            ("*", "", true),
            ("*", "any rule", true),
            ("test rule", "test rule", true),
            ("test*", "test rule", true),
            ("*rule", "test rule", true),
            ("t*t*e", "test rule", true),
            ("t**e", "test rule", true),
            ("Test*", "test rule", false),
            ("test", "test rule", false),
            ("t?st rule", "test rule", false),
            ("", "", true),
            ("", "x", false),
            ("a*b*c", "aXbXbX", false),
        ] {
            assert_eq!(matches_wildcard(pattern, text), expected, "{pattern} {text}");
        }
    }
}
