//! Writes a rule's exceptions into its condition.
//!
//! `(condition) and not EX1 and not EX2`, as text, because lists are written into it afterwards.

use super::engine::takes_list;
use super::expand::push_quoted;
use super::item::{Entry, Exception, RuleItem, Word};
use super::result::{ErrorCode, LoadError};
use super::source::{Span, Text};
use crate::ast::{self, Expr};

/// A rule's condition with its exceptions.
pub(crate) struct WithExceptions {
    pub(crate) text: Text,
    /// The exceptions that have values, in the order in which they stand in the text.
    pub(crate) written: Vec<Written>,
}

/// An exception as the condition has it.
pub(crate) struct Written {
    name: String,
    allows_incomplete: bool,
}

/// Writes the exceptions of a rule.
pub(crate) fn write(rule: &RuleItem) -> Result<WithExceptions, LoadError> {
    let mut written = Vec::new();
    if rule.exceptions.is_empty() {
        return Ok(WithExceptions {
            text: rule.condition.clone(),
            written,
        });
    }
    let whole = rule.condition.locate(0..rule.condition.as_str().len());
    let mut text = Text::default();
    let file = rule.context.file_id();
    let whole = whole.unwrap_or(Span {
        file,
        start: 0,
        end: 0,
    });
    text.push_for("(", whole);
    text.push_text(&rule.condition);
    text.push_for(")", whole);
    for exception in &rule.exceptions {
        let place = exception.context.span().unwrap_or(whole);
        let mut writer = Writer {
            out: Text::default(),
            place,
        };
        match &exception.fields {
            Entry::List(fields) => writer.tuples(exception, fields)?,
            field => writer.values(exception, field)?,
        }
        if !writer.out.as_str().is_empty() {
            text.push_for(" and not ", place);
            text.push_text(&writer.out);
            written.push(Written {
                name: exception.name.clone(),
                allows_incomplete: exception.allows_incomplete.unwrap_or(false),
            });
        }
    }
    Ok(WithExceptions { text, written })
}

struct Writer {
    out: Text,
    place: Span,
}

impl Writer {
    fn glue(&mut self, text: &str) {
        self.out.push_for(text, self.place);
    }

    fn word(&mut self, entry: &Entry) {
        if let Some(word) = entry.word() {
            word.push_to(&mut self.out);
        }
    }

    /// `(field in (a, b))`
    fn values(&mut self, exception: &Exception, field: &Entry) -> Result<(), LoadError> {
        for (position, value) in exception.values.iter().enumerate() {
            if let Entry::List(_) = value {
                return Err(wrong(
                    "Expected values array to contain a list of strings",
                    exception,
                ));
            }
            if position == 0 {
                self.glue("(");
                self.word(field);
                self.glue(" ");
                self.word(&exception.comps);
                self.glue(" (");
            } else {
                self.glue(", ");
            }
            self.quoted(value);
        }
        if !exception.values.is_empty() {
            self.glue("))");
        }
        Ok(())
    }

    /// `((f1 = a and f2 = b) or (f1 = c and f2 = d))`
    fn tuples(&mut self, exception: &Exception, fields: &[Entry]) -> Result<(), LoadError> {
        for (position, tuple) in exception.values.iter().enumerate() {
            let values = tuple.items();
            if values.len() != fields.len() {
                return Err(wrong("Fields and values lists must have equal length", exception));
            }
            self.glue(if position == 0 { "((" } else { " or (" });
            let comparisons = exception.comps.items();
            for (at, ((field, comparison), value)) in fields.iter().zip(comparisons).zip(values).enumerate() {
                self.glue(if at == 0 { " " } else { " and " });
                self.word(field);
                self.glue(" ");
                self.word(comparison);
                self.glue(" ");
                self.value(value, takes_list(comparison.text()));
            }
            self.glue(")");
        }
        if !exception.values.is_empty() {
            self.glue(")");
        }
        Ok(())
    }

    fn value(&mut self, value: &Entry, in_list: bool) {
        match value {
            Entry::List(items) => {
                self.glue("(");
                for (position, item) in items.iter().enumerate() {
                    self.glue(if position == 0 { "" } else { ", " });
                    self.quoted(item);
                }
                self.glue(")");
            }
            Entry::Word(word) if in_list && !word.text.starts_with('(') => {
                self.glue("(");
                word.push_to(&mut self.out);
                self.glue(")");
            }
            Entry::Word(word) if in_list => word.push_to(&mut self.out),
            Entry::Word(_) => self.quoted(value),
            Entry::Absent if in_list => self.glue("()"),
            Entry::Absent => {}
        }
    }

    fn quoted(&mut self, entry: &Entry) {
        if let Some(word) = entry.word() {
            push_quoted(&mut self.out, word);
        }
    }
}

fn wrong(message: &str, exception: &Exception) -> LoadError {
    LoadError::new(ErrorCode::Validate, message, &exception.context)
}

/// Marks the exceptions in the parsed condition, so that they can be evaluated as such.
///
/// They are the last operands of an `and`, each under a `not`. A condition with unbalanced parentheses can move
/// them elsewhere; what is not found where it was written stays an ordinary part of the condition.
pub(crate) fn mark(expr: &mut Expr, written: &[Written]) {
    let children = match expr {
        Expr::And(children) => children,
        Expr::Or(children) => {
            if let Some(last) = children.last_mut() {
                mark(last, written);
            }
            return;
        }
        _ => return,
    };
    let Some(first) = children
        .len()
        .checked_sub(written.len())
        .filter(|first| *first > 0)
    else {
        return;
    };
    for (child, exception) in children[first..].iter_mut().zip(written) {
        if let Expr::Not(inner) = child {
            let body = std::mem::replace(&mut **inner, Expr::And(Vec::new()));
            **inner = Expr::Exception(ast::Exception {
                name: exception.name.as_str().into(),
                body: Box::new(body),
                allows_incomplete: exception.allows_incomplete,
            });
        }
    }
}

/// The fields of an exception as words.
pub(crate) fn field_words(exception: &Exception) -> Vec<&Word> {
    match &exception.fields {
        Entry::List(fields) => fields.iter().filter_map(Entry::word).collect(),
        field => field.word().into_iter().collect(),
    }
}
