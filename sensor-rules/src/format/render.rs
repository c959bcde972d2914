//! Shows values as text and as typed values.

use std::fmt::Write;

use super::{OutputValue, Part};
use crate::eval::{Cached, Source, Values};
use crate::event::Event;
use crate::limits::{OUTPUT_BYTES_MAX, OUTPUT_LIST_BYTES_MAX};

pub(super) fn render(
    parts: &[Part],
    sources: &[Source],
    event: &impl Event,
    text: &mut String,
    values: &mut Values,
) {
    let start = text.len();
    for part in parts {
        match part {
            Part::Text(literal) => text.push_str(literal),
            Part::Value {
                slot,
                columns,
                padded,
            } => {
                let value = values.get(sources, *slot, event);
                let from = text.len();
                match value {
                    Cached::Int(number) if *padded => push(text, format_args!("{number:09}")),
                    Cached::Uint(number) if *padded => push(text, format_args!("{number:09}")),
                    value => show(values, value, text),
                }
                if let Some(columns) = columns {
                    fit(text, from, *columns);
                }
            }
        }
        if text.len() - start > OUTPUT_BYTES_MAX {
            text.truncate(text.floor_char_boundary(start + OUTPUT_BYTES_MAX));
            return;
        }
    }
}

/// Writes to a string, which cannot fail.
fn push(text: &mut String, arguments: std::fmt::Arguments<'_>) {
    let _ = text.write_fmt(arguments);
}

fn show(values: &Values, value: Cached, text: &mut String) {
    match value {
        Cached::Missing => text.push_str("<NA>"),
        Cached::Bool(value) => push(text, format_args!("{value}")),
        Cached::Int(value) => push(text, format_args!("{value}")),
        Cached::Uint(value) => push(text, format_args!("{value}")),
        Cached::Double(value) => push(text, format_args!("{value:.1}")),
        Cached::Ip(value) => push(text, format_args!("{value}")),
        Cached::Text { .. } => push_lossy(text, values.bytes(value).unwrap_or_default()),
        Cached::Bytes { .. } => push_printable(text, values.bytes(value).unwrap_or_default()),
        Cached::List { .. } => {
            let from = text.len();
            text.push('(');
            for (position, item) in values.items(&value).iter().enumerate() {
                if position > 0 {
                    text.push(',');
                }
                show(values, *item, text);
                if text.len() - from > OUTPUT_LIST_BYTES_MAX {
                    text.truncate(text.floor_char_boundary(from + OUTPUT_LIST_BYTES_MAX));
                    break;
                }
            }
            text.push(')');
        }
    }
}

/// Appends text that may be anything; what is not UTF-8 becomes U+FFFD. Whoever shows it escapes what could
/// forge a line or drive a terminal: a text file, JSON and a terminal each have their own way.
fn push_lossy(text: &mut String, bytes: &[u8]) {
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        if !chunk.invalid().is_empty() {
            text.push(char::REPLACEMENT_CHARACTER);
        }
    }
}

fn push_printable(text: &mut String, bytes: &[u8]) {
    let printable = |byte: &u8| byte.is_ascii_graphic() || *byte == b' ';
    text.extend(
        bytes
            .iter()
            .map(|byte| if printable(byte) { char::from(*byte) } else { '.' }),
    );
}

/// Pads or cuts what follows `from` to a number of characters.
fn fit(text: &mut String, from: usize, columns: usize) {
    if let Some((end, _)) = text[from..].char_indices().nth(columns) {
        text.truncate(from + end);
    } else {
        let missing = columns.min(OUTPUT_BYTES_MAX) - text[from..].chars().count().min(columns);
        text.extend(std::iter::repeat_n(' ', missing));
    }
}

/// The value with its type. Text is not escaped, because its consumer will do that.
pub(super) fn typed(values: &Values, value: Cached) -> OutputValue {
    match value {
        Cached::Missing => OutputValue::Null,
        Cached::Bool(value) => OutputValue::Bool(value),
        Cached::Int(value) => OutputValue::Int(value),
        Cached::Uint(value) => OutputValue::Uint(value),
        Cached::Double(value) => OutputValue::Double(value),
        Cached::Ip(value) => OutputValue::Text(value.to_string()),
        Cached::Text { .. } => {
            let bytes = values.bytes(value).unwrap_or_default();
            OutputValue::Text(String::from_utf8_lossy(bytes).into_owned())
        }
        Cached::Bytes { .. } => {
            let mut text = String::new();
            push_printable(&mut text, values.bytes(value).unwrap_or_default());
            OutputValue::Text(text)
        }
        Cached::List { .. } => OutputValue::List(
            values
                .items(&value)
                .iter()
                .map(|item| typed(values, *item))
                .collect(),
        ),
    }
}
