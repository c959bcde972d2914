//! The files of a load and places in them.

mod text;

use std::sync::Arc;

pub(crate) use text::Text;

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

#[cfg(test)]
mod tests {
    use super::*;

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
