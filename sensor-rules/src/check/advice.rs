//! Warns of what is allowed but probably not meant.

use super::Checker;
use crate::ast::{Check, Literal, Op, Operand, Right};
use crate::error::WarningKind;
use crate::field::{Catalogue, FieldType};
use crate::ir::Kind;
use crate::parse::{ParseOptions, Parser};

impl Checker<'_> {
    /// Warns of the constants of a test.
    pub(super) fn advise(&mut self, check: &Check, kind: Kind) {
        let literals = match &check.right {
            Right::Value(value) => std::slice::from_ref(value),
            Right::List(values) => values,
            Right::Nothing | Right::Operand(_) => return,
        };
        for literal in literals {
            if kind.value_type == FieldType::Text {
                self.advise_text(literal);
            }
            if check.op == Op::Regex
                && let Some(simpler) = simpler_operator(&literal.bytes)
            {
                let message = format!(
                    "regular expression '{}' says the same as operator '{simpler}', which is faster",
                    String::from_utf8_lossy(&literal.bytes)
                );
                self.warn(literal.span, WarningKind::SimpleRegex, message);
            }
            if literal.bytes == b"<NA>" && is_unsafe_na_check(check) {
                let message = format!(
                    "comparing '{}' with <NA> is unsafe: use 'exists' or 'not exists' instead",
                    check.left
                );
                self.warn(literal.span, WarningKind::UnsafeNaCheck, message);
            }
        }
    }

    fn advise_text(&mut self, literal: &Literal) {
        let Ok(text) = std::str::from_utf8(&literal.bytes) else {
            return;
        };
        if is_field(text.trim(), self.catalogue) {
            let message = format!("'{text}' may be a valid field misused as a const string value");
            self.warn(literal.span, WarningKind::LooksLikeField, message);
        } else if is_call(text.trim()) {
            let message =
                format!("'{text}' may be a valid field transformer misused as a const string value");
            self.warn(literal.span, WarningKind::LooksLikeTransformer, message);
        }
    }
}

fn is_field(text: &str, catalogue: &Catalogue) -> bool {
    let mut parser = Parser::new(text, ParseOptions::default());
    let Ok(Some(field)) = parser.field() else {
        return false;
    };
    parser.cursor.at_end() && catalogue.resolve(&field.name, field.argument.as_deref()).is_ok()
}

fn is_call(text: &str) -> bool {
    let mut parser = Parser::new(text, ParseOptions::default());
    matches!(parser.call(), Ok(Some(_))) && parser.cursor.at_end()
}

/// Fields of Kubernetes audit events have no `<NA>`: a missing one has no value.
fn is_unsafe_na_check(check: &Check) -> bool {
    let Operand::Field(field) = &check.left else {
        return false;
    };
    let is_json = field.name.starts_with("ka.") || field.name.starts_with("jevt.");
    is_json
        && matches!(
            check.op,
            Op::Eq | Op::EqEq | Op::Ne | Op::In | Op::Intersects | Op::Pmatch
        )
}

/// The operator that says the same as a pattern of literal text with anchors or wildcards around it.
fn simpler_operator(pattern: &[u8]) -> Option<&'static str> {
    let text = std::str::from_utf8(pattern).ok()?;
    let wildcards = [".*", ".+", ".?"];
    let (text, open_start) = match wildcards.iter().find_map(|wildcard| text.strip_prefix(wildcard)) {
        Some(rest) => (rest, true),
        None => (text.strip_prefix('^').unwrap_or(text), false),
    };
    // The last wildcard is one only if its dot is not escaped, which no literal text in front of it can do.
    let (text, open_end) = match wildcards.iter().find_map(|wildcard| text.strip_suffix(wildcard)) {
        Some(rest) => (rest, true),
        None => (text.strip_suffix('$').unwrap_or(text), false),
    };
    let is_literal = !text.is_empty() && !text.contains(|c: char| "\\^$.|?*+()[]{}".contains(c));
    is_literal.then_some(match (open_start, open_end) {
        (false, false) => "=",
        (false, true) => "startswith",
        (true, false) => "endswith",
        (true, true) => "contains",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn simple_patterns_have_a_simpler_operator() {
        let cases = [
            ("^syscall", Some("=")),
            ("syscall.*", Some("startswith")),
            (".+syscall", Some("endswith")),
            (".*sys call.?", Some("contains")),
            ("syscall.{1}", None),
            ("syscall\\.*", None),
            ("s.*l", None),
            (".*", None),
        ];
        for (pattern, expected) in cases {
            assert_eq!(simpler_operator(pattern.as_bytes()), expected, "{pattern}");
        }
    }
}
