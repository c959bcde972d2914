//! Cuts a stream of JSON into the objects that matter, without ever holding all of it.
//!
//! A list of pods is one JSON object whose `items` may be tens of megabytes; a watch is an endless line of
//! objects. Only one item is in memory at a time, and one that is longer than [`ITEM_BYTES_MAX`] is passed
//! over and counted. The splitter only counts braces outside strings: whether an item is sound JSON is for
//! its parser to say.

/// The longest item, in bytes. etcd refuses objects above 1.5 MiB, and a watch event wraps one.
pub(super) const ITEM_BYTES_MAX: usize = 2 << 20;

/// What of a list is not its items: kind, resource version, the mark to continue at.
const ENVELOPE_BYTES_MAX: usize = 64 << 10;

/// Deepest nesting that is followed; Kubernetes itself refuses deeper objects.
const DEPTH_MAX: usize = 512;

/// What cannot be cut into objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum SplitError {
    /// Brackets that close what was not opened, or text where an object must be.
    #[error("the answer is no JSON object")]
    NotAnObject,
    /// See [`DEPTH_MAX`].
    #[error("the answer is nested deeper than {DEPTH_MAX} levels")]
    TooDeep,
    /// See [`ENVELOPE_BYTES_MAX`].
    #[error("the answer has more than {ENVELOPE_BYTES_MAX} bytes besides its items")]
    EnvelopeTooLong,
}

/// How a stream is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// One object whose `items` are wanted one by one.
    List,
    /// One object after another.
    Stream,
}

/// Where in a string the next byte is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Text {
    Outside,
    Inside,
    /// Behind a backslash.
    Escaped,
}

/// The state of the cut.
#[derive(Debug)]
pub(super) struct Splitter {
    shape: Shape,
    depth: usize,
    text: Text,
    in_items: bool,
    item: Vec<u8>,
    is_too_long: bool,
    envelope: Vec<u8>,
    /// Items that were longer than [`ITEM_BYTES_MAX`].
    pub(super) skipped: u64,
}

impl Splitter {
    pub(super) fn new(shape: Shape) -> Self {
        Self {
            shape,
            depth: 0,
            text: Text::Outside,
            in_items: false,
            item: Vec::new(),
            is_too_long: false,
            envelope: Vec::new(),
            skipped: 0,
        }
    }

    /// Takes the next bytes and hands out each item that they complete.
    pub(super) fn feed(&mut self, bytes: &[u8], mut item: impl FnMut(&[u8])) -> Result<(), SplitError> {
        for byte in bytes {
            self.take(*byte, &mut item)?;
        }
        Ok(())
    }

    /// The list without its items, once all of it has been fed.
    pub(super) fn envelope(&self) -> &[u8] {
        &self.envelope
    }

    /// The depth at which an item's own braces are.
    fn item_depth(&self) -> Option<usize> {
        match self.shape {
            Shape::Stream => Some(1),
            Shape::List if self.in_items => Some(3),
            Shape::List => None,
        }
    }

    fn take(&mut self, byte: u8, item: &mut impl FnMut(&[u8])) -> Result<(), SplitError> {
        if self.text != Text::Outside {
            self.keep(byte)?;
            self.text = match (self.text, byte) {
                (Text::Inside, b'\\') => Text::Escaped,
                (Text::Inside, b'"') => Text::Outside,
                _ => Text::Inside,
            };
            return Ok(());
        }
        match byte {
            b'"' => {
                if self.depth == 0 {
                    return Err(SplitError::NotAnObject);
                }
                self.text = Text::Inside;
                self.keep(byte)
            }
            b'{' | b'[' => self.open(byte),
            b'}' | b']' => self.close(byte, item),
            b' ' | b'\t' | b'\r' | b'\n' => self.keep(byte),
            _ if self.depth == 0 => Err(SplitError::NotAnObject),
            _ => self.keep(byte),
        }
    }

    fn open(&mut self, byte: u8) -> Result<(), SplitError> {
        if self.depth == 0 && byte != b'{' {
            return Err(SplitError::NotAnObject);
        }
        if self.depth >= DEPTH_MAX {
            return Err(SplitError::TooDeep);
        }
        let starts_items = self.shape == Shape::List
            && byte == b'['
            && self.depth == 1
            && ends_with_key(&self.envelope, b"\"items\"");
        self.depth += 1;
        self.keep(byte)?;
        if starts_items {
            self.in_items = true;
        }
        Ok(())
    }

    fn close(&mut self, byte: u8, item: &mut impl FnMut(&[u8])) -> Result<(), SplitError> {
        let Some(above) = self.depth.checked_sub(1) else {
            return Err(SplitError::NotAnObject);
        };
        if self.in_items && above == 1 {
            self.in_items = false;
        }
        self.keep(byte)?;
        if self.item_depth() == Some(self.depth) {
            if self.is_too_long {
                self.skipped += 1;
            } else {
                item(&self.item);
            }
            self.item.clear();
            self.is_too_long = false;
        }
        self.depth = above;
        Ok(())
    }

    /// Puts a byte where it belongs: into the item that is being read, into the envelope, or nowhere.
    fn keep(&mut self, byte: u8) -> Result<(), SplitError> {
        match self.item_depth() {
            Some(depth) if self.depth >= depth => {
                if self.item.len() >= ITEM_BYTES_MAX {
                    // What is thrown away is not kept as room either.
                    self.item = Vec::new();
                    self.is_too_long = true;
                } else if !self.is_too_long {
                    self.item.push(byte);
                }
            }
            // Commas and blanks between items.
            Some(_) => {}
            None => {
                if self.envelope.len() >= ENVELOPE_BYTES_MAX {
                    return Err(SplitError::EnvelopeTooLong);
                }
                self.envelope.push(byte);
            }
        }
        Ok(())
    }
}

