//! Keeps text from an attacker harmless in a log, a terminal and a line-based tool.
//!
//! JSON itself only asks that U+0000 to U+001F are escaped. Terminals also obey the C1 controls
//! (U+009B starts a control sequence), many tools break lines at U+0085, U+2028 and U+2029, and the
//! bidirectional controls make a line read as something else. All of them are written as `\uXXXX`.

use std::io;

use serde_json::ser::{CharEscape, Formatter};

/// Whether the character must not reach a terminal or a log as it is.
fn is_unsafe(character: char) -> bool {
    matches!(
        character,
        '\u{0}'..='\u{1f}'
            | '\u{7f}'..='\u{9f}'
            | '\u{61c}'
            | '\u{200e}' | '\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2066}'..='\u{2069}'
            | '\u{feff}'
    )
}

/// Writes `text`, in which JSON's own escapes are done already, with unsafe characters as `\uXXXX`.
fn write_fragment<W: ?Sized + io::Write>(writer: &mut W, text: &str) -> io::Result<()> {
    let mut rest = text;
    while let Some((at, character)) = rest.char_indices().find(|(_, character)| is_unsafe(*character)) {
        writer.write_all(&rest.as_bytes()[..at])?;
        write!(writer, "\\u{:04x}", u32::from(character))?;
        rest = &rest[at + character.len_utf8()..];
    }
    writer.write_all(rest.as_bytes())
}

/// Compact JSON in which every unsafe character is escaped.
pub(super) struct SafeFormatter;

impl Formatter for SafeFormatter {
    fn write_string_fragment<W: ?Sized + io::Write>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        if fragment.is_ascii() && !fragment.as_bytes().contains(&0x7f) {
            return writer.write_all(fragment.as_bytes());
        }
        write_fragment(writer, fragment)
    }
}

/// Writes text as Falco's text format has it: as in a JSON string, without the quotes around it. Unlike
/// there, quotes and slashes stay as they are, for they do no harm and people copy commands from here.
pub(super) fn write_plain<W: ?Sized + io::Write>(writer: &mut W, text: &str) -> io::Result<()> {
    let mut rest = text;
    while let Some(at) = rest.find(|character| character == '\\' || is_unsafe(character)) {
        writer.write_all(&rest.as_bytes()[..at])?;
        let length = rest[at..].chars().next().map_or(1, char::len_utf8);
        let character = &rest[at..at + length];
        let escape = match character {
            "\\" => Some(CharEscape::ReverseSolidus),
            "\n" => Some(CharEscape::LineFeed),
            "\r" => Some(CharEscape::CarriageReturn),
            "\t" => Some(CharEscape::Tab),
            _ => None,
        };
        match escape {
            Some(escape) => SafeFormatter.write_char_escape(writer, escape)?,
            None => write_fragment(writer, character)?,
        }
        rest = &rest[at + length..];
    }
    writer.write_all(rest.as_bytes())
}
