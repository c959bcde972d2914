//! Reads the words of a condition.
//!
//! Falco has no tokens: what a word is depends on what may stand there (`a.b = in` compares with the text `in`). So
//! this is a cursor that is asked for one kind of word at a time, and stays where it is if there is none.

use crate::ast::Span;
use crate::error::{ConditionError, ErrorKind};

/// A place in the text of a condition.
#[derive(Clone, Debug)]
pub(crate) struct Cursor<'a> {
    text: &'a [u8],
    at: usize,
    /// The word that was read last, for "unexpected token after …".
    last: Span,
}

/// White space between words.
const fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | 0x08 | b'\n' | b'\r')
}

/// Whether a byte may stand in text without quotes.
pub(crate) const fn is_bare(byte: u8) -> bool {
    !matches!(byte, b'(' | b')' | b'"' | b'\'' | b'=' | b',' | 0x0b | 0x0c) && !is_blank(byte)
}

/// Whether a byte may stand in a bracket without quotes.
const fn is_bare_argument(byte: u8) -> bool {
    !matches!(byte, b'[' | b']' | b'"' | b'\'' | 0x0b | 0x0c) && !is_blank(byte)
}

impl<'a> Cursor<'a> {
    pub(crate) const fn new(text: &'a [u8]) -> Self {
        Self {
            text,
            at: 0,
            last: Span::new(0, 0),
        }
    }

    pub(crate) const fn position(&self) -> usize {
        self.at
    }

    pub(crate) const fn at_end(&self) -> bool {
        self.at == self.text.len()
    }

    /// The word read last, as text.
    pub(crate) fn last_word(&self) -> String {
        String::from_utf8_lossy(&self.text[self.last.start..self.last.end]).into_owned()
    }

    /// The span of the next word, or of the end, for an error that complains of it.
    pub(crate) fn here(&self) -> Span {
        let rest = &self.text[self.at..];
        let bytes = rest.iter().take_while(|byte| is_bare(**byte)).count();
        Span::new(self.at, self.at + bytes.max(usize::from(!rest.is_empty())))
    }

    pub(crate) const fn since(&self, start: usize) -> Span {
        Span::new(start, self.at)
    }

