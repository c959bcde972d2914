//! The condition as written: a tree whose leaves know their place in the text.
//!
//! The tree is untyped: [`crate::check`] finds out whether fields exist and operators fit. `Display` prints it in
//! Falco's canonical form, which parses to the same tree again.

mod print;

use std::sync::Arc;

use smol_str::SmolStr;

use crate::transform::Transformer;
pub(crate) use print::write_argument;

/// A range of bytes of the text that was parsed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Span {
    /// First byte.
    pub start: usize,
    /// The byte after the last.
    pub end: usize,
}

impl Span {
    /// The span of `start..end`.
    #[must_use]
    pub const fn new(start: usize, end: usize) -> Self {
        Self { start, end }
    }

    /// The smallest span that covers both.
    #[must_use]
    pub fn to(self, other: Self) -> Self {
        Self {
            start: self.start.min(other.start),
            end: self.end.max(other.end),
        }
    }
}

/// A condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expr {
    /// All of them; at least two as parsed.
    And(Vec<Self>),
    /// Any of them; at least two as parsed.
    Or(Vec<Self>),
    /// Not this.
    Not(Box<Self>),
    /// A macro's condition.
    Macro(MacroRef),
    /// One test of one value.
    Check(Box<Check>),
    /// A rule's exception, which the loader marks: it does not hold where a value that it reads is incomplete, unless it
    /// says so.
    Exception(Exception),
}

/// A reference to a macro.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MacroRef {
    /// Its name.
    pub name: SmolStr,
    /// Where it is used.
    pub span: Span,
    /// Its condition, once the loader has resolved it. It is shared by all who use the macro; its spans lie in the
    /// macro's own text.
    pub body: Option<Arc<Expr>>,
}

/// An exception of a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exception {
    /// Its name.
    pub name: SmolStr,
    /// When it holds.
    pub body: Box<Expr>,
    /// It says that it applies to incomplete values too.
    pub allows_incomplete: bool,
}

/// One test: `proc.name = cat`, `fd.name exists`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// What is tested.
    pub left: Operand,
    /// How.
    pub op: Op,
    /// `oneof`, `anyof` or `allof` between the operator and its list.
    pub modifier: Option<Modifier>,
    /// Against what.
    pub right: Right,
    /// The whole test.
    pub span: Span,
    /// The operator alone.
    pub op_span: Span,
}

/// A value that the event has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operand {
    /// A field.
    Field(FieldName),
    /// A transformer over other values.
    Call(Call),
}

/// A field as written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldName {
    /// Its dotted name, without the bracket.
    pub name: SmolStr,
    /// What the bracket holds.
    pub argument: Option<SmolStr>,
    /// Where it stands.
    pub span: Span,
}

/// A transformer with its arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// Which.
    pub transformer: Transformer,
    /// What it is given.
    pub args: Vec<CallArg>,
    /// What the bracket after it holds: `getopt(…)[t]`.
    pub index: Option<SmolStr>,
    /// Where it stands.
    pub span: Span,
}

/// Argument of a transformer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallArg {
    /// A field or another transformer.
    Operand(Operand),
    /// Quoted text.
    Text(Literal),
    /// A number, as written.
    Number(Literal),
    /// A list of the others.
    List(Vec<Self>, Span),
}

/// What stands right of an operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Right {
    /// Nothing (`exists`).
    Nothing,
    /// A constant.
    Value(Literal),
    /// A list of constants.
    List(Vec<Literal>),
    /// `val(field)` or a transformer.
    Operand(Operand),
}

/// A constant, not yet converted to the field's type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Literal {
    /// Its bytes, with escapes resolved.
    pub bytes: Vec<u8>,
    /// Where it stands.
    pub span: Span,
}

/// Operators.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(
    missing_docs,
    reason = "each is named after its keyword; `keyword` lists them"
)]
pub enum Op {
    Exists,
    Eq,
    /// `==`, which means the same as `=`.
    EqEq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
    Contains,
    IContains,
    BContains,
    StartsWith,
    BStartsWith,
    EndsWith,
    Glob,
    IGlob,
    Regex,
    In,
    Intersects,
    Pmatch,
}

