//! Splits a condition into words, as far as blanks and quotes tell.

/// A word and the byte at which it begins.
pub(super) type Word<'a> = (usize, &'a str);

/// A condition's words, split at blanks that are not in quotes. `None` where a quote does not end, or holds a line break.
pub(super) fn words(text: &str) -> Option<Vec<Word<'_>>> {
    let bytes = text.as_bytes();
    let is_blank = |byte: u8| matches!(byte, b' ' | b'\t' | b'\n' | b'\r');
    let (mut words, mut at) = (Vec::new(), 0);
    while at < bytes.len() {
        if is_blank(bytes[at]) {
            at += 1;
            continue;
        }
        let start = at;
        while at < bytes.len() && !is_blank(bytes[at]) {
            let quote = bytes[at];
            at += 1;
            if !matches!(quote, b'"' | b'\'') {
                continue;
            }
            // As in the language: the first quote that no backslash precedes.
            let first = at;
            let rest = bytes[first..].iter().enumerate();
            let end = rest
                .map(|(offset, byte)| (first + offset, *byte))
                .find(|(place, byte)| {
                    *byte == b'\n' || (*byte == quote && (*place == first || bytes[place - 1] != b'\\'))
                });
            at = end.filter(|(_, byte)| *byte == quote)?.0 + 1;
        }
        words.push((start, &text[start..at]));
    }
    Some(words)
}

/// Whether two conditions have the same words.
pub(super) fn same_words(a: &str, b: &str) -> bool {
    match (words(a), words(b)) {
        (Some(a), Some(b)) => a.iter().map(|word| word.1).eq(b.iter().map(|word| word.1)),
        _ => false,
    }
}

/// How many brackets a word opens beyond those that it closes, quoted ones not counted.
pub(super) fn opened(word: &str) -> i64 {
    let mut quote = None;
    let mut before = ' ';
    let mut depth = 0;
    for char in word.chars() {
        match (quote, char) {
            (None, '(') => depth += 1,
            (None, ')') => depth -= 1,
            (None, '"' | '\'') => quote = Some(char),
            (Some(open), _) if open == char && before != '\\' => quote = None,
            _ => {}
        }
        before = char;
    }
    depth
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quote_ends_where_the_language_ends_it() {
        let texts = |text| words(text).map(|words| words.into_iter().map(|word| word.1).collect::<Vec<_>>());
        assert_eq!(
            texts(r#"a = "b \" c" d"#).unwrap(),
            ["a", "=", r#""b \" c""#, "d"]
        );
        assert_eq!(texts("a 'b"), None);
        assert_eq!(opened("(a('('"), 2);
    }
}
