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
        self.files.push(File {
            name: name.into(),
            text: text.into(),
            line_starts,
        });
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
        self.text(span.file)
            .get(span.start as usize..span.end as usize)
            .unwrap_or("")
    }

    /// Line and column of a span's first byte.
    #[must_use]
    pub fn line_column(&self, span: Span) -> LineColumn {
        let Some(file) = self.files.get(span.file.0 as usize) else {
            return LineColumn { line: 1, column: 1 };
        };
        let line = file
            .line_starts
            .partition_point(|&start| start <= span.start)
            .max(1);
        let from = file.line_starts.get(line - 1).copied().unwrap_or(0);
        let before = file.text.get(from as usize..span.start as usize).unwrap_or("");
        LineColumn {
            line: offset(line),
            column: offset(before.chars().count() + 1),
        }
    }
}

/// Offsets are 32 bits wide: no text here is larger than [`super::limits::EXPANDED_BYTES_MAX`].
pub(crate) fn offset(value: usize) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}

/// A stretch of [`Text`] that comes from one place.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Run {
    /// Where the stretch starts in the text.
    at: u32,
    origin: Origin,
}

/// Where a stretch comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Origin {
    /// It is, byte for byte, the file's from here on.
    Exact(FileId, u32),
    /// It stands for this place as a whole.
    Whole(Span),
    /// It is another text's from this byte on. So a list of many items costs one run wherever it is used.
    Shared(Arc<Text>, u32),
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
        self.push(text, Origin::Exact(file, start));
    }

    /// Appends text that stands for `origin`, without being the same bytes.
    pub(crate) fn push_for(&mut self, text: &str, origin: Span) {
        self.push(text, Origin::Whole(origin));
    }

    /// Appends all of another text without copying its places.
    pub(crate) fn push_shared(&mut self, other: &Arc<Text>) {
        self.push(&other.text, Origin::Shared(Arc::clone(other), 0));
    }

    fn push(&mut self, text: &str, origin: Origin) {
        if text.is_empty() {
            return;
        }
        let at = offset(self.text.len());
        self.text.push_str(text);
        let continues = self
            .runs
            .last()
            .is_some_and(|last| match (&last.origin, &origin) {
                (Origin::Exact(file, start), Origin::Exact(next_file, next)) => {
                    file == next_file && start + (at - last.at) == *next
                }
                (Origin::Whole(place), Origin::Whole(next)) => place == next,
                _ => false,
            });
        if !continues {
            self.runs.push(Run { at, origin });
        }
    }

    /// Appends part of another text, with the places it came from.
    pub(crate) fn push_part(&mut self, other: &Text, range: Range<usize>) {
        for (index, run) in other
            .runs
            .iter()
            .enumerate()
            .skip(other.run_index(offset(range.start)))
        {
            let from = (run.at as usize).max(range.start);
            let next = other
                .runs
                .get(index + 1)
                .map_or(other.text.len(), |next| next.at as usize);
            let Some(piece) = other
                .text
                .get(from..next.min(range.end))
                .filter(|piece| !piece.is_empty())
            else {
                break;
            };
            self.push(piece, run.origin.from(offset(from) - run.at));
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
            self.runs.pop_if(|last| last.at as usize >= self.text.len());
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
        let start = range.start.min(limit);
        let end = range.end.clamp(start, limit);
        let mut span = self.place(start)?;
        if end == start {
            return Some(Span {
                end: span.start,
                ..span
            });
        }
        let last = self.place(end - 1)?;
        if last.file == span.file && last.end > span.start {
            span.end = last.end;
        }
        Some(span)
    }

    /// The place of one byte; at the end of the text, the place right after the last byte.
    fn place(&self, at: usize) -> Option<Span> {
        let run = self.runs.get(self.run_index(offset(at)))?;
        let inside = offset(at) - run.at;
        match &run.origin {
            Origin::Exact(file, start) => {
                let start = start + inside;
                Some(Span {
                    file: *file,
                    start,
                    end: start + u32::from(at < self.text.len()),
                })
            }
            Origin::Whole(place) => Some(*place),
            Origin::Shared(other, start) => other.place((start + inside) as usize),
        }
    }
}

impl Origin {
    /// The origin of what stands `skipped` bytes further on.
    fn from(&self, skipped: u32) -> Self {
        match self {
            Self::Exact(file, start) => Self::Exact(*file, start + skipped),
            Self::Whole(place) => Self::Whole(*place),
            Self::Shared(other, start) => Self::Shared(Arc::clone(other), start + skipped),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: FileId = FileId(0);

    fn at(start: u32, end: u32) -> Span {
        Span {
            file: FILE,
            start,
            end,
        }
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
    fn shared_text_keeps_its_places() {
        let mut list = Text::default();
        list.push_exact("one", FILE, 10);
        list.push_for(", ", at(20, 25));
        list.push_exact("two", FILE, 20);
        let mut text = Text::default();
        text.push_exact("x in (", FILE, 100);
        text.push_shared(&Arc::new(list));
        text.push_exact(")", FILE, 110);
        let mut part = Text::default();
        part.push_part(&text, 7..15);
        for (text, two) in [(&text, 11..14), (&part, 4..7)] {
            assert_eq!(&text.as_str()[two.clone()], "two");
            assert_eq!(text.locate(two), Some(at(20, 23)));
        }
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
            let span = Span {
                file,
                start,
                end: start,
            };
            assert_eq!(
                sources.line_column(span),
                LineColumn { line, column },
                "byte {start}"
            );
        }
    }
}
