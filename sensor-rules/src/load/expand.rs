//! Lists: text that replaces their names.
//!
//! Falco writes lists into conditions before it parses them: wherever a list's name stands between blanks,
//! parentheses, commas, `=` or the ends of the text, inside quotes too, its items take the name's place. Lists
//! are tried in the order of definition, so what one writes, a later one may replace again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use memchr::memmem::Finder;

use super::collect::Collector;
use super::item::{ListItem, Word};
use super::limits::{CONDITION_BYTES_MAX, LIST_BYTES_MAX, LIST_ENTRIES_MAX};
use super::result::{ErrorCode, LoadError};
use super::source::Text;

/// All lists, written out.
pub(crate) struct Lists {
    lists: Vec<List>,
}

struct List {
    finder: Finder<'static>,
    name_len: usize,
    /// The items, quoted where they have to be, with commas between.
    text: Arc<Text>,
    /// How many items that are.
    count: usize,
    /// Marked through shared references, so that a finished load can be shared between threads.
    used: AtomicBool,
}

/// A condition that grows beyond [`CONDITION_BYTES_MAX`].
pub(crate) struct TooLong;

impl Lists {
    /// Writes out every list. An item that names an earlier list is replaced by that list's items, one level deep.
    pub(crate) fn new(collector: &Collector) -> Result<Self, LoadError> {
        let mut nested = Vec::new();
        let mut budget = Budget {
            entries: LIST_ENTRIES_MAX,
            bytes: LIST_BYTES_MAX,
        };
        let mut lists = Vec::with_capacity(collector.lists.len());
        for list in collector.lists.iter() {
            let (text, count) = write_out(list, collector, &mut nested, &mut budget)?;
            let finder = Finder::new(list.name.as_bytes()).into_owned();
            let (name_len, text) = (list.name.len(), Arc::new(text));
            lists.push(List {
                finder,
                name_len,
                text,
                count,
                used: AtomicBool::new(false),
            });
        }
        for position in nested {
            let list: &List = &lists[position];
            list.used.store(true, Ordering::Relaxed);
        }
        Ok(Self { lists })
    }

    /// Whether the list at this position was used by a condition or another list.
    pub(crate) fn is_used(&self, position: usize) -> bool {
        self.lists
            .get(position)
            .is_some_and(|list| list.used.load(Ordering::Relaxed))
    }

    /// Writes lists into a condition. Returns it with the number of items that were written.
    pub(crate) fn expand(&self, condition: &Text) -> Result<(Text, usize), TooLong> {
        let mut text = condition.clone();
        let mut items = 0;
        for list in &self.lists {
            if let Some((replaced, uses)) = list.replace_in(&text)? {
                list.used.store(true, Ordering::Relaxed);
                text = replaced;
                items += uses * list.count;
            }
        }
        Ok((text, items))
    }
}

/// What all lists together may still take.
struct Budget {
    entries: usize,
    bytes: usize,
}

/// A list's text and how many entries it has.
fn write_out(
    list: &ListItem,
    collector: &Collector,
    nested: &mut Vec<usize>,
    budget: &mut Budget,
) -> Result<(Text, usize), LoadError> {
    let mut text = Text::default();
    let mut count = 0;
    for item in &list.items {
        let inner = collector.lists.position(&item.text);
        let inner = inner.and_then(|at| Some((at, collector.lists.at(at)?)));
        if let Some((at, inner)) = inner.filter(|(_, inner)| inner.order.index < list.order.visibility) {
            nested.push(at);
            inner.items.iter().for_each(|word| push_item(&mut text, word));
            count += inner.items.len();
        } else {
            push_item(&mut text, item);
            count += 1;
        }
        if count > budget.entries || text.as_str().len() > budget.bytes {
            let message = format!(
                "lists hold more than {LIST_ENTRIES_MAX} items or {LIST_BYTES_MAX} bytes, lists inside lists written out"
            );
            return Err(LoadError::new(ErrorCode::Validate, message, &list.context));
        }
    }
    budget.entries -= count;
    budget.bytes -= text.as_str().len();
    Ok((text, count))
}

fn push_item(text: &mut Text, word: &Word) {
    if !text.as_str().is_empty() {
        text.push_for(", ", word.span);
    }
    push_quoted(text, word);
}

