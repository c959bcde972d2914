//! Finds the field or transformer at the start of a text.

use crate::ast::{Call, CallArg, FieldName, Operand, Span};
use crate::field::Catalogue;
use crate::parse::{ParseOptions, Parser};

/// The longest field, or the transformer, that `text` starts with, and its length.
pub(super) fn longest_operand(text: &str, catalogue: &Catalogue) -> Option<(Operand, usize)> {
    let mut parser = Parser::new(text, ParseOptions::default());
    if let Ok(Some(call)) = parser.call() {
        return Some((Operand::Call(call), parser.cursor.position()));
    }
    let name_bytes = text
        .bytes()
        .take_while(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.'))
        .count();
    if let Some(found) = with_bracket(text, name_bytes, catalogue) {
        return Some(found);
    }
    (1..=name_bytes).rev().find_map(|length| {
        let name = &text[..length];
        catalogue.resolve(name, None).ok()?;
        let span = Span::new(0, length);
        Some((
            Operand::Field(FieldName {
                name: name.into(),
                argument: None,
                span,
            }),
            length,
        ))
    })
}

/// The field whose name is followed by a bracket.
fn with_bracket(text: &str, name_bytes: usize, catalogue: &Catalogue) -> Option<(Operand, usize)> {
    if text.as_bytes().get(name_bytes) != Some(&b'[') {
        return None;
    }
    let mut parser = Parser::new(text, ParseOptions::default());
    let field = parser.field().ok()??;
    catalogue.resolve(&field.name, field.argument.as_deref()).ok()?;
    Some((Operand::Field(field), parser.cursor.position()))
}

/// The fields inside a transformer.
pub(super) fn fields_of(call: &Call) -> Vec<Operand> {
    let mut fields = Vec::new();
    call.args.iter().for_each(|arg| add_fields(arg, &mut fields));
    fields
}

fn add_fields(arg: &CallArg, fields: &mut Vec<Operand>) {
    match arg {
        CallArg::Operand(operand @ Operand::Field(_)) => fields.push(operand.clone()),
        CallArg::Operand(Operand::Call(call)) => fields.extend(fields_of(call)),
        CallArg::List(items, _) => items.iter().for_each(|item| add_fields(item, fields)),
        CallArg::Text(_) | CallArg::Number(_) => {}
    }
}
