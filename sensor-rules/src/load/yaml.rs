//! The one module that knows a YAML library.
//!
//! Turns a file into small trees of [`Node`]s, one a document, each with its place and each scalar with
//! the text that was meant and how it was quoted. What a scalar means (number, boolean, null) is decided
//! where it is read, because Falco decides by the wanted type and not by YAML's schema.
//!
//! It behaves as yaml-cpp does where libraries differ: of duplicate keys the first counts, `<<` is an
//! ordinary key, and an unquoted `!=` (to YAML a tag) is the text `!=`.

use std::rc::Rc;

use granit_parser::{Parser, ScalarStyle, ScanError};

use super::limits::DEPTH_MAX;
use super::source::offset;

mod align;
mod build;

pub(crate) use align::scalar_text;
use build::Builder;

/// A place as YAML libraries count it: everything from 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Mark {
    /// Line, from 0.
    pub(crate) line: u32,
    /// Column in characters, from 0.
    pub(crate) column: u32,
    /// Byte.
    pub(crate) offset: u32,
}

/// One node of a document.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) mark: Mark,
    /// One past its last byte.
    pub(crate) end: u32,
    pub(crate) kind: Kind,
    /// Nodes in this one, itself included, aliases written out.
    size: u32,
}

/// What a node is.
#[derive(Debug)]
pub(crate) enum Kind {
    /// Nothing, `~` or an unquoted `null`.
    Null,
    Scalar(Scalar),
    Sequence(Vec<Rc<Node>>),
    Mapping(Vec<(Rc<Node>, Rc<Node>)>),
}

/// A scalar's text after folding and escapes.
#[derive(Debug)]
pub(crate) struct Scalar {
    pub(crate) text: Box<str>,
    pub(crate) style: ScalarStyle,
}

impl Node {
    /// The value of a key, the first where it is repeated. None too where this is no mapping.
    pub(crate) fn get(&self, key: &str) -> Option<&Node> {
        self.entries()
            .iter()
            .find(|(name, _)| name.as_str() == Some(key))
            .map(|(_, value)| &**value)
    }

    /// The entries of a mapping in order; empty for any other node.
    pub(crate) fn entries(&self) -> &[(Rc<Node>, Rc<Node>)] {
        match &self.kind {
            Kind::Mapping(entries) => entries,
            _ => &[],
        }
    }

    /// The text of a scalar.
    pub(crate) fn as_str(&self) -> Option<&str> {
        match &self.kind {
            Kind::Scalar(scalar) => Some(&scalar.text),
            _ => None,
        }
    }

    pub(crate) fn is_null(&self) -> bool {
        matches!(self.kind, Kind::Null)
    }

    pub(crate) fn is_mapping(&self) -> bool {
        matches!(self.kind, Kind::Mapping(_))
    }
}

/// A file that is not YAML, or too large to be a rule file.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{message}")]
pub(crate) struct YamlError {
    pub(crate) message: String,
    pub(crate) help: Option<&'static str>,
    pub(crate) mark: Mark,
}

/// Reads every document of a file.
pub(crate) fn documents(text: &str) -> Result<Vec<Rc<Node>>, YamlError> {
    let options = granit_parser::options! {
        emit_comments: false,
        flow_nesting_limit: DEPTH_MAX,
        block_nesting_limit: DEPTH_MAX,
    };
    let mut builder = Builder::default();
    for event in Parser::new_from_str_with_options(text, options) {
        let (event, span) = event.map_err(|error| syntax_error(&error))?;
        builder.event(text, event, span)?;
    }
    Ok(builder.documents)
}

fn syntax_error(error: &ScanError) -> YamlError {
    let mark = mark(error.marker());
    if error.info().starts_with("mapping values are not allowed") {
        // By far the most frequent mistake. Tools that read Falco's results know it by these words.
        let message = format!(
            "yaml-cpp: error at line {}, column {}: illegal map value",
            mark.line + 1,
            mark.column + 1
        );
        let help = "text that holds `: ` must be quoted";
        return YamlError {
            message,
            help: Some(help),
            mark,
        };
    }
    YamlError {
        message: error.info().clone(),
        help: None,
        mark,
    }
}

