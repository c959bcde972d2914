//! What came of loading a file: Falco's error and warning codes, with our places.

use std::sync::Arc;

use super::context::{Context, Location};
use super::limits::{ERRORS_MAX, WARNINGS_MAX};
use super::source::Span;

/// Why a file did not load. The names and descriptions are Falco's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ErrorCode {
    /// The file could not be read.
    FileRead,
    /// The file is not YAML.
    YamlParse,
    /// The YAML has not the shape of a rule file.
    YamlValidate,
    /// A condition does not compile.
    CompileCondition,
    /// An output does not compile.
    CompileOutput,
    /// An item is wrong in itself or against others.
    Validate,
    /// Reserved for extensions of the engine.
    Extension,
}

/// What loaded, but may not do what was meant. The names and descriptions are Falco's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum WarningCode {
    /// A rule's source has no plugin; the rule is skipped.
    UnknownSource,
    /// A plugin's field is compared with `<NA>`.
    UnsafeNaCheck,
    /// A rule looks at more than a hundred event types.
    NoEvttype,
    /// A rule with `skip-if-unknown-filter` was skipped.
    UnknownFilter,
    /// Nothing uses a macro.
    UnusedMacro,
    /// Nothing uses a list.
    UnusedList,
    /// An item is of no known kind.
    UnknownItem,
    /// Something is deprecated.
    DeprecatedItem,
    /// Reserved for extensions of the engine.
    Extension,
    /// An exception is appended without values.
    AppendNoValues,
    /// Two exceptions of a rule have the same name.
    ExceptionNameNotUnique,
    /// A macro's name can not be used in a condition.
    InvalidMacroName,
    /// A list's name can not be used in a condition.
    InvalidListName,
    /// A condition compiles, but a value in it looks like a mistake.
    CompileCondition,
    /// A key is not one of its item's.
    UnknownKey,
}

impl ErrorCode {
    /// Falco's name of the code: `LOAD_ERR_VALIDATE`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::FileRead => "LOAD_ERR_FILE_READ",
            Self::YamlParse => "LOAD_ERR_YAML_PARSE",
            Self::YamlValidate => "LOAD_ERR_YAML_VALIDATE",
            Self::CompileCondition => "LOAD_ERR_COMPILE_CONDITION",
            Self::CompileOutput => "LOAD_ERR_COMPILE_OUTPUT",
            Self::Validate => "LOAD_ERR_VALIDATE",
            Self::Extension => "LOAD_ERR_EXTENSION",
        }
    }

    /// Falco's description of the code, `codedesc` in JSON.
    #[must_use]
    pub fn description(self) -> &'static str {
        match self {
            Self::FileRead => "File read error",
            Self::YamlParse => "YAML parse error",
            Self::YamlValidate => "Error validating internal structure of YAML file",
            Self::CompileCondition => "Error compiling condition",
            Self::CompileOutput => "Error compiling output",
            Self::Validate => "Error validating rule/macro/list/exception objects",
            Self::Extension => "Error in extension item",
        }
    }
}

