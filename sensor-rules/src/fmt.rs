//! Formats rule files: the layout of conditions and blanks that say nothing, and nothing else.
//!
//! It edits lines of text, so that comments, quotes and the order of everything stay as they are. Trailing blanks go, and
//! so do blank lines beyond one; the lines of a condition are laid out as [`layout`] says.
//!
//! Invariant: [`format`] reads the file before and after, and gives no text unless both say the same: equal in
//! everything, conditions word by word.

mod layout;
mod words;

use std::rc::Rc;

use self::layout::condition;
use self::words::same_words;
use crate::load::yaml::{Kind, Node, documents};

/// Why a file is not formatted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FormatError {
    /// It is not YAML.
    #[error("line {line}: {message}; `sensor rules check` shows the place")]
    Yaml {
        /// The line, from 1.
        line: u32,
        /// What is wrong.
        message: String,
    },
    /// Its text is laid out in a way that cannot be formatted by lines.
    #[error("formatting would change what the file says, so it is left as it is")]
    WouldChange,
}

/// Formats the text of a rule file.
///
/// # Errors
/// When the text is not YAML, or formatting it by lines would change its meaning.
pub fn format(text: &str) -> Result<String, FormatError> {
    let before = read(text)?;
    let formatted = lines(text);
    let after = read(&formatted).map_err(|_| FormatError::WouldChange)?;
    let is_same = before.len() == after.len() && before.iter().zip(&after).all(|(a, b)| same(a, b, false));
    if is_same {
        Ok(formatted)
    } else {
        Err(FormatError::WouldChange)
    }
}

fn read(text: &str) -> Result<Vec<Rc<Node>>, FormatError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    documents(text).map_err(|error| FormatError::Yaml {
        line: error.mark.line + 1,
        message: error.message,
    })
}

/// Whether two nodes say the same; the text of a condition is compared by its words.
fn same(a: &Node, b: &Node, is_condition: bool) -> bool {
    match (&a.kind, &b.kind) {
        (Kind::Null, Kind::Null) => true,
        (Kind::Scalar(a), Kind::Scalar(b)) => {
            a.style == b.style && (a.text == b.text || (is_condition && same_words(&a.text, &b.text)))
        }
        (Kind::Sequence(a), Kind::Sequence(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b, false))
        }
        (Kind::Mapping(a), Kind::Mapping(b)) => {
            let pairs = || a.iter().zip(b);
            a.len() == b.len()
                && pairs().all(|((key_a, a), (key_b, b))| {
                    same(key_a, key_b, false) && same(a, b, key_a.as_str() == Some("condition"))
                })
        }
        _ => false,
    }
}

/// How a block of text (`>` or `|`) begins.
struct Header {
    /// Blanks before the key.
    indent: usize,
    is_condition: bool,
}

/// The header of a block that a line begins, unless it fixes the block's indentation.
fn header(line: &str) -> Option<Header> {
    let mut rest = line.trim_start();
    while let Some(item) = rest.strip_prefix("- ") {
        rest = item.trim_start();
    }
    let indent = line.len() - rest.len();
    let (key, value) = rest.split_once(':')?;
    let value = value.trim();
    matches!(value, ">" | ">-" | ">+" | "|" | "|-" | "|+").then_some(Header {
        indent,
        is_condition: key == "condition",
    })
}

fn indent_of(line: &str) -> usize {
    line.len() - line.trim_start_matches(' ').len()
}

fn lines(text: &str) -> String {
    let all: Vec<&str> = text.lines().collect();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while at < all.len() {
        let line = all[at];
        // At most one blank line in a row, and none at the start.
        if !line.trim().is_empty() || !(out.is_empty() || out.ends_with("\n\n")) {
            push(&mut out, line.trim_end());
        }
        at += 1;
        let Some(header) = header(line) else { continue };
        let block = block(&all[at..], header.indent);
        at += block.len();
        match header.is_condition.then(|| condition(block)).flatten() {
            Some(lines) => lines.iter().for_each(|line| push(&mut out, line)),
            // Blanks are text here, and so are blank lines.
            None => block.iter().for_each(|line| push(&mut out, line)),
        }
    }
    while out.ends_with("\n\n") {
        out.pop();
    }
    out
}

fn push(out: &mut String, line: &str) {
    out.push_str(line);
    out.push('\n');
}

/// The lines of a block below a key; blank ones after it are the file's.
fn block<'a, 'b>(below: &'a [&'b str], indent: usize) -> &'a [&'b str] {
    let is_inside = |line: &&&str| line.trim().is_empty() || indent_of(line) > indent;
    let mut length = below.iter().take_while(is_inside).count();
    while length > 0 && below[length - 1].trim().is_empty() {
        length -= 1;
    }
    &below[..length]
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    #[test]
    fn lines_stay_broken_where_the_author_broke_them_and_comments_stay() {
        let text = "\n# About   \n\n\n- rule: R   # name\n  desc: >\n    two  \n\n    lines\n  condition: >\n    evt.type = open   and\n    fd.name = \"a  and  b\"   and (x or\n       y   or z)\n\n\n    or (u\n        or v)\n  output: o\t\n\n\n";
        expect![[r#"
            # About

            - rule: R   # name
              desc: >
                two  

                lines
              condition: >
                evt.type = open
                and fd.name = "a  and  b" and (x or
                   y or z)

                or (u
                    or v)
              output: o
        "#]]
        .assert_eq(&format(text).unwrap());
    }

    #[test]
    fn formatting_again_changes_nothing() {
        let long = "proc.name in (aaaaaaaaaaaaaaaa, bbbbbbbbbbbbbbbbbbbbbbbbb, cccccccccccccccccccccccccc, ddddddddddddddddddd, eeeeeeeee)";
        let text = format!("- macro: m\n  condition: |\n    {long} and ({long} or {long})\n");
        let once = format(&text).unwrap();
        assert!(
            once.lines().all(|line| line.len() <= layout::LINE_CHARS_MAX),
            "{once}"
        );
        assert_eq!(format(&once).unwrap(), once);
    }

    #[test]
    fn what_is_too_long_is_broken_at_its_outermost_operators() {
        let name = "a.b = ccccccccccccccccccccccccccccccccccc";
        let text =
            format!("- macro: m\n  condition: >\n    {name} and ({name} or {name} or {name}) and {name}\n");
        expect![[r"
            - macro: m
              condition: >
                a.b = ccccccccccccccccccccccccccccccccccc
                and (a.b = ccccccccccccccccccccccccccccccccccc
                  or a.b = ccccccccccccccccccccccccccccccccccc
                  or a.b = ccccccccccccccccccccccccccccccccccc)
                and a.b = ccccccccccccccccccccccccccccccccccc
        "]]
        .assert_eq(&format(&text).unwrap());
    }

    #[test]
    fn what_cannot_be_told_apart_is_left_alone() {
        for text in [
            "- macro: m\n  condition: |\n    a = \"b\n    c\"\n",
            "- macro: m\n  condition: >2\n     a   =  b\n",
            "- macro: m\n  condition: a   =   b\n",
        ] {
            assert_eq!(format(text).unwrap(), text);
        }
    }

    #[test]
    fn a_text_that_only_looks_like_a_condition_is_refused() {
        let text = "- rule: R\n  desc: >2\n    condition: >\n      a   b\n";
        assert_eq!(format(text), Err(FormatError::WouldChange));
        assert!(matches!(format("- [a\n"), Err(FormatError::Yaml { line: 1, .. })));
    }
}
