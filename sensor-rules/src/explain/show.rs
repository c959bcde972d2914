//! Values and conditions as text that fits a line and cannot steer a terminal.

use std::borrow::Cow;

use crate::event::Value;

/// Characters of a test or of a value that are shown.
const SHOWN_CHARS_MAX: usize = 160;

/// A value as it is shown: text in quotes with control characters escaped, anything else as rules write it.
pub(super) fn value(value: &Value<'_>) -> String {
    match value {
        Value::Bool(value) => value.to_string(),
        Value::Int(value) => value.to_string(),
        Value::Uint(value) => value.to_string(),
        Value::Double(value) => value.to_string(),
        Value::Ip(ip) => ip.to_string(),
        Value::Text(bytes) | Value::Bytes(bytes) => {
            shorten(&format!("{:?}", String::from_utf8_lossy(bytes))).into_owned()
        }
        Value::List(items) => {
            let items: Vec<_> = items.iter().map(self::value).collect();
            shorten(&format!("({})", items.join(", "))).into_owned()
        }
    }
}

/// The text without control characters, cut where it is too long for a line.
pub(super) fn shorten(text: &str) -> Cow<'_, str> {
    let is_plain = |char: char| !char.is_control();
    if text.chars().all(is_plain) && text.chars().nth(SHOWN_CHARS_MAX).is_none() {
        return Cow::Borrowed(text);
    }
    let mut shown: String = text
        .chars()
        .filter(|char| is_plain(*char))
        .take(SHOWN_CHARS_MAX)
        .collect();
    shown.push('…');
    Cow::Owned(shown)
}
