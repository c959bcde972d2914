//! Where a piece of text came from.
//!
//! A condition is put together from several places: the scalar in the rule file (folded, quoted or
//! plain), text appended by later files, exceptions, and lists. [`Text`] keeps, beside the text, the
//! place of every run of it, so that an error anywhere in the result can be shown in a file.

use std::ops::Range;
use std::sync::Arc;

use super::{FileId, Span, offset};

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
}
