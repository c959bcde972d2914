//! Rule files from the disk to a compiled set.

use std::{
    fmt::Write as _,
    io::Read as _,
    path::{Path, PathBuf},
};

use sensor_rules::{
    diagnostic::{self, Severity, Style},
    engine::{RuleMatching, RuleSet, RuleSetBuilder},
    field::Catalogue,
    load::{
        AppendOutput, ExtraFieldOption, LoadOptions, Loaded, Loader, RuleInfo, Selection, SelectionTarget,
    },
    priority::Priority,
};

use crate::config::{AppendOutputConfig, ExtraFieldConfig, Matching, RuleSelector, RulesConfig};
use crate::enforce::{self, DenyRule, EnforceError};

/// Longest rule file that is read; the loader has the same bound and says so.
const FILE_BYTES_MAX: u64 = 16 << 20;
/// Files that are read from one folder and those below it, as many as the loader takes.
const FILES_MAX: usize = 256;
/// Rules are compiled after each file, as Falco does, so what only a later file uses is called unused.
/// `sensor rules check` judges after all files.
pub(crate) const SAID_TOO_EARLY: [&str; 2] = ["LOAD_UNUSED_MACRO", "LOAD_UNUSED_LIST"];
/// Folders within folders.
const DEPTH_MAX: usize = 16;

/// Why there is no rule set.
#[derive(Debug, thiserror::Error)]
pub enum RulesError {
    /// Nothing to load.
    #[error(
        "no rule file in {0}: name files or folders with --rules, or with rules.files in the configuration"
    )]
    NoFiles(String),
    /// A folder cannot be listed.
    #[error("cannot list the rule folder {path}: {source}")]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Too many files, or folders too deep.
    #[error(
        "more than {FILES_MAX} rule files, or folders deeper than {DEPTH_MAX}, below {0}: is it the right folder?"
    )]
    TooMany(PathBuf),
    /// A rule's action cannot be had.
    #[error(transparent)]
    Enforce(#[from] EnforceError),
    /// The files have errors, shown with their places.
    #[error("{0}")]
    Invalid(String),
}

/// Rules that were loaded, and what was said about them.
pub struct Rules {
    /// The enabled rules, compiled.
    pub set: RuleSet,
    /// Every file, in order.
    pub files: Vec<PathBuf>,
    /// Rules that are defined, enabled or not.
    pub defined: usize,
    /// Warnings, shown with their places.
    pub warnings: Vec<String>,
    /// The enabled rules that deny.
    pub deny: Vec<DenyRule>,
}

impl Rules {
    /// No rules at all.
    #[must_use]
    pub fn none() -> Self {
        Self {
            set: RuleSetBuilder::new(Catalogue::new(), RuleMatching::All).build(),
            files: Vec::new(),
            defined: 0,
            warnings: Vec::new(),
            deny: Vec::new(),
        }
    }
}

/// Reads the configured files and compiles their rules.
pub fn load(config: &RulesConfig, style: Style) -> Result<Rules, RulesError> {
    let files = files(&config.files)?;
    let mut loaded = read(&files, options(config));
    let shown = |wanted: fn(Severity) -> bool| {
        diagnostic::diagnostics(&loaded)
            .into_iter()
            .filter(|found| wanted(found.severity) && !SAID_TOO_EARLY.contains(&found.code))
            .map(|found| diagnostic::render(&found, &loaded.sources, style))
            .collect::<Vec<_>>()
    };
    let mut errors = shown(|severity| severity == Severity::Error);
    errors.extend(
        loaded
            .unmet_plugins
            .iter()
            .map(|plugin| format!("error: the rules need the plugin {plugin}")),
    );
    let warnings = shown(|severity| severity == Severity::Warning);
    match loaded.rule_set.take() {
        Some(set) if errors.is_empty() => Ok(Rules {
            set,
            files,
            defined: loaded.rules.len(),
            warnings,
            deny: deny(&loaded.rules)?,
        }),
        _ => {
            let mut text = errors.join("\n");
            let count = errors.len();
            let _ = write!(
                text,
                "\nerror: {count} error{} in the rules",
                if count == 1 { "" } else { "s" }
            );
            Err(RulesError::Invalid(text))
        }
    }
}

/// Prepares the rules that deny.
fn deny(rules: &[RuleInfo]) -> Result<Vec<DenyRule>, EnforceError> {
    let mut found: Vec<DenyRule> = Vec::new();
    let wanted = rules
        .iter()
        .filter(|rule| !rule.action.is_empty() && rule.id.is_some());
    for rule in wanted {
        let Some(condition) = &rule.compiled_condition else {
            continue;
        };
        let tests = found.iter().map(|rule| rule.tests.len()).sum();
        found.push(enforce::prepare(
            &rule.name,
            &rule.action,
            condition,
            found.len(),
            tests,
        )?);
    }
    Ok(found)
}

