//! Checks the shape of an exception and fills in the comparisons that it leaves out.

use super::wrong;
use crate::field::Catalogue;
use crate::load::engine;
use crate::load::item::{Entry, Exception, Word};
use crate::load::result::LoadError;
use crate::load::source::{Span, offset};

/// Checks an exception; its fields must be in the catalogue, if one is given.
pub(super) fn validate(exception: &mut Exception, catalogue: Option<&Catalogue>) -> Result<(), LoadError> {
    trim(&mut exception.comps);
    match &exception.fields {
        Entry::List(fields) => {
            let count = fields.len();
            if exception.comps.is_empty() {
                exception.comps = Entry::List(vec![implied("=", exception); count]);
            }
            if exception.comps.items().len() != count {
                return Err(wrong(
                    "Fields and comps lists must have equal length",
                    &exception.context,
                ));
            }
            for comparison in exception.comps.items() {
                check_comparison(comparison, exception)?;
            }
        }
        Entry::Word(_) | Entry::Absent => {
            if exception.comps.is_empty() {
                exception.comps = implied("in", exception);
            }
            let Entry::Word(comparison) = &exception.comps else {
                return Err(wrong("Fields and comps must both be strings", &exception.context));
            };
            if !engine::takes_list(&comparison.text) {
                let message = "When fields is a single value, comps must be one of (in, pmatch, intersects) or an \
                               operator with a modifier (oneof, anyof, allof)";
                return Err(wrong(message, &exception.context).at(Some(comparison.span)));
            }
        }
    }
    let Some(catalogue) = catalogue else {
        return Ok(());
    };
    match &exception.fields {
        Entry::List(fields) => fields
            .iter()
            .try_for_each(|field| check_field(field, exception, catalogue)),
        field => check_field(field, exception, catalogue),
    }
}

fn trim(entry: &mut Entry) {
    match entry {
        Entry::Absent => {}
        Entry::List(entries) => entries.iter_mut().for_each(trim),
        Entry::Word(word) => {
            let trimmed = word.text.trim();
            if trimmed.len() != word.text.len() {
                *word = Word {
                    text: trimmed.into(),
                    span: word.span,
                    exact: false,
                };
            }
        }
    }
}

fn check_comparison(comparison: &Entry, exception: &Exception) -> Result<(), LoadError> {
    let text = comparison.text();
    if engine::is_comparison(text) {
        return Ok(());
    }
    let help = engine::nearest_keyword(text).map(|name| format!("did you mean `{name}`?"));
    let message = format!("'{text}' is not a supported comparison operator");
    Err(wrong(message, &exception.context)
        .at(comparison.word().map(|word| word.span))
        .with_help(help))
}

fn check_field(field: &Entry, exception: &Exception, catalogue: &Catalogue) -> Result<(), LoadError> {
    let text = field.text();
    if engine::is_field(text, catalogue) {
        return Ok(());
    }
    let help = catalogue
        .nearest(text)
        .map(|name| format!("did you mean `{name}`?"));
    let message = format!("'{text}' is not a supported filter field");
    Err(wrong(message, &exception.context)
        .at(field.word().map(|word| word.span))
        .with_help(help))
}

/// A word that stands for an exception as a whole: what Falco fills in.
fn implied(text: &str, exception: &Exception) -> Entry {
    let file = exception.context.file_id();
    let span = exception.context.span().unwrap_or(Span {
        file,
        start: 0,
        end: offset(0),
    });
    Entry::Word(Word {
        text: text.into(),
        span,
        exact: false,
    })
}