    fn rest(&self) -> &'a [u8] {
        &self.text[self.at..]
    }

    fn take(&mut self, bytes: usize) -> &'a [u8] {
        let word = &self.text[self.at..self.at + bytes];
        self.last = Span::new(self.at, self.at + bytes);
        self.at += bytes;
        word
    }

    /// Skips white space and tells whether there was any.
    pub(crate) fn blank(&mut self) -> bool {
        let bytes = self.rest().iter().take_while(|byte| is_blank(**byte)).count();
        self.at += bytes;
        bytes > 0
    }

    /// Reads exactly `word`.
    pub(crate) fn exact(&mut self, word: &str) -> bool {
        let found = self.rest().starts_with(word.as_bytes());
        if found {
            self.take(word.len());
        }
        found
    }

    /// Reads `word` if white space follows it.
    pub(crate) fn exact_then_blank(&mut self, word: &str) -> bool {
        let found = self.rest().starts_with(word.as_bytes())
            && self.rest().get(word.len()).is_some_and(|byte| is_blank(*byte));
        if found {
            self.take(word.len());
        }
        found
    }

    /// Reads `word` if white space or an opening parenthesis follows it.
    pub(crate) fn keyword(&mut self, word: &str) -> bool {
        let found = self.rest().starts_with(word.as_bytes())
            && self
                .rest()
                .get(word.len())
                .is_some_and(|byte| is_blank(*byte) || *byte == b'(');
        if found {
            self.take(word.len());
        }
        found
    }

    fn identifier_bytes(rest: &[u8]) -> usize {
        if !rest.first().is_some_and(u8::is_ascii_alphabetic) {
            return 0;
        }
        rest.iter()
            .take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b'_')
            .count()
    }

    /// Reads a name without dots.
    pub(crate) fn identifier(&mut self) -> Option<&'a str> {
        let bytes = Self::identifier_bytes(self.rest());
        (bytes > 0).then(|| ascii(self.take(bytes)))
    }

    /// Reads a name with at least one dot.
    pub(crate) fn dotted(&mut self) -> Option<&'a str> {
        let rest = self.rest();
        let mut bytes = Self::identifier_bytes(rest);
        let first = bytes;
        while bytes > 0 && rest.get(bytes) == Some(&b'.') {
            match Self::identifier_bytes(&rest[bytes + 1..]) {
                0 => break,
                more => bytes += 1 + more,
            }
        }
        (bytes > first).then(|| ascii(self.take(bytes)))
    }

    /// Reads text without quotes.
    pub(crate) fn bare(&mut self) -> Option<&'a [u8]> {
        let bytes = self.rest().iter().take_while(|byte| is_bare(**byte)).count();
        (bytes > 0).then(|| self.take(bytes))
    }

    /// Reads what may stand in a bracket without quotes.
    pub(crate) fn bare_argument(&mut self) -> Option<&'a [u8]> {
        let bytes = self
            .rest()
            .iter()
            .take_while(|byte| is_bare_argument(**byte))
            .count();
        (bytes > 0).then(|| self.take(bytes))
    }

    /// Reads a number: hexadecimal, or decimal with fraction and signed exponent.
    pub(crate) fn number(&mut self) -> Option<&'a [u8]> {
        let rest = self.rest();
        let digits = |from: usize| {
            rest[from..]
                .iter()
                .take_while(|byte| byte.is_ascii_digit())
                .count()
        };
        if rest.len() > 2 && rest[0] == b'0' && matches!(rest[1], b'x' | b'X') {
            let hex = rest[2..]
                .iter()
                .take_while(|byte| byte.is_ascii_hexdigit())
                .count();
            if hex > 0 {
                return Some(self.take(2 + hex));
            }
        }
        let sign = usize::from(matches!(rest.first(), Some(b'+' | b'-')));
        let whole = digits(sign);
        if whole == 0 {
            return None;
        }
        let mut bytes = sign + whole;
        if rest.get(bytes) == Some(&b'.') {
            bytes += 1;
            bytes += digits(bytes);
        }
        if matches!(rest.get(bytes), Some(b'e' | b'E')) && matches!(rest.get(bytes + 1), Some(b'+' | b'-')) {
            let exponent = digits(bytes + 2);
            if exponent > 0 {
                bytes += 2 + exponent;
            }
        }
        Some(self.take(bytes))
    }

    /// Reads text in quotes and resolves its escapes. An unterminated quote is no quoted text.
    ///
    /// The text ends at the first quote that no backslash precedes, even where that backslash is itself escaped, as
    /// in Falco: a final backslash must be written `\x5c`.
    pub(crate) fn quoted(&mut self) -> Result<Option<Vec<u8>>, ConditionError> {
        let Some(quote @ (b'"' | b'\'')) = self.rest().first().copied() else {
            return Ok(None);
        };
        let rest = self.rest();
        let closes = |at: &usize| rest[*at] == quote && (*at == 1 || rest[*at - 1] != b'\\');
        let Some(end) = (1..rest.len()).find(closes) else {
            return Ok(None);
        };
        let mut value = Vec::with_capacity(end - 1);
        let mut at = 1;
        while at < end {
            if rest[at] != b'\\' {
                value.push(rest[at]);
                at += 1;
                continue;
            }
            let Some((resolved, bytes)) = escape(&rest[at..end], quote) else {
                let span = Span::new(self.at + at, self.at + at + 2);
                let message = format!(
                    "unknown escape in quoted text: use \\b \\f \\n \\r \\t \\\\ \\/ \\{} or \\xHH",
                    char::from(quote)
                );
                return Err(ConditionError::new(ErrorKind::Syntax, span, message));
            };
            value.push(resolved);
            at += bytes;
        }
        self.take(end + 1);
        Ok(Some(value))
    }
}

/// The byte that the escape at the start of `text` stands for, and the escape's length.
fn escape(text: &[u8], quote: u8) -> Option<(u8, usize)> {
    match text.get(1).copied()? {
        b'b' => Some((0x08, 2)),
        b'f' => Some((0x0c, 2)),
        b'n' => Some((b'\n', 2)),
        b'r' => Some((b'\r', 2)),
        b't' => Some((b'\t', 2)),
        b'/' => Some((b'/', 2)),
        // As in Falco: a backslash before a blank stays and the blank goes.
        b'\\' | b' ' => Some((b'\\', 2)),
        b'x' => {
            let digits = text
                .get(2..4)
                .filter(|digits| digits.iter().all(u8::is_ascii_hexdigit))?;
            u8::from_str_radix(ascii(digits), 16).ok().map(|byte| (byte, 4))
        }
        delimiter if delimiter == quote => Some((quote, 2)),
        _ => None,
    }
}

/// The text of bytes that were read as ASCII.
fn ascii(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap_or_default()
}
