//! Where a piece of text came from.
//!
//! A condition is put together from several places: the scalar in the rule file (folded, quoted or
//! plain), text appended by later files, exceptions, and lists. [`Text`] keeps, beside the text, the
//! place of every run of it, so that an error anywhere in the result can be shown in a file.

use std::ops::Range;
use std::sync::Arc;

/// One file of a load, by position.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FileId(pub(crate) u32);

/// A range of bytes in one file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Span {
    /// The file.
    pub file: FileId,
    /// First byte.
    pub start: u32,
    /// One past the last byte.
    pub end: u32,
}

/// A line and column for people, both counted from 1; columns count characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LineColumn {
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
}

/// The files of a load, for showing places in them.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    files: Vec<File>,
}

#[derive(Clone, Debug)]
struct File {
    name: Arc<str>,
    text: Arc<str>,
    line_starts: Vec<u32>,
}

impl Sources {
    pub(crate) fn add(&mut self, name: &str, text: &str) -> FileId {
        let id = FileId(offset(self.files.len()));
        let line_starts = std::iter::once(0)
            .chain(memchr::memchr_iter(b'\n', text.as_bytes()).map(|at| offset(at + 1)))
            .collect();
        self.files.push(File { name: name.into(), text: text.into(), line_starts });
        id
    }

    /// How many files were handed in.
    #[must_use]
    pub fn len(&self) -> usize {
        self.files.len()
    }

    /// Whether no file was handed in.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// The name the caller gave a file.
    #[must_use]
    pub fn name(&self, file: FileId) -> &str {
        self.files.get(file.0 as usize).map_or("", |file| &file.name)
    }

    /// A file's text.
    #[must_use]
    pub fn text(&self, file: FileId) -> &str {
        self.files.get(file.0 as usize).map_or("", |file| &file.text)
    }

    /// The text of a span; empty where the span is not one of these files.
    #[must_use]
    pub fn slice(&self, span: Span) -> &str {
        self.text(span.file).get(span.start as usize..span.end as usize).unwrap_or("")
    }

    /// Line and column of a span's first byte.
    #[must_use]
    pub fn line_column(&self, span: Span) -> LineColumn {
        let Some(file) = self.files.get(span.file.0 as usize) else {
            return LineColumn { line: 1, column: 1 };
        };
        let line = file.line_starts.partition_point(|&start| start <= span.start).max(1);
        let from = file.line_starts.get(line - 1).copied().unwrap_or(0);
        let before = file.text.get(from as usize..span.start as usize).unwrap_or("");
        LineColumn { line: offset(line), column: offset(before.chars().count() + 1) }
    }
}

/// Offsets are 32 bits wide: no text here is larger than [`super::limits::EXPANDED_BYTES_MAX`].
pub(crate) fn offset(value: usize) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}

/// A stretch of [`Text`] that comes from one place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Run {
    /// Where the stretch starts in the text.
    at: u32,
    /// Where it comes from.
    origin: Span,
    /// Whether byte `at + n` is byte `origin.start + n`; otherwise the stretch stands for all of `origin`.
    exact: bool,
}

/// Text that knows where each of its bytes came from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Text {
    text: String,
    runs: Vec<Run>,
}