/// Loads files; one that cannot be read is an error among the others.
#[must_use]
pub fn read(files: &[PathBuf], options: LoadOptions) -> Loaded {
    let mut loader = Loader::new(options);
    for path in files {
        let name = path.display().to_string();
        match read_file(path) {
            Ok(bytes) => loader.add_file(&name, &bytes),
            Err(error) => loader.unreadable_file(&name, &error.to_string()),
        };
    }
    loader.finish()
}

/// Reads a file, but no more of it than a rule file may have.
pub(crate) fn read_file(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    std::fs::File::open(path)?
        .take(FILE_BYTES_MAX + 1)
        .read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// How the configuration wants rules to be taken.
#[must_use]
pub fn options(config: &RulesConfig) -> LoadOptions {
    let selection = |enable: bool, selectors: &[RuleSelector]| {
        selectors
            .iter()
            .flat_map(|selector| {
                let rule = selector.rule.clone().map(SelectionTarget::Rule);
                let tag = selector.tag.clone().map(SelectionTarget::Tag);
                rule.into_iter().chain(tag)
            })
            .map(|target| Selection { enable, target })
            .collect::<Vec<_>>()
    };
    let mut all = selection(false, &config.disable);
    all.extend(selection(true, &config.enable));
    LoadOptions {
        min_priority: priority(config.priority),
        selection: all,
        rule_matching: match config.matching {
            Matching::First => RuleMatching::First,
            Matching::All => RuleMatching::All,
        },
        append_output: config.append_output.iter().map(append_output).collect(),
        ..LoadOptions::default()
    }
}

fn append_output(config: &AppendOutputConfig) -> AppendOutput {
    AppendOutput {
        source: config.rules.source.clone(),
        tags: config.rules.tags.iter().cloned().collect(),
        rule: config.rules.rule.clone(),
        extra_output: Some(config.extra_output.clone()).filter(|text| !text.is_empty()),
        extra_fields: config.extra_fields.iter().flat_map(extra_fields).collect(),
        suggested_output: config.suggested_output,
    }
}

fn extra_fields(config: &ExtraFieldConfig) -> Vec<ExtraFieldOption> {
    let option = |key: &String, format| ExtraFieldOption {
        key: key.clone(),
        format,
    };
    match config {
        ExtraFieldConfig::Field(name) => vec![option(name, None)],
        ExtraFieldConfig::Formats(formats) => formats
            .iter()
            .map(|(name, format)| option(name, Some(format.clone())))
            .collect(),
    }
}

fn priority(priority: sensor_proto::v1::Priority) -> Priority {
    use sensor_proto::v1::Priority as Wire;

    match priority {
        Wire::Emergency => Priority::Emergency,
        Wire::Alert => Priority::Alert,
        Wire::Critical => Priority::Critical,
        Wire::Error => Priority::Error,
        Wire::Warning => Priority::Warning,
        Wire::Notice => Priority::Notice,
        Wire::Informational => Priority::Informational,
        Wire::Unspecified | Wire::Debug => Priority::Debug,
    }
}

/// The files that paths stand for: a folder's rule files in the order of their names, its own before
/// those of folders within it.
pub fn files(paths: &[PathBuf]) -> Result<Vec<PathBuf>, RulesError> {
    let mut found = Vec::new();
    for path in paths {
        if path.is_dir() {
            list(path, path, is_rule_file, 0, &mut found)?;
        } else {
            found.push(path.clone());
        }
    }
    if found.is_empty() {
        let names: Vec<_> = paths.iter().map(|path| path.display().to_string()).collect();
        return Err(RulesError::NoFiles(names.join(", ")));
    }
    Ok(found)
}

/// The test files (`NAME.test.yaml`) that stand beside the rule files which paths stand for.
pub(crate) fn test_files(paths: &[PathBuf]) -> Result<Vec<PathBuf>, RulesError> {
    let mut found = Vec::new();
    for path in paths {
        if path.is_dir() {
            list(path, path, is_test_file, 0, &mut found)?;
        } else if is_test_file(path) {
            found.push(path.clone());
        } else {
            let beside = path.with_extension("test.yaml");
            found.extend(beside.is_file().then_some(beside));
        }
    }
    Ok(found)
}

fn list(
    top: &Path,
    folder: &Path,
    is_wanted: fn(&Path) -> bool,
    depth: usize,
    found: &mut Vec<PathBuf>,
) -> Result<(), RulesError> {
    let fault = |source| RulesError::Folder {
        path: folder.to_owned(),
        source,
    };
    let mut entries = std::fs::read_dir(folder)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(fault)?
        .into_iter()
        .map(|entry| entry.path())
        .collect::<Vec<_>>();
    entries.sort();
    let (folders, files): (Vec<_>, Vec<_>) = entries.into_iter().partition(|path| path.is_dir());
    found.extend(files.into_iter().filter(|path| is_wanted(path)));
    if found.len() > FILES_MAX || depth > DEPTH_MAX {
        return Err(RulesError::TooMany(top.to_owned()));
    }
    for folder in folders.iter().filter(|folder| !is_hidden(folder)) {
        list(top, folder, is_wanted, depth + 1, found)?;
    }
    Ok(())
}

/// Names that begin with a dot are left out: a Kubernetes `ConfigMap` keeps its former content in such
/// folders.
fn is_hidden(path: &Path) -> bool {
    path.file_name()
        .is_some_and(|name| name.as_encoded_bytes().starts_with(b"."))
}

/// `.yaml` and `.yml`, but not the tests beside them.
fn is_rule_file(path: &Path) -> bool {
    is_yaml(path) && !is_test(path)
}

/// `.test.yaml` and `.test.yml`.
fn is_test_file(path: &Path) -> bool {
    is_yaml(path) && is_test(path)
}

fn is_yaml(path: &Path) -> bool {
    let is_yaml = path
        .extension()
        .is_some_and(|extension| extension == "yaml" || extension == "yml");
    is_yaml && !is_hidden(path)
}

fn is_test(path: &Path) -> bool {
    path.file_stem()
        .is_some_and(|stem| stem.as_encoded_bytes().ends_with(b".test"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_stands_for_its_rule_files_in_order() {
        let folder = tempfile::tempdir().unwrap();
        for name in [
            "b.yaml",
            "a.yml",
            "a.test.yaml",
            "notes.md",
            "z/c.yaml",
            ".hidden/d.yaml",
            ".e.yaml",
        ] {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        let found = files(&[folder.path().to_owned()]).unwrap();
        let names: Vec<_> = found
            .iter()
            .map(|path| path.strip_prefix(folder.path()).unwrap().display().to_string())
            .collect();
        assert_eq!(names, ["a.yml", "b.yaml", "z/c.yaml"]);
        let tests = test_files(&[folder.path().to_owned()]).unwrap();
        assert_eq!(tests, [folder.path().join("a.test.yaml")]);
        let tests = test_files(&[folder.path().join("a.yml"), folder.path().join("b.yaml")]).unwrap();
        assert_eq!(tests, [folder.path().join("a.test.yaml")]);
    }

    #[test]
    fn outputs_are_added_to_as_the_configuration_says() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("r.yaml");
        let rule = |name: &str, tags: &str| {
            format!(
                "- rule: {name}\n  desc: d\n  condition: evt.type = open\n  output: o\n  priority: INFO\n  tags: [{tags}]\n"
            )
        };
        std::fs::write(&file, rule("a", "x, y") + &rule("b", "x")).unwrap();
        let text = format!(
            "rules:\n  files: [{}]\n  append_output:\n    - match: {{tags: [x, y]}}\n      extra_output: uid=%user.uid\n      \
             extra_fields: [proc.pid, {{who: 'by %user.uid'}}]\n    \
             - match: {{rule: b}}\n      suggested_output: true\n",
            file.display()
        );
        let config = crate::config::parse("sensor.yaml", &text, &[]).unwrap().rules;
        let loaded = load(&config, Style::Plain).unwrap_or_else(|error| panic!("{error}"));
        let keys = |at: usize| {
            let output = &loaded.set.rules()[at].output;
            output
                .fields()
                .iter()
                .map(|field| field.key.clone())
                .collect::<Vec<_>>()
        };
        assert_eq!(keys(0), ["user.uid"]);
        let extra = |at: usize| {
            let fields = loaded.set.rules()[at].extra_fields.iter();
            fields
                .map(|field| (field.key.clone(), field.is_field))
                .collect::<Vec<_>>()
        };
        assert_eq!(
            extra(0),
            [("proc.pid".to_owned(), true), ("who".to_owned(), false)]
        );
        assert!(extra(1).is_empty());
        let wrong = text.replace("by %user.uid", "by %no.extra");
        let config = crate::config::parse("sensor.yaml", &wrong, &[]).unwrap().rules;
        let error = load(&config, Style::Plain).err().unwrap().to_string();
        assert!(error.contains("no.extra") && error.contains("`who`"), "{error}");
        assert!(keys(1).contains(&"k8s.pod.name".to_owned()), "{:?}", keys(1));
        let wrong = text.replace("%user.uid", "%no.such");
        let config = crate::config::parse("sensor.yaml", &wrong, &[]).unwrap().rules;
        let error = load(&config, Style::Plain).err().unwrap().to_string();
        assert!(error.contains("no.such"), "{error}");
        assert!(crate::config::parse("sensor.yaml", &text.replace("tags", "tgas"), &[]).is_err());
    }

    #[test]
    fn an_empty_folder_is_an_error_and_a_file_that_is_not_there_is_named() {
        let folder = tempfile::tempdir().unwrap();
        assert!(matches!(
            files(&[folder.path().to_owned()]),
            Err(RulesError::NoFiles(_))
        ));
        let missing = folder.path().join("missing.yaml");
        let config = RulesConfig {
            files: vec![missing.clone()],
            ..RulesConfig::default()
        };
        let error = load(&config, Style::Plain).err().unwrap().to_string();
        assert!(error.contains(&missing.display().to_string()), "{error}");
    }
}
