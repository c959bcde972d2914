//! What the loader asks of the condition language.

use smol_str::SmolStr;

use super::compile::CompiledOutput;
use super::item::RuleItem;
use super::suggest::nearest;
use crate::ast::{Expr, Modifier, Op, Right};
use crate::check::check;
use crate::engine::Rule;
use crate::field::Catalogue;
use crate::parse::{ParseOptions, parse_condition};

/// Whether a text is a field, with its argument, or a transformer over fields.
pub(crate) fn is_field(text: &str, catalogue: &Catalogue) -> bool {
    let condition = format!("{text} exists");
    let Ok(expr) = parse_condition(&condition, &ParseOptions::RULE) else {
        return false;
    };
    let alone =
        matches!(&expr, Expr::Check(check) if check.op == Op::Exists && check.right == Right::Nothing);
    alone && check(&expr, catalogue).is_ok()
}

/// A rule as the engine takes it.
pub(crate) fn engine_rule(item: &RuleItem, condition: Expr, output: &CompiledOutput) -> Rule {
    Rule {
        name: SmolStr::new(&item.name),
        condition,
        output: output.output.clone(),
        extra_fields: output.extra_fields.clone(),
        priority: item.priority,
        tags: item.tags.iter().map(SmolStr::new).collect(),
        source: SmolStr::new(&item.source),
        description: item.description.clone(),
    }
}

/// Whether a text is an operator, with or without a modifier.
pub(crate) fn is_comparison(text: &str) -> bool {
    operator(text).is_some() || has_modifier(text)
}

/// Whether a comparison takes a list: `in`, `startswith oneof`.
pub(crate) fn takes_list(text: &str) -> bool {
    operator(text).is_some_and(Op::takes_list) || has_modifier(text)
}

fn operator(text: &str) -> Option<Op> {
    Op::ALL.into_iter().find(|op| op.keyword() == text)
}

fn has_modifier(text: &str) -> bool {
    text.split_once([' ', '\t']).is_some_and(|(op, modifier)| {
        let modifier = modifier.trim_start();
        operator(op).is_some_and(Op::takes_text)
            && Modifier::ALL.into_iter().any(|known| known.keyword() == modifier)
    })
}

/// The operator or modifier that a word is most like.
pub(crate) fn nearest_keyword(word: &str) -> Option<&'static str> {
    let keywords = Op::ALL
        .map(Op::keyword)
        .into_iter()
        .chain(Modifier::ALL.map(Modifier::keyword));
    nearest(word, keywords)
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
            ("exists oneof", false, false),
            ("frobulate oneof", false, false),
            ("oneof", false, false),
            ("", false, false),
        ] {
            assert_eq!((is_comparison(text), takes_list(text)), (known, list), "{text}");
        }
    }

    #[test]
    fn fields() {
        let catalogue = Catalogue::new();
        for (text, expected) in [
            ("proc.name", true),
            ("proc.aname[2]", true),
            ("tolower( proc.name)", true),
            ("not.exist", false),
            ("proc.name exists and fd.name", false),
            ("some_macro", false),
            ("", false),
        ] {
            assert_eq!(is_field(text, &catalogue), expected, "{text}");
        }
    }
}