/// Whether what was read last is this key and its colon.
fn ends_with_key(envelope: &[u8], key: &[u8]) -> bool {
    envelope
        .trim_ascii_end()
        .strip_suffix(b":")
        .is_some_and(|before| before.trim_ascii_end().ends_with(key))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn split(shape: Shape, text: &[u8], chunk: usize) -> Result<(Vec<String>, String), SplitError> {
        let mut splitter = Splitter::new(shape);
        let mut items = Vec::new();
        for part in text.chunks(chunk.max(1)) {
            splitter.feed(part, |item| {
                items.push(String::from_utf8_lossy(item).into_owned());
            })?;
        }
        Ok((items, String::from_utf8_lossy(splitter.envelope()).into_owned()))
    }

    #[test]
    fn a_list_gives_its_items_and_what_is_around_them() {
        let text = br#"{"kind":"PodList","metadata":{"resourceVersion":"7","items":[1]}, "items" : [ {"a":"}]\"{"} ,{"b":{"items":[{}]}}], "x": [ {} ]}"#;
        for chunk in 1..text.len() {
            let (items, envelope) = split(Shape::List, text, chunk).unwrap();
            assert_eq!(items, [r#"{"a":"}]\"{"}"#, r#"{"b":{"items":[{}]}}"#]);
            assert_eq!(
                envelope,
                r#"{"kind":"PodList","metadata":{"resourceVersion":"7","items":[1]}, "items" : [], "x": [ {} ]}"#
            );
        }
        assert_eq!(split(Shape::List, br#"{"items":null}"#, 3).unwrap().0, [""; 0]);
    }

    #[test]
    fn a_watch_gives_each_object() {
        let text = b"{\"type\":\"ADDED\"}\n{\"type\":\"{}\"}\n\n{}";
        for chunk in 1..text.len() {
            let (items, _) = split(Shape::Stream, text, chunk).unwrap();
            assert_eq!(items, ["{\"type\":\"ADDED\"}", "{\"type\":\"{}\"}", "{}"]);
        }
    }

    #[test]
    fn what_is_no_object_is_an_error() {
        for (text, expected) in [
            (&b"[{}]"[..], SplitError::NotAnObject),
            (b"}", SplitError::NotAnObject),
            (b"404 page not found", SplitError::NotAnObject),
            (b"\"{\"", SplitError::NotAnObject),
        ] {
            for shape in [Shape::List, Shape::Stream] {
                assert_eq!(split(shape, text, 4), Err(expected), "{text:?}");
            }
        }
        let deep = "{\"a\":".repeat(DEPTH_MAX + 1);
        assert_eq!(
            split(Shape::Stream, deep.as_bytes(), 64),
            Err(SplitError::TooDeep)
        );
        let long = format!("{{\"a\":\"{}\"}}", "x".repeat(ENVELOPE_BYTES_MAX));
        assert_eq!(
            split(Shape::List, long.as_bytes(), 64),
            Err(SplitError::EnvelopeTooLong)
        );
    }

    #[test]
    fn an_item_that_is_too_long_is_passed_over_and_counted() {
        let long = format!("{{\"a\":\"{}\"}}\n{{\"b\":1}}", "x".repeat(ITEM_BYTES_MAX));
        let mut splitter = Splitter::new(Shape::Stream);
        let mut items = Vec::new();
        splitter
            .feed(long.as_bytes(), |item| items.push(item.to_vec()))
            .unwrap();
        assert_eq!(items, [b"{\"b\":1}".to_vec()]);
        assert_eq!(splitter.skipped, 1);
        assert!(splitter.item.capacity() <= 64);
    }

    proptest! {
        /// However an answer is cut into pieces, and whatever is in it, the items are the same, and JSON
        /// that serde wrote comes out as it was put in.
        #[test]
        fn the_cut_does_not_depend_on_the_chunks(
            items in prop::collection::vec("\\PC{0,20}", 0..8),
            chunk in 1_usize..40,
        ) {
            let list = serde_json::json!({
                "kind": "PodList",
                "items": items.iter().map(|text| serde_json::json!({ (text.clone()): [text, {"x": text}] })).collect::<Vec<_>>(),
            });
            let (found, _) = split(Shape::List, list.to_string().as_bytes(), chunk).unwrap();
            let parsed: Vec<serde_json::Value> =
                found.iter().map(|item| serde_json::from_str(item).unwrap()).collect();
            prop_assert_eq!(&serde_json::Value::from(parsed), &list["items"]);
        }

        #[test]
        fn any_bytes_end_in_items_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..400), chunk in 1_usize..50) {
            for shape in [Shape::List, Shape::Stream] {
                let _ = split(shape, &bytes, chunk);
            }
        }

        #[test]
        fn any_brackets_end_in_items_or_an_error(text in "[\\[\\]{}\",:\\\\ ai]{0,200}", chunk in 1_usize..50) {
            for shape in [Shape::List, Shape::Stream] {
                prop_assert_eq!(split(shape, text.as_bytes(), chunk), split(shape, text.as_bytes(), 1));
            }
        }
    }
}
