//! Shell patterns, as `fnmatch` without flags: `*` and `?` match `/` and a leading dot too.

/// Whether `text` as a whole matches `pattern`; `fold` ignores the case of ASCII letters.
///
/// At a mismatch only the last `*` is tried again, so that the time is at most the product of the two lengths.
pub(crate) fn glob_matches(pattern: &[u8], text: &[u8], fold: bool) -> bool {
    let (mut at, mut pos) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    loop {
        if pattern.get(at) == Some(&b'*') {
            star = Some((at + 1, pos));
            at += 1;
            continue;
        }
        if pos == text.len() {
            return at == pattern.len();
        }
        if let Some(next) = step(&pattern[at..], text[pos], fold) {
            at += next;
            pos += 1;
            continue;
        }
        match star {
            Some((after, from)) => {
                at = after;
                pos = from + 1;
                star = Some((after, pos));
            }
            None => return false,
        }
    }
}

/// The length of the pattern's first element if it matches `byte`.
fn step(pattern: &[u8], byte: u8, fold: bool) -> Option<usize> {
    match *pattern.first()? {
        b'?' => Some(1),
        b'[' => match bracket(pattern, byte, fold) {
            Some((true, length)) => Some(length),
            Some((false, _)) => None,
            None => same(b'[', byte, fold).then_some(1),
        },
        b'\\' => match pattern.get(1) {
            Some(escaped) => same(*escaped, byte, fold).then_some(2),
            None => None,
        },
        literal => same(literal, byte, fold).then_some(1),
    }
}

fn same(a: u8, b: u8, fold: bool) -> bool {
    a == b || (fold && a.eq_ignore_ascii_case(&b))
}

/// Whether the bracket expression at the start of `pattern` matches, and its length. `None` where it is not closed,
/// and so is no bracket expression.
fn bracket(pattern: &[u8], byte: u8, fold: bool) -> Option<(bool, usize)> {
    let negated = matches!(pattern.get(1), Some(b'!' | b'^'));
    let first = 1 + usize::from(negated);
    let mut at = first;
    let mut found = false;
    loop {
        let current = *pattern.get(at)?;
        if current == b']' && at > first {
            return Some((found != negated, at + 1));
        }
        if current == b'['
            && pattern.get(at + 1) == Some(&b':')
            && let Some(length) = pattern[at + 2..].windows(2).position(|end| end == b":]")
        {
            found |= in_class(&pattern[at + 2..at + 2 + length], byte, fold);
            at += length + 4;
            continue;
        }
        let (low, used) = element(&pattern[at..])?;
        at += used;
        if pattern.get(at) == Some(&b'-') && pattern.get(at + 1).is_some_and(|end| *end != b']') {
            let (high, used) = element(&pattern[at + 1..])?;
            at += 1 + used;
            found |= in_range(low, high, byte, fold);
        } else {
            found |= same(low, byte, fold);
        }
    }
}

/// One byte of a bracket expression, and how long it is written.
fn element(pattern: &[u8]) -> Option<(u8, usize)> {
    match pattern {
        [b'\\', escaped, ..] => Some((*escaped, 2)),
        [literal, ..] => Some((*literal, 1)),
        [] => None,
    }
}

fn in_range(low: u8, high: u8, byte: u8, fold: bool) -> bool {
    let within = |byte: u8| low <= byte && byte <= high;
    within(byte) || (fold && (within(byte.to_ascii_lowercase()) || within(byte.to_ascii_uppercase())))
}

fn in_class(name: &[u8], byte: u8, fold: bool) -> bool {
    match name {
        b"alpha" => byte.is_ascii_alphabetic(),
        b"digit" => byte.is_ascii_digit(),
        b"alnum" => byte.is_ascii_alphanumeric(),
        b"upper" => byte.is_ascii_uppercase() || (fold && byte.is_ascii_alphabetic()),
        b"lower" => byte.is_ascii_lowercase() || (fold && byte.is_ascii_alphabetic()),
        b"space" => byte.is_ascii_whitespace() || byte == 0x0b,
        b"blank" => byte == b' ' || byte == b'\t',
        b"punct" => byte.is_ascii_punctuation(),
        b"cntrl" => byte.is_ascii_control(),
        b"graph" => byte.is_ascii_graphic(),
        b"print" => byte.is_ascii_graphic() || byte == b' ',
        b"xdigit" => byte.is_ascii_hexdigit(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_fnmatch_does() {
        let cases: &[(&str, &str, bool)] = &[
            ("", "", true),
            ("*", "", true),
            ("*", "/a/.b", true),
            ("?", "", false),
            ("/home/*/.ssh/*", "/home/a/b/.ssh/id", true),
            ("*../*../*", "/a/../b/../c", true),
            ("*../*../*", "/a/../b", false),
            ("a[bc]d", "acd", true),
            ("a[!bc]d", "acd", false),
            ("a[^bc]d", "axd", true),
            ("a[b-d]e", "ace", true),
            ("a[]]b", "a]b", true),
            ("a[b", "a[b", true),
            ("a\\*b", "a*b", true),
            ("a\\*b", "axb", false),
            ("[[:digit:]]x", "7x", true),
            ("[[:digit:]]x", "ax", false),
            ("a*b*c", "aXbYbZc", true),
            ("a*b*c", "aXbYbZ", false),
            ("A?", "ab", false),
        ];
        for (pattern, text, expected) in cases {
            assert_eq!(
                glob_matches(pattern.as_bytes(), text.as_bytes(), false),
                *expected,
                "{pattern} {text}"
            );
        }
        assert!(glob_matches(b"A[B-D]*", b"acXYZ", true));
        assert!(glob_matches(b"/tmp/a?", b"/tmp/a\xff", false));
    }

    #[test]
    fn many_stars_take_no_exponential_time() {
        let text = vec![b'a'; 4096];
        assert!(!glob_matches(
            &b"*a".repeat(60).iter().copied().chain(*b"b").collect::<Vec<_>>(),
            &text,
            false
        ));
    }
}
