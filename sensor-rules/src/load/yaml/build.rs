//! Builds trees out of a parser's events.

use std::collections::HashMap;
use std::rc::Rc;

use granit_parser::{Event, ScalarStyle, Tag};

use super::{Kind, Node, Scalar, YamlError, mark};
use crate::load::limits::NODES_MAX;
use crate::load::yaml::Mark;

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

/// Puts nodes together from the parser's events.
#[derive(Default)]
pub(super) struct Builder {
    pub(super) documents: Vec<Rc<Node>>,
    open: Vec<Open>,
    anchors: HashMap<usize, Rc<Node>>,
    nodes: u32,
}

impl Builder {
    /// Takes the next event.
    pub(super) fn event(
        &mut self,
        text: &str,
        event: Event<'_>,
        span: granit_parser::Span,
    ) -> Result<(), YamlError> {
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
                    return Err(YamlError {
                        message,
                        help: None,
                        mark: start,
                    });
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
            return Err(YamlError {
                message,
                help: None,
                mark: at,
            });
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
