//! Regular expressions as Falco reads them: RE2 in its POSIX-egrep mode, matching the whole text.

use regex::{Regex, RegexBuilder};

use crate::limits::REGEX_BYTES_MAX;

/// Why a pattern cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RegexError {
    #[error("`\\{0}` is not supported: use a bracket expression such as `[0-9]` or `[[:alpha:]]`")]
    Escape(char),
    #[error("`(?` is not supported: use plain groups")]
    Group,
    #[error("the pattern ends in a backslash")]
    Backslash,
    #[error("{0}")]
    Invalid(String),
}

/// Compiles a pattern that must match the whole text.
pub(crate) fn compile_regex(pattern: &[u8]) -> Result<Regex, RegexError> {
    let pattern = std::str::from_utf8(pattern)
        .map_err(|_| RegexError::Invalid("the pattern is not UTF-8".to_owned()))?;
    let translated = translate(pattern)?;
    // RE2 gives `^` and `$` the ends of lines in this mode.
    RegexBuilder::new(&format!("\\A(?m:{translated})\\z"))
        .size_limit(REGEX_BYTES_MAX)
        .dfa_size_limit(REGEX_BYTES_MAX)
        .build()
        .map_err(|error| RegexError::Invalid(reason(&error)))
}

/// The last line of the error: the others draw the translated pattern, which the user did not write.
fn reason(error: &regex::Error) -> String {
    let text = error.to_string();
    let last = text.lines().last().unwrap_or_default();
    last.trim_start_matches("error: ").to_owned()
}

/// Rewrites what the two languages read differently: only punctuation may be escaped, a brace that is no repetition
/// and a bracket inside a bracket expression stand for themselves.
fn translate(pattern: &str) -> Result<String, RegexError> {
    let mut translated = String::with_capacity(pattern.len() + 8);
    let mut rest = pattern;
    while let Some(first) = rest.chars().next() {
        let mut used = first.len_utf8();
        match first {
            '\\' => used = escape(rest, &mut translated)?,
            '(' if rest.starts_with("(?") => return Err(RegexError::Group),
            '[' => used = bracket(rest, &mut translated)?,
            '{' if !is_repetition(rest) => translated.push_str("\\{"),
            other => translated.push(other),
        }
        rest = &rest[used..];
    }
    Ok(translated)
}

/// Copies the escape at the start of `text` and tells its length.
fn escape(text: &str, translated: &mut String) -> Result<usize, RegexError> {
    let escaped = text[1..].chars().next().ok_or(RegexError::Backslash)?;
    match escaped {
        'a' | 'f' | 'n' | 'r' | 't' | 'v' | 'x' => {
            translated.push('\\');
            translated.push(escaped);
        }
        // Escaped angle brackets are word boundaries in the regex crate.
        '<' | '>' => translated.push(escaped),
        punctuation if punctuation.is_ascii_punctuation() => {
            translated.push('\\');
            translated.push(punctuation);
        }
        other => return Err(RegexError::Escape(other)),
    }
    Ok(1 + escaped.len_utf8())
}

/// Copies the bracket expression at the start of `text` and tells its length.
fn bracket(text: &str, translated: &mut String) -> Result<usize, RegexError> {
    translated.push('[');
    let mut at = 1;
    if text[at..].starts_with('^') {
        translated.push('^');
        at += 1;
    }
    let mut first = true;
    while let Some(character) = text[at..].chars().next() {
        match character {
            ']' if !first => {
                translated.push(']');
                return Ok(at + 1);
            }
            '\\' => at += escape(&text[at..], translated)?,
            '[' if text[at..].starts_with("[:") => {
                let class = text[at..].find(":]").map_or(text.len(), |end| at + end + 2);
                translated.push_str(&text[at..class]);
                at = class;
            }
            // Nested sets and set operations are the regex crate's alone.
            ']' | '[' | '&' | '~' => {
                translated.push('\\');
                translated.push(character);
                at += 1;
            }
            other => {
                translated.push(other);
                at += other.len_utf8();
            }
        }
        first = false;
    }
    Ok(at)
}

/// Whether `text` starts with `{n}`, `{n,}` or `{n,m}`.
fn is_repetition(text: &str) -> bool {
    let Some(end) = text.find('}') else { return false };
    let (low, high) = text[1..end].split_once(',').unwrap_or((&text[1..end], ""));
    !low.is_empty() && low.bytes().chain(high.bytes()).all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_the_whole_text() {
        let cases: &[(&str, &str, bool)] = &[
            ("^[s]{1}ysca[l]{2}$", "syscall", true),
            ("yscal.*", "syscall", false),
            (".*yscal", "syscall", false),
            ("", "<NA>", false),
            ("a|b", "b", true),
            ("a|b", "ab", false),
            ("[[:digit:]]+", "123", true),
            ("[a[b]+", "[ab", true),
            ("[]a]+", "]a", true),
            ("a{", "a{", true),
            ("a{1,2}", "aa", true),
            ("\\<x\\>", "<x>", true),
            ("[a&&b]+", "&a", true),
            ("/p./q.", "/p\u{fffd}/q\u{fffd}", true),
        ];
        for (pattern, text, expected) in cases {
            let found = compile_regex(pattern.as_bytes()).map(|regex| regex.is_match(text));
            assert_eq!(found, Ok(*expected), "{pattern} {text}");
        }
    }

    #[test]
    fn what_egrep_mode_lacks_is_refused() {
        for pattern in [
            "\\d", "\\w+", "a\\s", "\\bx", "(?i)x", "(?:x)", "a\\", "[\\d]", "(", "*a", "\\1",
        ] {
            assert!(compile_regex(pattern.as_bytes()).is_err(), "{pattern}");
        }
    }

    #[test]
    fn a_pattern_that_would_grow_too_large_is_refused() {
        assert!(compile_regex(b"((a{100}){100}){100}").is_err());
    }
}
