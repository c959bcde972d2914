//! From a scalar's meaning back to its bytes.
//!
//! Folding, indentation and escapes make a scalar's text differ from the file's. All that YAML changes is
//! white space, doubled quotes and backslash escapes, so walking text and source together finds for each
//! character the bytes it came from.

use granit_parser::ScalarStyle;

use super::{Node, Scalar};
use crate::load::source::{FileId, Span, Text, offset};

/// The text of a scalar with the place of each of its characters.
pub(crate) fn scalar_text(source: &str, file: FileId, node: &Node, scalar: &Scalar) -> Text {
    let (start, end) = (node.mark.offset as usize, node.end as usize);
    let raw = source.get(start..end).unwrap_or("");
    if raw == &*scalar.text {
        let mut text = Text::default();
        text.push_exact(&scalar.text, file, node.mark.offset);
        return text;
    }
    let mut walk = Walk {
        raw,
        at: 0,
        file,
        start: node.mark.offset,
        style: scalar.style,
    };
    if matches!(
        scalar.style,
        ScalarStyle::SingleQuoted | ScalarStyle::DoubleQuoted
    ) {
        walk.at = 1;
    }
    let mut text = Text::default();
    for (at, character) in scalar.text.char_indices() {
        walk.step(&mut text, &scalar.text[at..at + character.len_utf8()], character);
    }
    text
}

struct Walk<'a> {
    raw: &'a str,
    at: usize,
    file: FileId,
    start: u32,
    style: ScalarStyle,
}

impl Walk<'_> {
    /// Appends one character, with the bytes it came from.
    fn step(&mut self, text: &mut Text, piece: &str, character: char) {
        let blank = matches!(character, ' ' | '\n' | '\t' | '\r');
        if !blank {
            self.skip_blank();
        }
        let from = self.at;
        if self.raw[from..].starts_with(character) {
            self.at += character.len_utf8();
            if character == '\'' && self.style == ScalarStyle::SingleQuoted {
                // Written twice in the file.
                self.at = (self.at + 1).min(self.raw.len());
            }
            text.push_exact(piece, self.file, self.start + offset(from));
            return;
        }
        if self.style == ScalarStyle::DoubleQuoted && self.raw[from..].starts_with('\\') {
            self.at = from + escape_len(&self.raw[from..]);
        } else if blank {
            // A folded line break: the break and the indentation behind it.
            self.skip_blank();
        }
        let (start, end) = (self.start + offset(from), self.start + offset(self.at));
        text.push_for(
            piece,
            Span {
                file: self.file,
                start,
                end,
            },
        );
    }

    /// Passes over white space and escaped line breaks, which only lay out the file.
    fn skip_blank(&mut self) {
        loop {
            let rest = &self.raw[self.at..];
            let trimmed = rest.trim_start_matches([' ', '\n', '\t', '\r']);
            self.at += rest.len() - trimmed.len();
            let continues = self.style == ScalarStyle::DoubleQuoted
                && (trimmed.starts_with("\\\n") || trimmed.starts_with("\\\r"));
            if !continues {
                return;
            }
            self.at += 1;
        }
    }
}

/// How many bytes the escape at the start of `raw` takes.
fn escape_len(raw: &str) -> usize {
    let mut characters = raw.chars().skip(1);
    let digits = match characters.next() {
        Some('x') => 2,
        Some('u') => 4,
        Some('U') => 8,
        Some(other) => return 1 + other.len_utf8(),
        None => return raw.len(),
    };
    let wanted = 2 + digits;
    if raw.is_char_boundary(wanted.min(raw.len())) {
        wanted.min(raw.len())
    } else {
        raw.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::yaml::{Kind, documents};

    /// The text of key `a`, and the source of each word of it.
    fn check(source: &str, text: &str, words: &[(&str, &str)]) {
        let trees = documents(source).unwrap();
        let node = trees[0].get("a").unwrap();
        let Kind::Scalar(scalar) = &node.kind else {
            panic!("a scalar: {source}")
        };
        let mapped = scalar_text(source, FileId(0), node, scalar);
        assert_eq!(mapped.as_str(), text, "{source}");
        for (word, bytes) in words {
            let at = text.find(word).unwrap();
            let span = mapped.locate(at..at + word.len()).unwrap();
            assert_eq!(
                &source[span.start as usize..span.end as usize],
                *bytes,
                "{word} of {source}"
            );
        }
    }

    #[test]
    fn finds_the_bytes_of_each_word() {
        check("a: foo bar\n", "foo bar", &[("foo", "foo"), ("bar", "bar")]);
        check(
            "a: foo\n   bar\n\n   baz\n",
            "foo bar\nbaz",
            &[("bar", "bar"), ("baz", "baz")],
        );
        check(
            "a: >\n  foo\n   in\n  bar\n",
            "foo\n in\nbar\n",
            &[("foo", "foo"), ("in", "in"), ("bar", "bar")],
        );
        check("a: |-\n  foo\n  bar\n", "foo\nbar", &[("bar", "bar")]);
        check("a: 'it''s\n  b'\n", "it's b", &[("it's", "it''s"), ("b", "b")]);
        check(
            "a: \"x\\n \\u00e9y\n   z\\\n  w\"\n",
            "x\n éy zw",
            &[("é", "\\u00e9"), ("y", "y"), ("w", "w")],
        );
        check("a: \"\\\"q\\\" r\"\n", "\"q\" r", &[("q", "q"), ("r", "r")]);
        check(
            "a: \"\\x\u{e9}\"\n".replace('\u{e9}', "41").as_str(),
            "A",
            &[("A", "\\x41")],
        );
        check("a: é ü\n", "é ü", &[("ü", "ü")]);
    }
}
