//! What is wrong, or doubtful, with a condition: the place, what was expected and the way out.

use smol_str::SmolStr;

use crate::ast::Span;

/// A condition that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ConditionError {
    /// Where, in the text of the condition, or of the macro if `in_macro` names one.
    pub span: Span,
    /// What kind of fault it is.
    pub kind: ErrorKind,
    /// What could have stood there instead, where that is known.
    pub expected: Option<String>,
    /// The whole sentence for the user.
    pub message: String,
    /// The macro in whose text `span` lies.
    pub in_macro: Option<SmolStr>,
}

/// Kind of a [`ConditionError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The grammar does not allow it.
    Syntax,
    /// Nested too deeply.
    Depth,
    /// No such field.
    UnknownField,
    /// No such event.
    UnknownEventType,
    /// The field exists, but not with this argument.
    Argument,
    /// The field or transformer may not stand here.
    Misplaced,
    /// The operator does not fit the type.
    Operator,
    /// The constant does not fit the type.
    Constant,
    /// A transformer does not fit what it is given.
    Transformer,
    /// No such macro.
    UndefinedMacro,
}

impl ConditionError {
    pub(crate) fn new(kind: ErrorKind, span: Span, message: impl Into<String>) -> Self {
        Self {
            span,
            kind,
            expected: None,
            message: message.into(),
            in_macro: None,
        }
    }

    pub(crate) fn expecting(span: Span, expected: impl Into<String>) -> Self {
        let expected = expected.into();
        let message = format!("expected {expected}");
        Self {
            span,
            kind: ErrorKind::Syntax,
            expected: Some(expected),
            message,
            in_macro: None,
        }
    }

    /// Whether `skip-if-unknown-filter` excuses it: the condition names what this version does not know.
    #[must_use]
    pub const fn is_unknown_filter(&self) -> bool {
        matches!(self.kind, ErrorKind::UnknownField | ErrorKind::UnknownEventType)
    }
}

/// A condition that can be used, but probably does not mean what it says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConditionWarning {
    /// Where, in the text of the condition, or of the macro if `in_macro` names one.
    pub span: Span,
    /// What kind of doubt it is.
    pub kind: WarningKind,
    /// The whole sentence for the user.
    pub message: String,
    /// The macro in whose text `span` lies.
    pub in_macro: Option<SmolStr>,
}

/// Kind of a [`ConditionWarning`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum WarningKind {
    /// `proc.name = proc.pname` compares with the text `proc.pname` (`LOAD_COMPILE_CONDITION`).
    LooksLikeField,
    /// The same for a transformer in quotes (`LOAD_COMPILE_CONDITION`).
    LooksLikeTransformer,
    /// A simpler operator says the same as the regular expression (`LOAD_COMPILE_CONDITION`).
    SimpleRegex,
    /// A `ka.*` or `jevt.*` field is compared with `<NA>` (`LOAD_UNSAFE_NA_CHECK`).
    UnsafeNaCheck,
    /// A deprecated field (`LOAD_DEPRECATED_ITEM`); reported once for each field.
    DeprecatedField(&'static str),
}
