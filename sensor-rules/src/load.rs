//! Rule files: from YAML to compiled rules, with every error and warning that Falco has.
//!
//! Start with [`Loader`]: it takes files one after another, as Falco does, and compiles everything collected so
//! far after each, because a file may change what an earlier one defined but not use what a later one defines.
//!
//! The way of a file: `yaml` reads it into nodes, `read` turns items into definitions, `collect` merges them.
//! Then `compile` writes exceptions into conditions (`exception`), lists into the text (`expand`), parses, and
//! puts macros in as trees (`macros`).
//!
//! Invariant: no I/O, and nothing here grows without a bound (`limits`), whatever a file says.

mod collect;
mod compile;
mod context;
mod decode;
mod engine;
mod exception;
mod expand;
mod help;
mod info;
mod item;
mod limits;
mod lint;
mod macros;
mod options;
mod read;
mod result;
mod source;
mod suggest;
mod version;
pub(crate) mod yaml;

use std::collections::HashSet;

use collect::Collector;
use compile::{Compiled, compile};
use context::Context;
use limits::{FILE_BYTES_MAX, FILES_MAX, LOAD_BYTES_MAX};
use read::Reader;
pub(crate) use read::{APPENDABLE, LIST_KEYS, MACRO_KEYS, REPLACEABLE, RULE_KEYS};

pub use context::{ItemType, Location};
pub use info::{ExceptionInfo, ListInfo, Loaded, MacroInfo, RuleInfo};
pub use lint::{LINTS, Lint, LintInfo};
pub use options::{
    AppendOutput, ENGINE_VERSION, ExtraFieldOption, LoadOptions, Plugin, Selection, SelectionTarget,
};
pub use result::{ErrorCode, FileResult, Issue, LoadError, LoadWarning, WarningCode};
pub use source::{FileId, LineColumn, Sources, Span};
pub use version::Version;

/// Loads rule files.
pub struct Loader {
    options: LoadOptions,
    sources: Sources,
    collector: Collector,
    compiled: Option<Compiled>,
    results: Vec<FileResult>,
    /// Bytes of all files.
    bytes: usize,
    /// What was said of earlier files and need not be said again: everything is compiled after each file.
    said: HashSet<(&'static str, Option<Span>, String)>,
}

impl Loader {
    /// A loader that has seen no file.
    #[must_use]
    pub fn new(options: LoadOptions) -> Self {
        let collector = Collector::new(
            options.engine_version,
            options.known_sources.clone(),
            options.catalogue.clone(),
        );
        Self {
            options,
            sources: Sources::default(),
            collector,
            compiled: None,
            results: Vec::new(),
            bytes: 0,
            said: HashSet::new(),
        }
    }

    /// Takes a file, whose name is only used to talk about it. Returns what came of it.
    pub fn add_file(&mut self, name: &str, content: &[u8]) -> &FileResult {
        let mut result = FileResult::new(name);
        self.read(name, content, &mut result);
        self.compiled = compile(&self.collector, &self.options, &mut result);
        let said = &mut self.said;
        result
            .errors
            .retain(|error| said.insert((error.code.as_str(), error.span, error.message.clone())));
        result
            .warnings
            .retain(|warning| said.insert((warning.code.as_str(), warning.span, warning.message.clone())));
        self.results.push(result);
        &self.results[self.results.len() - 1]
    }

    /// Reports a file that the caller could not read, so that it stands among the other results.
    pub fn unreadable_file(&mut self, name: &str, error: &str) -> &FileResult {
        let mut result = FileResult::new(name);
        let file = self.sources.add(name, "");
        result.error(LoadError::new(
            ErrorCode::FileRead,
            error,
            &Context::file(file, name),
        ));
        self.results.push(result);
        &self.results[self.results.len() - 1]
    }

    fn read(&mut self, name: &str, content: &[u8], result: &mut FileResult) {
        let decoded = std::str::from_utf8(content);
        let text = decoded.unwrap_or_default();
        let file = self
            .sources
            .add(name, text.strip_prefix('\u{feff}').unwrap_or(text));
        self.bytes = self.bytes.saturating_add(content.len());
        let refused = if let Err(error) = decoded {
            format!(
                "not UTF-8: byte {} of the file is not part of a character",
                error.valid_up_to()
            )
        } else if content.len() > FILE_BYTES_MAX {
            format!("the file is larger than {FILE_BYTES_MAX} bytes; split it")
        } else if self.bytes > LOAD_BYTES_MAX {
            format!("the files are larger than {LOAD_BYTES_MAX} bytes together")
        } else if self.sources.len() > FILES_MAX {
            format!("more than {FILES_MAX} files")
        } else {
            let source = self.sources.text(file);
            Reader {
                source,
                collector: &mut self.collector,
                result,
            }
            .read(file);
            return;
        };
        let whole_file = Context::file(file, name);
        result.error(LoadError::new(ErrorCode::YamlParse, refused, &whole_file));
    }

    /// Ends the load: applies the selection and compiles the rules for matching, unless there were errors.
    #[must_use]
    pub fn finish(self) -> Loaded {
        info::finish(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_can_be_shared_between_threads() {
        fn shared<T: Send + Sync>(_: &T) {}
        let mut files = Loader::new(LoadOptions::default());
        shared(&files);
        shared(files.add_file("empty.yaml", b""));
        shared(&files.finish());
    }
}
