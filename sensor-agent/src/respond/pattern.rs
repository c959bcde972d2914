//! Patterns in which `*` stands for any text, and nothing else is special.

/// A pattern for names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pattern(String);

impl Pattern {
    pub(crate) fn new(pattern: &str) -> Self {
        Self(pattern.to_owned())
    }

    pub(crate) fn fits(&self, text: &[u8]) -> bool {
        fits(self.0.as_bytes(), text)
    }
}

/// A pattern for absolute paths: `*` stops at `/`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PathPattern(String);

impl PathPattern {
    pub(crate) fn new(pattern: &str) -> Self {
        Self(pattern.to_owned())
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    pub(crate) fn fits(&self, path: &[u8]) -> bool {
        let mut pattern = self.0.as_bytes().split(|byte| *byte == b'/');
        let mut path = path.split(|byte| *byte == b'/');
        loop {
            match (pattern.next(), path.next()) {
                (None, None) => return true,
                (Some(pattern), Some(part)) if fits(pattern, part) => {}
                _ => return false,
            }
        }
    }
}

/// Whether `text` fits `pattern`, in time proportional to their product at most.
pub(crate) fn fits(pattern: &[u8], text: &[u8]) -> bool {
    let (mut at, mut text_at) = (0, 0);
    // Where to go on after the last star was found to stand for too little.
    let mut retry: Option<(usize, usize)> = None;
    while text_at < text.len() {
        match pattern.get(at) {
            Some(b'*') => {
                retry = Some((at, text_at));
                at += 1;
            }
            Some(byte) if *byte == text[text_at] => {
                at += 1;
                text_at += 1;
            }
            _ => match retry {
                Some((star, from)) => {
                    retry = Some((star, from + 1));
                    at = star + 1;
                    text_at = from + 1;
                }
                None => return false,
            },
        }
    }
    pattern[at..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::{PathPattern, fits};

    #[test]
    fn star_stands_for_any_text() {
        let cases = [
            ("", "", true),
            ("*", "", true),
            ("abc", "abc", true),
            ("abc", "abcd", false),
            ("a*c", "abbc", true),
            ("a*c", "abcb", false),
            ("*shell*", "a shell in a container", true),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-c-b", false),
            ("a?c", "abc", false),
        ];
        for (pattern, text, expected) in cases {
            assert_eq!(
                fits(pattern.as_bytes(), text.as_bytes()),
                expected,
                "{pattern} on {text}"
            );
        }
    }

    #[test]
    fn star_in_a_path_stops_at_the_slash() {
        let cases = [
            ("/etc/*", "/etc/passwd", true),
            ("/etc/*", "/etc/ssh/config", false),
            ("/etc/*/config", "/etc/ssh/config", true),
            ("/etc/passwd", "/etc/passwd", true),
            ("/etc/passwd", "etc/passwd", false),
            ("/etc", "/etc/", false),
        ];
        for (pattern, path, expected) in cases {
            assert_eq!(
                PathPattern::new(pattern).fits(path.as_bytes()),
                expected,
                "{pattern} on {path}"
            );
        }
    }
}
