//! Parses conditions.
//!
//! Recursive descent over [`Cursor`], function by function as in Falco, because its grammar is defined by what its
//! parser does: a keyword is a prefix of the text, blanks matter in some places, and the depth of nesting is counted
//! per function.

mod check;

use crate::ast::{Expr, MacroRef, Span};
use crate::error::{ConditionError, ErrorKind};
use crate::lex::Cursor;
use crate::limits::{CONDITION_DEPTH_MAX, FILTER_DEPTH_MAX};

/// How a condition is parsed.
#[derive(Clone, Copy, Debug)]
pub struct ParseOptions {
    /// Depth of nesting at which parsing gives up.
    pub max_depth: usize,
}

impl ParseOptions {
    /// For the condition of a rule or macro.
    pub const RULE: Self = Self { max_depth: CONDITION_DEPTH_MAX };
}

impl Default for ParseOptions {
    /// For a condition that stands alone.
    fn default() -> Self {
        Self { max_depth: FILTER_DEPTH_MAX }
    }
}

/// Parses one condition.
///
/// # Errors
/// The first place that the grammar does not allow.
pub fn parse_condition(text: &str, options: &ParseOptions) -> Result<Expr, ConditionError> {
    let mut parser = Parser::new(text, options);
    if text.is_empty() {
        return Err(ConditionError::expecting(Span::default(), "a condition, not an empty text"));
    }
    let expr = parser.or()?;
    if parser.cursor.at_end() {
        return Ok(expr);
    }
    let message =
        format!("unexpected token after '{}', expecting 'or', 'and'", parser.cursor.last_word());
    let mut error = ConditionError::new(ErrorKind::Syntax, parser.cursor.here(), message);
    error.expected = Some("'or', 'and'".to_owned());
    Err(error)
}

pub(crate) struct Parser<'a> {
    pub(crate) cursor: Cursor<'a>,
    depth: usize,
    max_depth: usize,
}

impl<'a> Parser<'a> {
    pub(crate) const fn new(text: &'a str, options: &ParseOptions) -> Self {
        Self { cursor: Cursor::new(text.as_bytes()), depth: 0, max_depth: options.max_depth }
    }

    /// Runs one parse function a level deeper.
    pub(crate) fn nested<T>(
        &mut self,
        parse: impl FnOnce(&mut Self) -> Result<T, ConditionError>,
    ) -> Result<T, ConditionError> {
        self.depth += 1;
        if self.depth >= self.max_depth {
            let message = format!("exceeded max depth limit of {}", self.max_depth);
            return Err(ConditionError::new(ErrorKind::Depth, self.cursor.here(), message));
        }
        let parsed = parse(self)?;
        self.depth -= 1;
        Ok(parsed)
    }

    fn or(&mut self) -> Result<Expr, ConditionError> {
        self.nested(|parser| parser.chain("or", Self::and, Expr::Or))
    }

    fn and(&mut self) -> Result<Expr, ConditionError> {
        self.nested(|parser| parser.chain("and", Self::not, Expr::And))
    }

    /// One or more of `part`, joined by `keyword`. A blank or a parenthesis must follow the keyword.
    fn chain(
        &mut self,
        keyword: &str,
        part: fn(&mut Self) -> Result<Expr, ConditionError>,
        join: fn(Vec<Expr>) -> Expr,
    ) -> Result<Expr, ConditionError> {
        self.cursor.blank();
        let first = part(self)?;
        self.cursor.blank();
        if !self.cursor.keyword(keyword) {
            return Ok(first);
        }
        let mut children = vec![first];
        loop {
            children.push(if self.cursor.exact("(") { self.embedded()? } else { part(self)? });
            self.cursor.blank();
            if !self.cursor.keyword(keyword) {
                return Ok(join(children));
            }
        }
    }

    fn not(&mut self) -> Result<Expr, ConditionError> {
        self.nested(|parser| {
            parser.cursor.blank();
            let mut negated = false;
            while parser.cursor.keyword("not") {
                negated = !negated;
                parser.cursor.blank();
            }
            let child = parser.primary()?;
            Ok(if negated { Expr::Not(Box::new(child)) } else { child })
        })
    }

    /// What follows an opening parenthesis.
    fn embedded(&mut self) -> Result<Expr, ConditionError> {
        self.nested(|parser| {
            parser.cursor.blank();
            let expr = parser.or()?;
            parser.cursor.blank();
            if !parser.cursor.exact(")") {
                return Err(ConditionError::expecting(parser.cursor.here(), "a ')' token, 'or', 'and'"));
            }
            Ok(expr)
        })
    }

    fn primary(&mut self) -> Result<Expr, ConditionError> {
        self.nested(|parser| {
            parser.cursor.blank();
            if parser.cursor.exact("(") {
                return parser.embedded();
            }
            if let Some(operand) = parser.operand()? {
                return parser.check(operand).map(|check| Expr::Check(Box::new(check)));
            }
            let start = parser.cursor.position();
            if let Some(name) = parser.cursor.identifier() {
                let span = parser.cursor.since(start);
                return Ok(Expr::Macro(MacroRef { name: name.into(), span, body: None }));
            }
            Err(ConditionError::expecting(
                parser.cursor.here(),
                "a '(' token, a field check, or the name of a macro",
            ))
        })
    }
}
