//! The one module that knows a YAML library.
//!
//! Turns a file into small trees of [`Node`]s, one a document, each with its place and each scalar with
//! the text that was meant and how it was quoted. What a scalar means (number, boolean, null) is decided
//! where it is read, because Falco decides by the wanted type and not by YAML's schema.
//!
//! It behaves as yaml-cpp does where libraries differ: of duplicate keys the first counts, `<<` is an
//! ordinary key, and an unquoted `!=` (to YAML a tag) is the text `!=`.

use std::collections::HashMap;
use std::rc::Rc;

use granit_parser::{Event, Parser, ScalarStyle, ScanError, Tag};

use super::limits::{DEPTH_MAX, NODES_MAX};
use super::source::offset;

mod align;

pub(crate) use align::scalar_text;

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
    YamlError {
        message: error.info().to_owned(),
        mark: mark(error.marker()),
    }
}

fn mark(marker: &granit_parser::Marker) -> Mark {
    Mark {
        line: offset(marker.line().saturating_sub(1)),
        column: offset(marker.col()),
        offset: offset(marker.byte_offset().unwrap_or_else(|| marker.index())),
    }
}

/// A collection whose end has not been seen.
struct Open {
    mark: Mark,
    anchor: usize,
    size: u32,
    kind: OpenKind,
}

enum OpenKind {
    Sequence(Vec<Rc<Node>>),
    Mapping {
        entries: Vec<(Rc<Node>, Rc<Node>)>,
        key: Option<Rc<Node>>,
    },
}

#[derive(Default)]
struct Builder {
    documents: Vec<Rc<Node>>,
    open: Vec<Open>,
    anchors: HashMap<usize, Rc<Node>>,
    nodes: u32,
}

impl Builder {
    fn event(&mut self, text: &str, event: Event<'_>, span: granit_parser::Span) -> Result<(), YamlError> {
        let start = mark(&span.start);
        let end = mark(&span.end);
        match event {
            Event::Scalar(value, style, anchor, tag) => {
                let (kind, start) = scalar(text, &value, style, tag.as_deref(), &span);
                let node = Node {
                    mark: start,
                    end: end.offset,
                    kind,
                    size: 1,
                };
                self.finish(node, anchor)
            }
            Event::SequenceStart(_, anchor, _) => {
                self.open(start, anchor, OpenKind::Sequence(Vec::new()));
                Ok(())
            }
            Event::MappingStart(_, anchor, _) => {
                self.open(
                    start,
                    anchor,
                    OpenKind::Mapping {
                        entries: Vec::new(),
                        key: None,
                    },
                );
                Ok(())
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(end.offset),
            Event::Alias(anchor) => {
                let Some(node) = self.anchors.get(&anchor).cloned() else {
                    let message = "alias to a value that contains the alias itself".to_owned();
                    return Err(YamlError { message, mark: start });
                };
                self.add(node, start)
            }
            Event::DocumentEnd => {
                self.anchors.clear();
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn open(&mut self, mark: Mark, anchor: usize, kind: OpenKind) {
        self.open.push(Open {
            mark,
            anchor,
            size: 1,
            kind,
        });
    }

    fn close(&mut self, end: u32) -> Result<(), YamlError> {
        let Some(open) = self.open.pop() else {
            return Ok(());
        };
        let kind = match open.kind {
            OpenKind::Sequence(items) => Kind::Sequence(items),
            OpenKind::Mapping { entries, .. } => Kind::Mapping(entries),
        };
        // The children are counted already; `finish` counts this node alone.
        let node = Node {
            mark: open.mark,
            end,
            kind,
            size: open.size,
        };
        self.count(1, open.mark)?;
        self.place(Rc::new(node), open.anchor);
        Ok(())
    }

    fn finish(&mut self, node: Node, anchor: usize) -> Result<(), YamlError> {
        self.count(node.size, node.mark)?;
        self.place(Rc::new(node), anchor);
        Ok(())
    }

    fn add(&mut self, node: Rc<Node>, at: Mark) -> Result<(), YamlError> {
        self.count(node.size, at)?;
        self.place(node, 0);
        Ok(())
    }

    fn count(&mut self, size: u32, at: Mark) -> Result<(), YamlError> {
        self.nodes = self.nodes.saturating_add(size);
        if self.nodes > NODES_MAX {
            let message = format!("more than {NODES_MAX} YAML values, aliases written out; split the file");
            return Err(YamlError { message, mark: at });
        }
        Ok(())
    }

    /// Puts a finished node where it belongs: into the open collection, or as a document.
    fn place(&mut self, node: Rc<Node>, anchor: usize) {
        if anchor != 0 {
            self.anchors.insert(anchor, Rc::clone(&node));
        }
        let Some(parent) = self.open.last_mut() else {
            self.documents.push(node);
            return;
        };
        parent.size = parent.size.saturating_add(node.size);
        match &mut parent.kind {
            OpenKind::Sequence(items) => items.push(node),
            OpenKind::Mapping { entries, key } => match key.take() {
                None => *key = Some(node),
                Some(key) => entries.push((key, node)),
            },
        }
    }
}

/// Reads one scalar, and where it starts.
fn scalar(
    text: &str,
    value: &str,
    style: ScalarStyle,
    tag: Option<&Tag>,
    span: &granit_parser::Span,
) -> (Kind, Mark) {
    let start = mark(&span.start);
    let tag_start = span.tag_start().map(|at| mark(&at));
    if let (Some(tag), Some(from), ScalarStyle::Plain) = (tag, tag_start, style)
        && tag.original() == "!="
    {
        // `!=` and `!= oneof`: comparison operators, which YAML takes for a tag.
        let whole = text
            .get(from.offset as usize..span.end.byte_offset().unwrap_or(0))
            .unwrap_or("!=");
        return (
            Kind::Scalar(Scalar {
                text: whole.trim_end().into(),
                style,
            }),
            from,
        );
    }
    let forced_text = tag.is_some_and(|tag| tag.original() == "!" || tag.is_yaml_core_schema_tag("str"));
    let is_null =
        style == ScalarStyle::Plain && !forced_text && matches!(value, "" | "~" | "null" | "Null" | "NULL");
    if is_null {
        return (Kind::Null, start);
    }
    (
        Kind::Scalar(Scalar {
            text: value.into(),
            style,
        }),
        start,
    )
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
            bomb += &format!("- &a{level} [{before}]\n");
        }
        let error = documents(&bomb).expect_err("an alias bomb");
        assert!(error.message.contains("split the file"), "{error}");
    }
}
