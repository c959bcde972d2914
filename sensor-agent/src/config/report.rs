//! Shows what is wrong with a configuration the way a compiler does.

use std::fmt;

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};

use super::read::Fault;
use super::tree::Source;

/// Everything that is wrong with a configuration, with the texts that it was read from.
///
/// Shown without colours by `Display`, with them by [`ConfigErrors::render`].
#[derive(Debug)]
pub struct ConfigErrors {
    sources: Vec<Source>,
    faults: Vec<Fault>,
}

impl ConfigErrors {
    pub(super) fn new(sources: Vec<Source>, mut faults: Vec<Fault>) -> Self {
        faults.sort_by_key(|fault| fault.place.map(|place| (place.source, place.start)));
        Self { sources, faults }
    }

    /// How many things are wrong.
    #[must_use]
    pub fn count(&self) -> usize {
        self.faults.len()
    }

    /// All of it as annotated source text, coloured for a terminal if wanted.
    #[must_use]
    pub fn render(&self, coloured: bool) -> String {
        let renderer = if coloured {
            Renderer::styled()
        } else {
            Renderer::plain()
        };
        let shown: Vec<String> = self
            .faults
            .iter()
            .map(|fault| renderer.render(&[self.group(fault)]))
            .collect();
        shown.join("\n\n")
    }

    fn group<'a>(&'a self, fault: &'a Fault) -> Group<'a> {
        let mut group = Group::with_title(Level::ERROR.primary_title(fault.message.as_str()));
        if let Some(place) = fault.place
            && let Some(source) = self.sources.get(place.source)
        {
            let mark = AnnotationKind::Primary
                .span(place.range())
                .label(fault.label.as_deref());
            group = group.element(
                Snippet::source(source.text.as_str())
                    .line_start(1)
                    .path(source.name.as_str())
                    .annotation(mark),
            );
        }
        match &fault.help {
            Some(help) => group.element(Level::HELP.message(help.as_str())),
            None => group,
        }
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.render(false))
    }
}

impl std::error::Error for ConfigErrors {}