impl Op {
    /// All operators.
    pub const ALL: [Self; 20] = [
        Self::Exists,
        Self::Eq,
        Self::EqEq,
        Self::Ne,
        Self::Lt,
        Self::Le,
        Self::Gt,
        Self::Ge,
        Self::Contains,
        Self::IContains,
        Self::BContains,
        Self::StartsWith,
        Self::BStartsWith,
        Self::EndsWith,
        Self::Glob,
        Self::IGlob,
        Self::Regex,
        Self::In,
        Self::Intersects,
        Self::Pmatch,
    ];

    /// How it is written.
    #[must_use]
    pub const fn keyword(self) -> &'static str {
        match self {
            Self::Exists => "exists",
            Self::Eq => "=",
            Self::EqEq => "==",
            Self::Ne => "!=",
            Self::Lt => "<",
            Self::Le => "<=",
            Self::Gt => ">",
            Self::Ge => ">=",
            Self::Contains => "contains",
            Self::IContains => "icontains",
            Self::BContains => "bcontains",
            Self::StartsWith => "startswith",
            Self::BStartsWith => "bstartswith",
            Self::EndsWith => "endswith",
            Self::Glob => "glob",
            Self::IGlob => "iglob",
            Self::Regex => "regex",
            Self::In => "in",
            Self::Intersects => "intersects",
            Self::Pmatch => "pmatch",
        }
    }

    /// Whether its right side is a list.
    #[must_use]
    pub const fn takes_list(self) -> bool {
        matches!(self, Self::In | Self::Intersects | Self::Pmatch)
    }

    /// Whether its right side is a number.
    #[must_use]
    pub const fn is_order(self) -> bool {
        matches!(self, Self::Lt | Self::Le | Self::Gt | Self::Ge)
    }

    /// Whether its right side is text, so that a modifier may follow it.
    #[must_use]
    pub const fn takes_text(self) -> bool {
        !self.takes_list() && !self.is_order() && !matches!(self, Self::Exists)
    }
}

/// How many elements of the list must match.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Modifier {
    /// Exactly one.
    OneOf,
    /// At least one.
    AnyOf,
    /// All, of at least one.
    AllOf,
}

impl Modifier {
    /// All modifiers.
    pub const ALL: [Self; 3] = [Self::OneOf, Self::AnyOf, Self::AllOf];

    /// How it is written.
    #[must_use]
    pub const fn keyword(self) -> &'static str {
        match self {
            Self::OneOf => "oneof",
            Self::AnyOf => "anyof",
            Self::AllOf => "allof",
        }
    }
}

impl Operand {
    /// Where it stands.
    #[must_use]
    pub const fn span(&self) -> Span {
        match self {
            Self::Field(field) => field.span,
            Self::Call(call) => call.span,
        }
    }
}

impl Expr {
    /// The part of the text that the expression covers. A macro's body does not count, it lies elsewhere.
    #[must_use]
    pub fn span(&self) -> Span {
        match self {
            Self::And(children) | Self::Or(children) => children
                .iter()
                .map(Self::span)
                .reduce(Span::to)
                .unwrap_or_default(),
            Self::Not(child) => child.span(),
            Self::Macro(reference) => reference.span,
            Self::Check(check) => check.span,
            Self::Exception(exception) => exception.body.span(),
        }
    }

    /// Calls `visit` for every macro reference of the expression itself, not of macros' bodies.
    pub fn for_each_macro(&mut self, visit: &mut impl FnMut(&mut MacroRef)) {
        match self {
            Self::And(children) | Self::Or(children) => {
                for child in children {
                    child.for_each_macro(visit);
                }
            }
            Self::Not(child) => child.for_each_macro(visit),
            Self::Macro(reference) => visit(reference),
            Self::Exception(exception) => exception.body.for_each_macro(visit),
            Self::Check(_) => {}
        }
    }
}
