//! Checks the shape of an exception and fills in the comparisons that it leaves out.

use super::{implied, wrong};
use crate::load::engine;
use crate::load::item::{Entry, Exception, Word};
use crate::load::result::LoadError;
use crate::load::suggest::nearest;

/// Comparisons of one value with one value, which may be followed by a modifier.
const TEXT_OPERATORS: &[&str] = &[
    "=",
    "==",
    "!=",
    "glob",
    "iglob",
    "contains",
    "icontains",
    "bcontains",
    "startswith",
    "bstartswith",
    "endswith",
    "regex",
];
const OTHER_OPERATORS: &[&str] = &["exists", "<", "<=", ">", ">="];
const LIST_OPERATORS: &[&str] = &["in", "intersects", "pmatch"];
const MODIFIERS: &[&str] = &["oneof", "anyof", "allof"];

/// Whether a comparison takes a list: `in`, `startswith oneof`.
pub(crate) fn takes_list(comparison: &str) -> bool {
    LIST_OPERATORS.contains(&comparison) || has_modifier(comparison)
}

/// Whether a comparison is an operator with a modifier, one or more blanks between.
fn has_modifier(comparison: &str) -> bool {
    comparison.split_once([' ', '\t']).is_some_and(|(operator, modifier)| {
        TEXT_OPERATORS.contains(&operator) && MODIFIERS.contains(&modifier.trim_start())
    })
}

fn is_comparison(text: &str) -> bool {
    TEXT_OPERATORS.contains(&text) || OTHER_OPERATORS.contains(&text) || takes_list(text)
}

/// Checks an exception; with `check_fields` its fields must be in the catalogue.
pub(super) fn validate(exception: &mut Exception, check_fields: bool) -> Result<(), LoadError> {
    trim(&mut exception.comps);
    match &exception.fields {
        Entry::List(fields) => {
            let count = fields.len();
            if exception.comps.is_empty() {
                exception.comps = Entry::List(vec![implied("=", exception); count]);
            }
            if exception.comps.items().len() != count {
                return Err(wrong("Fields and comps lists must have equal length", &exception.context));
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
            if !takes_list(&comparison.text) {
                let message = "When fields is a single value, comps must be one of (in, pmatch, intersects) or an \
                               operator with a modifier (oneof, anyof, allof)";
                return Err(wrong(message, &exception.context).at(Some(comparison.span)));
            }
        }
    }
    if check_fields {
        match &exception.fields {
            Entry::List(fields) => fields.iter().try_for_each(|field| check_field(field, exception))?,
            field => check_field(field, exception)?,
        }
    }
    Ok(())
}

fn trim(entry: &mut Entry) {
    match entry {
        Entry::Absent => {}
        Entry::List(entries) => entries.iter_mut().for_each(trim),
        Entry::Word(word) => {
            let trimmed = word.text.trim();
            if trimmed.len() != word.text.len() {
                *word = Word { text: trimmed.into(), span: word.span, exact: false };
            }
        }
    }
}

fn check_comparison(comparison: &Entry, exception: &Exception) -> Result<(), LoadError> {
    let text = comparison.text();
    if is_comparison(text) {
        return Ok(());
    }
    let known = TEXT_OPERATORS.iter().chain(OTHER_OPERATORS).chain(LIST_OPERATORS).copied();
    let help = nearest(text, known).map(|name| format!("did you mean `{name}`?"));
    let message = format!("'{text}' is not a supported comparison operator");
    Err(wrong(message, &exception.context).at(comparison.word().map(|word| word.span)).with_help(help))
}

fn check_field(field: &Entry, exception: &Exception) -> Result<(), LoadError> {
    let text = field.text();
    if engine::is_field(text) {
        return Ok(());
    }
    let help = engine::nearest_field(text).map(|name| format!("did you mean `{name}`?"));
    let message = format!("'{text}' is not a supported filter field");
    Err(wrong(message, &exception.context).at(field.word().map(|word| word.span)).with_help(help))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comparisons() {
        for (text, known, list) in [
            ("=", true, false),
            ("exists", true, false),
            ("in", true, true),
            ("startswith oneof", true, true),
            ("=  anyof", true, true),
            (">= oneof", false, false),
            ("in oneof", false, false),
            ("frobulate oneof", false, false),
            ("oneof", false, false),
            ("", false, false),
        ] {
            assert_eq!((is_comparison(text), takes_list(text)), (known, list), "{text}");
        }
    }
}
