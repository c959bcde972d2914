//! Lays out the lines of one condition.
//!
//! Where the author broke a line it stays broken, at the depth that the author gave it. An `and` or `or` outside of
//! brackets moves from the end of a line to the start of the next. Only a line that is too long is broken anew: at its
//! outermost `and`s and `or`s, or between words where it has none.
//!
//! Invariant: only blanks change, and laying out again changes nothing.

use super::words::{Word, opened, words};

/// Columns that a line of a condition may have, unless what cannot be broken is longer.
pub(super) const LINE_CHARS_MAX: usize = 120;

/// Blanks by which the rest of a broken line stands deeper.
const STEP: usize = 2;

/// One line, as words; a blank line has none.
struct Line<'a> {
    indent: usize,
    words: Vec<&'a str>,
}

/// Lays the lines of a condition out anew. `None` where it cannot be split into words.
pub(super) fn condition(block: &[&str]) -> Option<Vec<String>> {
    let text = block.join("\n");
    let lines = lead_with_operators(authored(block, &words(&text)?));
    let mut out: Vec<String> = Vec::with_capacity(lines.len());
    for line in lines {
        if !line.words.is_empty() {
            broken(line.indent, 0, &line.words, &mut out);
        } else if out.last().is_some_and(|line| !line.is_empty()) {
            // One blank line sets groups apart.
            out.push(String::new());
        }
    }
    Some(out)
}

/// The lines as their author broke them. None stands less deep than the first, as YAML demands.
fn authored<'a>(block: &[&str], words: &[Word<'a>]) -> Vec<Line<'a>> {
    let mut words = words.iter().peekable();
    let (mut end, mut base) = (0, None);
    block
        .iter()
        .map(|line| {
            end += line.len() + 1;
            let mut own = Vec::new();
            while let Some((_, word)) = words.next_if(|(start, _)| *start < end) {
                own.push(*word);
            }
            let indent = line.len() - line.trim_start_matches(' ').len();
            if base.is_none() && !own.is_empty() {
                base = Some(indent);
            }
            Line {
                indent: indent.max(base.unwrap_or(0)),
                words: own,
            }
        })
        .collect()
}

/// Moves each operator outside of brackets from the end of a line to the start of the next that has words.
fn lead_with_operators(lines: Vec<Line<'_>>) -> Vec<Line<'_>> {
    let base = lines
        .iter()
        .find(|line| !line.words.is_empty())
        .map_or(0, |line| line.indent);
    let last = lines.len().saturating_sub(1);
    let (mut depth, mut carried, mut is_first) = (0, Vec::new(), true);
    let mut out = Vec::with_capacity(lines.len());
    for (position, mut line) in lines.into_iter().enumerate() {
        if line.words.is_empty() {
            out.push(line);
            continue;
        }
        depth += line.words.iter().map(|word| opened(word)).sum::<i64>();
        line.words.splice(0..0, carried.drain(..));
        // A condition that ends with an operator is there to be appended to.
        while position < last && depth == 0 && line.words.last().is_some_and(|word| is_operator(word)) {
            carried.extend(line.words.pop());
        }
        carried.reverse();
        if line.words.is_empty() {
            continue;
        }
        if std::mem::take(&mut is_first) {
            line.indent = base;
        }
        out.push(line);
    }
    out
}

fn is_operator(word: &str) -> bool {
    matches!(word, "and" | "or")
}

/// Writes words as one line or, where they are too many, as several: the first at `indent`, the others deeper.
fn broken(indent: usize, deeper: usize, words: &[&str], out: &mut Vec<String>) {
    let chars = words.iter().map(|word| word.chars().count() + 1).sum::<usize>();
    if indent + chars <= LINE_CHARS_MAX + 1 {
        out.push(line(indent, words));
        return;
    }
    let starts = operators(words);
    if starts.is_empty() {
        filled(indent, words, out);
        return;
    }
    let ends = starts.iter().copied().chain([words.len()]);
    let mut start = 0;
    for end in ends {
        let indent = if start == 0 { indent } else { indent + deeper };
        broken(indent, STEP, &words[start..end], out);
        start = end;
    }
}

/// Where the outermost operators of a line stand, but for those that it begins or ends with.
fn operators(words: &[&str]) -> Vec<usize> {
    let (mut depth, mut outermost, mut found) = (0, i64::MAX, Vec::new());
    for (position, word) in words.iter().enumerate() {
        let is_inner = position > 0 && position + 1 < words.len() && !is_operator(words[position - 1]);
        if is_operator(word) && is_inner && depth <= outermost {
            if depth < outermost {
                found.clear();
            }
            outermost = depth;
            found.push(position);
        }
        depth += opened(word);
    }
    found
}

/// Fills lines with words. Operators that a line begins with stay with the word that follows.
fn filled(indent: usize, words: &[&str], out: &mut Vec<String>) {
    let (mut start, mut chars, mut own_indent) = (0, 0, indent);
    for (position, word) in words.iter().enumerate() {
        let length = word.chars().count();
        let has_word = words[start..position].iter().any(|word| !is_operator(word));
        if has_word && own_indent + chars + length > LINE_CHARS_MAX {
            out.push(line(own_indent, &words[start..position]));
            (start, chars, own_indent) = (position, 0, indent + STEP);
        }
        chars += length + 1;
    }
    out.push(line(own_indent, &words[start..]));
}

fn line(indent: usize, words: &[&str]) -> String {
    let mut line = " ".repeat(indent);
    line.push_str(&words.join(" "));
    line
}
