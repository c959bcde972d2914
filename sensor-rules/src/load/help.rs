//! What to do about an error: the nearest name, or what was expected.

use super::collect::{Collector, Kind};
use super::engine::nearest_keyword;
use super::source::Text;
use super::suggest::nearest;
use crate::error::{ConditionError, ErrorKind};
use crate::field::{Catalogue, EventType};

/// Help for an error in a condition.
pub(super) fn error_help(
    error: &ConditionError,
    text: &Text,
    collector: &Collector,
    catalogue: &Catalogue,
) -> Option<String> {
    let word = word_at(text.as_str(), error.span.start);
    let did_you_mean = |name: &str| format!("did you mean `{name}`?");
    match error.kind {
        ErrorKind::UnknownField => {
            let name = word.split(['[', '(']).next().unwrap_or(word);
            catalogue.nearest(name).map(did_you_mean)
        }
        ErrorKind::UnknownEventType => {
            let name = error.message.strip_prefix("unknown event type ").unwrap_or(word);
            let word = name.split(',').next().unwrap_or(name);
            nearest(word, EventType::all().map(EventType::name)).map(did_you_mean)
        }
        ErrorKind::UndefinedMacro => Some(undefined_help(word, collector)),
        ErrorKind::Syntax => {
            let meant = nearest_keyword(word)
                .filter(|meant| *meant != word)
                .map(did_you_mean);
            meant.or_else(|| Some(format!("expected {}", error.expected.as_ref()?)))
        }
        _ => error
            .expected
            .as_ref()
            .map(|expected| format!("expected {expected}")),
    }
}

/// Help for a macro that is not there.
pub(super) fn undefined_help(name: &str, collector: &Collector) -> String {
    if collector.macros.get(name).is_some() {
        return format!("macro `{name}` is first defined below this use; move it up");
    }
    if collector.lists.get(name).is_some() {
        return format!("`{name}` is a list; use it as `FIELD in ({name})`");
    }
    if collector.has_failed(Kind::Macro, name) {
        return format!("the definition of macro `{name}` has an error");
    }
    match nearest(name, collector.macros.iter().map(|item| &*item.name)) {
        Some(meant) => format!("did you mean `{meant}`?"),
        None => "define the macro in this file or in one that is loaded before it".to_owned(),
    }
}

/// The word that starts at a byte, or right after blanks there.
fn word_at(text: &str, at: usize) -> &str {
    let rest = text.get(at..).unwrap_or("").trim_start();
    let end = rest.find(|c: char| c.is_whitespace() || matches!(c, '(' | ')' | ',' | '"' | '\''));
    &rest[..end.unwrap_or(rest.len())]
}