impl WarningCode {
    /// Falco's name of the code: `LOAD_NO_EVTTYPE`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::UnknownSource => "LOAD_UNKNOWN_SOURCE",
            Self::UnsafeNaCheck => "LOAD_UNSAFE_NA_CHECK",
            Self::NoEvttype => "LOAD_NO_EVTTYPE",
            Self::UnknownFilter => "LOAD_UNKNOWN_FILTER",
            Self::UnusedMacro => "LOAD_UNUSED_MACRO",
            Self::UnusedList => "LOAD_UNUSED_LIST",
            Self::UnknownItem => "LOAD_UNKNOWN_ITEM",
            Self::DeprecatedItem => "LOAD_DEPRECATED_ITEM",
            Self::Extension => "LOAD_WARNING_EXTENSION",
            Self::AppendNoValues => "LOAD_APPEND_NO_VALUES",
            Self::ExceptionNameNotUnique => "LOAD_EXCEPTION_NAME_NOT_UNIQUE",
            Self::InvalidMacroName => "LOAD_INVALID_MACRO_NAME",
            Self::InvalidListName => "LOAD_INVALID_LIST_NAME",
            Self::CompileCondition => "LOAD_COMPILE_CONDITION",
            Self::UnknownKey => "LOAD_UNKNOWN_KEY",
        }
    }

    /// Falco's description of the code, `codedesc` in JSON.
    #[must_use]
    pub fn description(self) -> &'static str {
        match self {
            Self::UnknownSource => "Unknown event source",
            Self::UnsafeNaCheck => "Unsafe <NA> comparison in condition",
            Self::NoEvttype => "Condition has no event-type restriction",
            Self::UnknownFilter => "Unknown field or event-type in condition or output",
            Self::UnusedMacro => "Unused macro",
            Self::UnusedList => "Unused list",
            Self::UnknownItem => "Unknown rules file item",
            Self::DeprecatedItem => "Used deprecated item",
            Self::Extension => "Warning in extension item",
            Self::AppendNoValues => "Overriding/appending with no values",
            Self::ExceptionNameNotUnique => "Multiple exceptions defined with the same name",
            Self::InvalidMacroName => "Invalid macro name",
            Self::InvalidListName => "Invalid list name",
            Self::CompileCondition => "Warning in rule condition",
            Self::UnknownKey => "Unknown key in item definition",
        }
    }
}

/// Something said about a place in a rule file.
#[derive(Clone, Debug, PartialEq)]
pub struct Issue<C> {
    /// Falco's code.
    pub code: C,
    /// What is wrong; where Falco has a message for it, that message.
    pub message: String,
    /// The items that hold the place, the file first, as Falco's `context.locations`.
    pub locations: Arc<[Location]>,
    /// The exact place. None where the file as a whole is meant.
    pub span: Option<Span>,
    /// What was expected there, or the nearest name; a sentence.
    pub help: Option<String>,
}

/// An error of a rule file.
pub type LoadError = Issue<ErrorCode>;
/// A warning of a rule file.
pub type LoadWarning = Issue<WarningCode>;

impl<C> Issue<C> {
    /// Something about the place a context stands for.
    pub(crate) fn new(code: C, message: impl Into<String>, context: &Context) -> Self {
        Self {
            code,
            message: message.into(),
            span: context.span(),
            locations: context.locations(),
            help: None,
        }
    }

    /// Points at an exact place inside the context.
    #[must_use]
    pub(crate) fn at(mut self, span: Option<Span>) -> Self {
        self.span = span.or(self.span);
        self
    }

    #[must_use]
    pub(crate) fn with_help(mut self, help: Option<String>) -> Self {
        self.help = help.or(self.help);
        self
    }
}

/// What came of one file.
#[derive(Clone, Debug)]
pub struct FileResult {
    /// The name the caller gave the file.
    pub name: String,
    /// Every error, in the order of Falco's steps: the first is the one that Falco would stop at.
    pub errors: Vec<LoadError>,
    /// Falco's warnings. One that an earlier file of the load already had is not repeated.
    pub warnings: Vec<LoadWarning>,
}

impl FileResult {
    pub(crate) fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            errors: Vec::new(),
            warnings: Vec::new(),
        }
    }

    /// Whether the file, and all before it, can be used.
    #[must_use]
    pub fn is_ok(&self) -> bool {
        self.errors.is_empty()
    }

    pub(crate) fn error(&mut self, error: LoadError) {
        if self.errors.len() < ERRORS_MAX && !self.errors.contains(&error) {
            self.errors.push(error);
        }
    }

    pub(crate) fn warn(&mut self, warning: LoadWarning) {
        if self.warnings.len() < WARNINGS_MAX {
            self.warnings.push(warning);
        }
    }
}
