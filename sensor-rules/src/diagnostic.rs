//! Shows what is wrong with rule files: to people as annotated source, to tools as Falco's JSON.
//!
//! A [`Diagnostic`] is one thing said about one place, whatever found it: an error or warning with Falco's
//! code, or a lint with ours. Rule files are untrusted, so that nothing of them reaches a terminal as a
//! control character, and what is shown of a long line is bounded.

mod json;

use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};

use crate::load::{Issue, ItemType, Lint, LoadError, LoadWarning, Loaded, Location, Sources, Span};

pub use json::falco_load_results;

/// Bytes of source that one diagnostic may show. A longer line is named, not shown.
const SHOWN_BYTES_MAX: usize = 4096;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// The rules cannot be used.
    Error,
    /// The rules can be used, but may not do what was meant.
    Warning,
    /// Advice that Falco does not give.
    Lint,
}

impl Severity {
    /// `error`, `warning` or `lint`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Lint => "lint",
        }
    }
}

/// One thing said about one place.
#[derive(Clone, Debug, PartialEq)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// Falco's code or a lint's id.
    pub code: &'static str,
    /// What is wrong.
    pub message: String,
    /// The file's name.
    pub file: String,
    /// Where. None where the file as a whole is meant.
    pub span: Option<Span>,
    /// What to do about it.
    pub help: Option<String>,
    /// Which items hold the place, as `rule "x", exception "y"`; empty where none does.
    pub item: String,
}

/// Whether text is coloured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Style {
    /// For files and pipes.
    #[default]
    Plain,
    /// For terminals.
    Color,
}

impl Diagnostic {
    fn issue<C>(issue: &Issue<C>, severity: Severity, code: &'static str) -> Self {
        Self {
            severity,
            code,
            message: spoken(&issue.message).to_owned(),
            file: issue
                .locations
                .first()
                .map(|first| first.name.to_string())
                .unwrap_or_default(),
            span: issue.span,
            help: issue.help.clone(),
            item: describe(&issue.locations),
        }
    }

    /// An error of a file.
    #[must_use]
    pub fn error(error: &LoadError) -> Self {
        Self::issue(error, Severity::Error, error.code.as_str())
    }

    /// A warning of a file.
    #[must_use]
    pub fn warning(warning: &LoadWarning) -> Self {
        Self::issue(warning, Severity::Warning, warning.code.as_str())
    }

    /// A lint.
    #[must_use]
    pub fn lint(lint: &Lint, sources: &Sources) -> Self {
        Self {
            severity: Severity::Lint,
            code: lint.id,
            message: lint.message.clone(),
            file: lint
                .span
                .map(|span| sources.name(span.file).to_owned())
                .unwrap_or_default(),
            span: lint.span,
            help: lint.help.clone(),
            item: lint.item.clone(),
        }
    }
}

/// A message without the place in it, which is shown anyway.
fn spoken(message: &str) -> &str {
    let words = message
        .strip_prefix("yaml-cpp: error at line ")
        .and_then(|rest| rest.split_once(": "));
    words.map_or(message, |(_, words)| words)
}

/// The named items on the way to a place.
fn describe(locations: &[Location]) -> String {
    let named = locations.iter().filter(|location| {
        let is_item = matches!(
            location.item_type,
            ItemType::List | ItemType::Macro | ItemType::Rule
        );
        (is_item || location.item_type == ItemType::Exception) && !location.item_name.is_empty()
    });
    let named = named.map(|location| format!("{} {:?}", location.item_type.as_str(), location.item_name));
    named.collect::<Vec<_>>().join(", ")
}

/// Everything that was said of the files, in their order, errors before warnings.
#[must_use]
pub fn diagnostics(loaded: &Loaded) -> Vec<Diagnostic> {
    let of_file = loaded.results.iter().flat_map(|result| {
        let errors = result.errors.iter().map(Diagnostic::error);
        errors.chain(result.warnings.iter().map(Diagnostic::warning))
    });
    of_file.collect()
}

/// Writes a diagnostic as annotated source, without a line break at the end.
#[must_use]
pub fn render(diagnostic: &Diagnostic, sources: &Sources, style: Style) -> String {
    let level = match diagnostic.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
        Severity::Lint => Level::WARNING.with_name("lint"),
    };
    let title = level.primary_title(&*diagnostic.message).id(diagnostic.code);
    let mut group = match diagnostic.span.map(|span| shown(span, sources)) {
        Some(Shown {
            source: Some((source, from)),
            line,
            start,
            end,
            ..
        }) => {
            let annotation = AnnotationKind::Primary.span(start - from..end - from);
            let snippet = Snippet::source(source).path(&*diagnostic.file).line_start(line);
            title.element(snippet.annotation(annotation))
        }
        Some(Shown { line, column, .. }) => {
            title.element(Origin::path(&*diagnostic.file).line(line).char_column(column))
        }
        None if diagnostic.file.is_empty() => Group::with_title(title),
        None => title.element(Origin::path(&*diagnostic.file)),
    };
    if !diagnostic.item.is_empty() {
        group = group.element(Level::NOTE.message(format!("in {}", diagnostic.item)));
    }
    if let Some(help) = &diagnostic.help {
        group = group.element(Level::HELP.message(&**help));
    }
    let renderer = match style {
        Style::Plain => Renderer::plain(),
        Style::Color => Renderer::styled(),
    };
    renderer.render(&[group])
}

/// What of a file is shown for a span.
struct Shown<'a> {
    /// The lines and where they start in the file; none where they are too long.
    source: Option<(&'a str, usize)>,
    line: usize,
    column: usize,
    start: usize,
    end: usize,
}

/// Finds the line of a span. A span of several lines, such as a whole rule, is shown by its first.
fn shown(span: Span, sources: &Sources) -> Shown<'_> {
    let text = sources.text(span.file);
    let place = sources.line_column(span);
    let (line, column) = (place.line as usize, place.column as usize);
    let start = floor_boundary(text, span.start as usize);
    let from = text[..start].rfind('\n').map_or(0, |at| at + 1);
    let to = text[start..].find('\n').map_or(text.len(), |at| start + at);
    let written = text[from..to].trim_end_matches('\r').len() + from;
    let end = floor_boundary(text, span.end as usize).clamp(start, written.max(start));
    // An empty place is shown as one character, or as the end of its line.
    let end = if end == start {
        text[start..to]
            .chars()
            .next()
            .map_or(start, |c| start + c.len_utf8())
    } else {
        end
    };
    let source = (to - from <= SHOWN_BYTES_MAX).then(|| (&text[from..to], from));
    Shown {
        source,
        line,
        column,
        start,
        end,
    }
}

fn floor_boundary(text: &str, at: usize) -> usize {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}
