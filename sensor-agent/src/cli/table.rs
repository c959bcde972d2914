//! Text tables for terminals.

use std::fmt::Write as _;

use super::one_line;

/// Columns of text, as wide as they need to be. Control characters of what is shown are replaced, because
/// paths and names are chosen by whoever we watch.
#[derive(Debug)]
pub(super) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these headings.
    pub(super) fn new<const N: usize>(headings: [&str; N]) -> Self {
        Self {
            rows: vec![headings.map(str::to_owned).into()],
        }
    }

    pub(super) fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.rows.push(cells.map(|cell| one_line(&cell)).into());
    }

    /// Whether there are only headings.
    pub(super) fn is_empty(&self) -> bool {
        self.rows.len() == 1
    }

    /// The table, indented by two. Columns of numbers only are aligned to the right.
    pub(super) fn render(&self, text: &mut String) {
        let columns = self.rows.first().map_or(0, Vec::len);
        let width = |column: usize| {
            self.rows
                .iter()
                .map(|row| row[column].chars().count())
                .max()
                .unwrap_or(0)
        };
        let is_number = |cell: &String| !cell.is_empty() && cell.bytes().all(|byte| byte.is_ascii_digit());
        let layout: Vec<(usize, bool)> = (0..columns)
            .map(|column| {
                (
                    width(column),
                    self.rows[1..].iter().all(|row| is_number(&row[column])),
                )
            })
            .collect();
        for row in &self.rows {
            let mut line = String::new();
            for (cell, (width, right)) in row.iter().zip(&layout) {
                let _infallible = if *right {
                    write!(line, "  {cell:>width$}")
                } else {
                    write!(line, "  {cell:<width$}")
                };
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
    }
}