/// Appends a word, in quotes if it has blanks and is not quoted yet.
pub(crate) fn push_quoted(text: &mut Text, word: &Word) {
    if word.text.contains(' ') && !word.text.starts_with(['"', '\'']) {
        text.push_for("\"", word.span);
        word.push_to(text);
        text.push_for("\"", word.span);
    } else {
        word.push_to(text);
    }
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

fn is_delimiter(byte: u8) -> bool {
    is_blank(byte) || matches!(byte, b'(' | b')' | b',' | b'=')
}

impl List {
    /// The text with the list in it and how often, or none if it does not name the list.
    fn replace_in(&self, text: &Text) -> Result<Option<(Text, usize)>, TooLong> {
        let bytes = text.as_str().as_bytes();
        let mut out = Text::default();
        // How much of the text is in `out`, and where to look on.
        let (mut done, mut from) = (0, 0);
        let mut uses = 0;
        while let Some(start) = bytes
            .get(from..)
            .and_then(|rest| self.finder.find(rest))
            .map(|at| at + from)
        {
            let end = start + self.name_len;
            let stands_alone = (start == done || is_delimiter(bytes[start - 1]))
                && bytes.get(end).is_none_or(|&next| is_delimiter(next));
            if !stands_alone {
                from = start + 1;
                continue;
            }
            out.push_part(text, done..start);
            done = self.write(text, bytes, end, &mut out);
            from = done;
            uses += 1;
            if out.as_str().len() > CONDITION_BYTES_MAX {
                return Err(TooLong);
            }
        }
        if uses == 0 {
            return Ok(None);
        }
        out.push_part(text, done..bytes.len());
        Ok(Some((out, uses)))
    }

    /// Appends the items in place of a name that ends at `end`; returns from where the text goes on.
    fn write(&self, text: &Text, bytes: &[u8], end: usize, out: &mut Text) -> usize {
        while out.as_str().bytes().last().is_some_and(is_blank) {
            out.pop_ascii();
        }
        let mut next = end + bytes[end..].iter().take_while(|&&byte| is_blank(byte)).count();
        if self.text.as_str().is_empty() {
            // One comma goes with an empty list, else `(a, )` would be left.
            if out.as_str().ends_with(',') {
                out.pop_ascii();
            } else if bytes.get(next) == Some(&b',') {
                next += 1;
            }
        }
        let name = text.locate(end - self.name_len..end);
        if let (Some(name), false) = (name, out.as_str().is_empty()) {
            out.push_for(" ", name);
        }
        out.push_shared(&self.text);
        if let Some(name) = name {
            out.push_for(" ", name);
        }
        next
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::source::{FileId, Span};

    fn list(name: &str, items: &[&str]) -> List {
        let mut text = Text::default();
        for item in items {
            let span = Span {
                file: FileId(1),
                start: 0,
                end: 1,
            };
            push_item(
                &mut text,
                &Word {
                    text: (*item).into(),
                    span,
                    exact: false,
                },
            );
        }
        let finder = Finder::new(name.as_bytes()).into_owned();
        List {
            finder,
            name_len: name.len(),
            text: Arc::new(text),
            count: items.len(),
            used: AtomicBool::new(false),
        }
    }

    fn expand(lists: Vec<List>, condition: &str) -> String {
        let mut text = Text::default();
        text.push_exact(condition, FileId(0), 0);
        match (Lists { lists }).expand(&text) {
            Ok((text, _)) => text.as_str().to_owned(),
            Err(TooLong) => "too long".to_owned(),
        }
    }

    #[test]
    fn replaces_names_that_stand_alone() {
        let words = || vec![list("foo", &["a", "b c", "'d e'"])];
        for (condition, expected) in [
            ("x in (foo)", "x in ( a, \"b c\", 'd e' )"),
            ("x in ( foo , y)", "x in ( a, \"b c\", 'd e' , y)"),
            ("x in (foobar)", "x in (foobar)"),
            ("x in (a_foo)", "x in (a_foo)"),
            ("x=foo", "x= a, \"b c\", 'd e' "),
            ("x = \"a foo b\"", "x = \"a a, \"b c\", 'd e' b\""),
            ("foo", "a, \"b c\", 'd e' "),
            ("(foo, foo)", "( a, \"b c\", 'd e' , a, \"b c\", 'd e' )"),
            ("foofoo foo", "foofoo a, \"b c\", 'd e' "),
        ] {
            assert_eq!(expand(words(), condition), expected, "{condition}");
        }
    }

    #[test]
    fn an_empty_list_takes_a_comma_with_it() {
        for (condition, expected) in [
            ("x in (foo)", "x in (  )"),
            ("x in (a, foo)", "x in (a  )"),
            ("x in (foo, a)", "x in (   a)"),
            ("x in (a, foo, b)", "x in (a  , b)"),
        ] {
            assert_eq!(expand(vec![list("foo", &[])], condition), expected, "{condition}");
        }
    }

    #[test]
    fn later_lists_replace_what_earlier_ones_wrote() {
        let lists = || [list("one", &["two"]), list("two", &["x"])];
        assert_eq!(expand(lists().into(), "a in (one)"), "a in ( x )");
        let [one, two] = lists();
        assert_eq!(expand(vec![two, one], "a in (one)"), "a in ( two )");
    }

    #[test]
    fn items_keep_their_place() {
        let mut text = Text::default();
        text.push_exact("x in (foo)", FileId(0), 100);
        let Ok((expanded, 1)) = (Lists {
            lists: vec![list("foo", &["abc"])],
        })
        .expand(&text) else {
            panic!("one item")
        };
        let at = expanded.as_str().find("abc").unwrap();
        assert_eq!(expanded.locate(at..at + 3).unwrap().file, FileId(1));
        assert_eq!(
            expanded.locate(0..1),
            Some(Span {
                file: FileId(0),
                start: 100,
                end: 101
            })
        );
    }

    #[test]
    fn growth_is_bounded() {
        let long = "x".repeat(1000);
        let lists = vec![list("foo", &[&long])];
        let condition = "foo,".repeat(100_000);
        assert_eq!(expand(lists, &condition), "too long");
    }
}