fn mark(marker: &granit_parser::Marker) -> Mark {
    Mark {
        line: offset(marker.line().saturating_sub(1)),
        column: offset(marker.col()),
        offset: offset(marker.byte_offset().unwrap_or_else(|| marker.index())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A short form of a tree: `null`, text in its quotes, `[..]`, `{..}`.
    fn show(node: &Node) -> String {
        match &node.kind {
            Kind::Null => "null".to_owned(),
            Kind::Scalar(scalar) => format!("{:?}", scalar.text),
            Kind::Sequence(items) => {
                format!(
                    "[{}]",
                    items.iter().map(|item| show(item)).collect::<Vec<_>>().join(" ")
                )
            }
            Kind::Mapping(entries) => {
                let pair = |(key, value): &(Rc<Node>, Rc<Node>)| format!("{}:{}", show(key), show(value));
                format!("{{{}}}", entries.iter().map(pair).collect::<Vec<_>>().join(" "))
            }
        }
    }

    #[test]
    fn reads_what_rule_files_hold() {
        for (name, text, expected) in [
            ("nothing", "", vec![]),
            ("only a comment", "# x\n", vec![]),
            (
                "several documents",
                "- a\n---\n- b\n...\n",
                vec![r#"["a"]"#, r#"["b"]"#],
            ),
            ("an empty document", "---\n---\n- b\n", vec!["null", r#"["b"]"#]),
            ("lone =", "[=, =]", vec![r#"["=" "="]"#]),
            ("!= is text", "[!=, x]", vec![r#"["!=" "x"]"#]),
            ("!= alone as a value", "c: !=", vec![r#"{"c":"!="}"#]),
            (
                "!= with a modifier",
                "[!= oneof, = anyof]",
                vec![r#"["!= oneof" "= anyof"]"#],
            ),
            (
                "the other tags are ignored",
                "[!!str null, !x y, ! ~]",
                vec![r#"["null" "y" "~"]"#],
            ),
            (
                "nulls",
                "[~, null, Null, NULL, 'null', nUll]",
                vec![r#"[null null null null "null" "nUll"]"#],
            ),
            (
                "folded, with a #",
                "a: >\n  x # y\n  z\n",
                vec![r#"{"a":"x # y z\n"}"#],
            ),
            ("plain, over lines", "a: x\n  y # c\n", vec![r#"{"a":"x y"}"#]),
            ("tab after a colon", "a:\tb\n", vec![r#"{"a":"b"}"#]),
            (
                "duplicate keys are kept",
                "a: 1\na: 2\n",
                vec![r#"{"a":"1" "a":"2"}"#],
            ),
            ("anchors", "- &x [a]\n- *x\n", vec![r#"[["a"] ["a"]]"#]),
            (
                "globs in a flow sequence",
                "[/tmp/*.sh, a:b, (l)]",
                vec![r#"["/tmp/*.sh" "a:b" "(l)"]"#],
            ),
        ] {
            let trees: Vec<_> = documents(text).unwrap().iter().map(|node| show(node)).collect();
            assert_eq!(trees, expected, "{name}");
        }
    }

    #[test]
    fn of_duplicate_keys_the_first_counts() {
        let trees = documents("a: 1\na: 2\n").unwrap();
        assert_eq!(trees[0].get("a").and_then(Node::as_str), Some("1"));
    }

    #[test]
    fn places_count_from_zero() {
        let trees = documents("- a: b\n  c: [d]\n").unwrap();
        let Kind::Sequence(items) = &trees[0].kind else {
            panic!("a sequence")
        };
        assert_eq!(
            items[0].mark,
            Mark {
                line: 0,
                column: 2,
                offset: 2
            }
        );
        assert_eq!(
            items[0].get("c").unwrap().mark,
            Mark {
                line: 1,
                column: 5,
                offset: 12
            }
        );
    }

    #[test]
    fn refuses_what_is_not_yaml_with_its_place() {
        for (name, text, line) in [
            ("second colon", "- a\n- b: c: d\n", 1),
            ("unclosed", "- [a\n", 0),
            ("unknown alias", "a: *b\n", 0),
            ("alias to its own parent", "&x [*x]\n", 0),
            ("comment inside a plain scalar", "k: a\n   b # c\n   d\n", 1),
        ] {
            let error = documents(text).expect_err(name);
            assert_eq!(error.mark.line, line, "{name}: {error}");
        }
    }

    #[test]
    fn bounds_depth_and_aliases() {
        assert!(documents(&"[".repeat(100_000)).is_err());
        assert!(documents(&"- ".repeat(100_000)).is_err());
        let mut bomb = "- &a0 [x]\n".to_owned();
        for level in 1..30 {
            let before = format!("*a{},", level - 1).repeat(9);
            bomb = format!("{bomb}- &a{level} [{before}]\n");
        }
        let error = documents(&bomb).expect_err("an alias bomb");
        assert!(error.message.contains("split the file"), "{error}");
    }
}
