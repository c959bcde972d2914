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
    pub const RULE: Self = Self {
        max_depth: CONDITION_DEPTH_MAX,
    };
}

impl Default for ParseOptions {
    /// For a condition that stands alone.
    fn default() -> Self {
        Self {
            max_depth: FILTER_DEPTH_MAX,
        }
    }
}

/// Parses one condition.
///
/// # Errors
/// The first place that the grammar does not allow.
pub fn parse_condition(text: &str, options: &ParseOptions) -> Result<Expr, ConditionError> {
    let mut parser = Parser::new(text, *options);
    if text.is_empty() {
        return Err(ConditionError::expecting(
            Span::default(),
            "a condition, not an empty text",
        ));
    }
    let expr = parser.or()?;
    if parser.cursor.at_end() {
        return Ok(expr);
    }
    let message = format!(
        "unexpected token after '{}', expecting 'or', 'and'",
        parser.cursor.last_word()
    );
    let mut error = ConditionError::new(ErrorKind::Syntax, parser.cursor.here(), message);
    error.expected = Some("'or', 'and'".to_owned());
    Err(error)
}

pub(crate) struct Parser<'a> {
    pub(crate) cursor: Cursor<'a>,
    depth: usize,
    max_depth: usize,
    /// Transformers around the place.
    transformers: usize,
}

impl<'a> Parser<'a> {
    pub(crate) const fn new(text: &'a str, options: ParseOptions) -> Self {
        Self {
            cursor: Cursor::new(text.as_bytes()),
            depth: 0,
            max_depth: options.max_depth,
            transformers: 0,
        }
    }

    /// Goes a level deeper; [`Parser::leave`] comes back. An error ends the parse, and with it the count.
    ///
    /// Not a function around a closure, because that would take three frames of the stack for each level.
    pub(crate) fn enter(&mut self) -> Result<(), ConditionError> {
        self.depth += 1;
        if self.depth < self.max_depth {
            return Ok(());
        }
        let message = format!("exceeded max depth limit of {}", self.max_depth);
        Err(ConditionError::new(ErrorKind::Depth, self.cursor.here(), message))
    }

    pub(crate) const fn leave(&mut self) {
        self.depth -= 1;
    }

    fn or(&mut self) -> Result<Expr, ConditionError> {
        self.chain("or", Self::and, Expr::Or)
    }

    fn and(&mut self) -> Result<Expr, ConditionError> {
        self.chain("and", Self::not, Expr::And)
    }

    /// One or more of `part`, joined by `keyword`. A blank or a parenthesis must follow the keyword.
    fn chain(
        &mut self,
        keyword: &str,
        part: fn(&mut Self) -> Result<Expr, ConditionError>,
        join: fn(Vec<Expr>) -> Expr,
    ) -> Result<Expr, ConditionError> {
        self.enter()?;
        self.cursor.blank();
        let first = part(self)?;
        self.cursor.blank();
        let mut children = Vec::new();
        while self.cursor.keyword(keyword) {
            children.push(if self.cursor.exact("(") {
                self.embedded()?
            } else {
                part(self)?
            });
            self.cursor.blank();
        }
        self.leave();
        if children.is_empty() {
            return Ok(first);
        }
        children.insert(0, first);
        Ok(join(children))
    }

    fn not(&mut self) -> Result<Expr, ConditionError> {
        self.enter()?;
        self.cursor.blank();
        let mut negated = false;
        while self.cursor.keyword("not") {
            negated = !negated;
            self.cursor.blank();
        }
        let child = self.primary()?;
        self.leave();
        Ok(if negated {
            Expr::Not(Box::new(child))
        } else {
            child
        })
    }

    /// What follows an opening parenthesis.
    fn embedded(&mut self) -> Result<Expr, ConditionError> {
        self.enter()?;
        self.cursor.blank();
        let expr = self.or()?;
        self.cursor.blank();
        if !self.cursor.exact(")") {
            return Err(ConditionError::expecting(
                self.cursor.here(),
                "a ')' token, 'or', 'and'",
            ));
        }
        self.leave();
        Ok(expr)
    }

    fn primary(&mut self) -> Result<Expr, ConditionError> {
        self.enter()?;
        self.cursor.blank();
        let expr = if self.cursor.exact("(") {
            self.embedded()?
        } else {
            self.check_or_macro()?
        };
        self.leave();
        Ok(expr)
    }

    fn check_or_macro(&mut self) -> Result<Expr, ConditionError> {
        if let Some(operand) = self.operand()? {
            return self.check(operand).map(|check| Expr::Check(Box::new(check)));
        }
        let start = self.cursor.position();
        if let Some(name) = self.cursor.identifier() {
            let span = self.cursor.since(start);
            return Ok(Expr::Macro(MacroRef {
                name: name.into(),
                span,
                body: None,
            }));
        }
        let expected = "a '(' token, a field check, or the name of a macro";
        Err(ConditionError::expecting(self.cursor.here(), expected))
    }
}