impl Text {
    /// The text alone.
    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }

    /// Appends text that is, byte for byte, the file's from `start` on.
    pub(crate) fn push_exact(&mut self, text: &str, file: FileId, start: u32) {
        let origin = Span { file, start, end: start + offset(text.len()) };
        self.push(text, origin, true);
    }

    /// Appends text that stands for `origin`, without being the same bytes.
    pub(crate) fn push_for(&mut self, text: &str, origin: Span) {
        self.push(text, origin, false);
    }

    fn push(&mut self, text: &str, origin: Span, exact: bool) {
        if text.is_empty() {
            return;
        }
        let at = offset(self.text.len());
        self.text.push_str(text);
        if let Some(last) = self.runs.last_mut() {
            let joins = if exact {
                last.exact && last.origin.file == origin.file && last.origin.end == origin.start
            } else {
                !last.exact && last.origin == origin
            };
            if joins {
                last.origin.end = origin.end;
                return;
            }
        }
        self.runs.push(Run { at, origin, exact });
    }

    /// Appends part of another text, with the places it came from.
    pub(crate) fn push_part(&mut self, other: &Text, range: Range<usize>) {
        let Some(part) = other.text.get(range.clone()) else {
            return;
        };
        let first = other.run_index(offset(range.start));
        for (index, run) in other.runs.iter().enumerate().skip(first) {
            let from = (run.at as usize).max(range.start);
            let next = other.runs.get(index + 1).map_or(other.text.len(), |next| next.at as usize);
            let to = next.min(range.end);
            if from >= to {
                break;
            }
            let piece = &part[from - range.start..to - range.start];
            if run.exact {
                let start = run.origin.start + (offset(from) - run.at);
                self.push_exact(piece, run.origin.file, start);
            } else {
                self.push_for(piece, run.origin);
            }
        }
    }

    /// Appends all of another text.
    pub(crate) fn push_text(&mut self, other: &Text) {
        self.push_part(other, 0..other.text.len());
    }

    /// Removes the last byte, which must be ASCII.
    pub(crate) fn pop_ascii(&mut self) {
        if self.text.as_bytes().last().is_some_and(u8::is_ascii) {
            self.text.pop();
            if let Some(last) = self.runs.last_mut() {
                if last.at as usize >= self.text.len() {
                    self.runs.pop();
                } else if last.exact {
                    last.origin.end -= 1;
                }
            }
        }
    }

    /// Without white space at both ends.
    pub(crate) fn trimmed(&self) -> Self {
        let start = self.text.len() - self.text.trim_start().len();
        let mut out = Self::default();
        out.push_part(self, start..start + self.text.trim().len());
        out
    }

    fn run_index(&self, at: u32) -> usize {
        self.runs.partition_point(|run| run.at <= at).saturating_sub(1)
    }

    /// The place in a file that a range of the text came from.
    ///
    /// A range over several places is cut to the first of them, unless they are in one file and in order.
    pub(crate) fn locate(&self, range: Range<usize>) -> Option<Span> {
        let limit = self.text.len();
        let (start, end) = (range.start.min(limit), range.end.clamp(range.start.min(limit), limit));
        let first = self.place(start)?;
        let last = if end > start { self.place(end - 1)? } else { first };
        let in_order = last.file == first.file && last.end > first.start;
        let end = if in_order { last.end } else { first.end };
        let end = if range.end <= range.start { first.start } else { end };
        Some(Span { end: end.max(first.start), ..first })
    }

    /// The place of one byte; at the end of the text, the place right after the last byte.
    fn place(&self, at: usize) -> Option<Span> {
        let run = self.runs.get(self.run_index(offset(at)))?;
        if !run.exact {
            return Some(run.origin);
        }
        let start = (run.origin.start + (offset(at) - run.at)).min(run.origin.end);
        Some(Span { start, end: (start + 1).min(run.origin.end), ..run.origin })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: FileId = FileId(0);

    fn at(start: u32, end: u32) -> Span {
        Span { file: FILE, start, end }
    }

    #[test]
    fn adjacent_exact_runs_join_and_locate() {
        let mut text = Text::default();
        text.push_exact("abc", FILE, 10);
        text.push_exact("def", FILE, 13);
        assert_eq!(text.runs.len(), 1);
        assert_eq!(text.locate(1..4), Some(at(11, 14)));
        assert_eq!(text.locate(6..6), Some(at(16, 16)), "the end has a place too");
    }

    #[test]
    fn parts_keep_their_places() {
        let mut text = Text::default();
        text.push_exact("abc", FILE, 10);
        text.push_for(" and not ", at(40, 50));
        text.push_exact("xyz", FILE, 90);
        let mut part = Text::default();
        part.push_part(&text, 1..13);
        assert_eq!(part.as_str(), "bc and not x");
        assert_eq!(part.locate(0..2), Some(at(11, 13)));
        assert_eq!(part.locate(3..4), Some(at(40, 50)));
        assert_eq!(part.locate(11..12), Some(at(90, 91)));
    }

    #[test]
    fn a_range_over_places_out_of_order_is_cut_to_the_first() {
        let mut text = Text::default();
        text.push_exact("abc", FILE, 50);
        text.push_exact("xyz", FILE, 10);
        assert_eq!(text.locate(1..5), Some(at(51, 52)));
    }

    #[test]
    fn trimming_and_popping_keep_places() {
        let mut text = Text::default();
        text.push_exact("  ab \n", FILE, 5);
        let mut trimmed = text.trimmed();
        assert_eq!((trimmed.as_str(), trimmed.locate(0..2)), ("ab", Some(at(7, 9))));
        trimmed.pop_ascii();
        assert_eq!((trimmed.as_str(), trimmed.locate(0..9)), ("a", Some(at(7, 8))));
        trimmed.pop_ascii();
        assert_eq!((trimmed.as_str(), trimmed.locate(0..0)), ("", None));
    }

    #[test]
    fn lines_and_columns_count_from_one_in_characters() {
        let mut sources = Sources::default();
        let file = sources.add("a.yaml", "é: ü\nb");
        for (start, line, column) in [(0, 1, 1), (4, 1, 4), (7, 2, 1), (8, 2, 2)] {
            let span = Span { file, start, end: start };
            assert_eq!(sources.line_column(span), LineColumn { line, column }, "byte {start}");
        }
    }
}
