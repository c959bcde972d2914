//! Versions as rule files require them: `x.y.z`, compared as Falco does.

use std::fmt;

/// A version of the engine or of a plugin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version {
    /// Incompatible changes.
    pub major: u32,
    /// New features.
    pub minor: u32,
    /// Fixes.
    pub patch: u32,
}

impl Version {
    /// A version from its parts.
    #[must_use]
    pub const fn new(major: u32, minor: u32, patch: u32) -> Self {
        Self { major, minor, patch }
    }

    /// Reads `x.y.z`; what follows the third number (`-rc1`) does not count.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.trim_start().splitn(3, '.');
        let major = parts.next()?.parse().ok()?;
        let minor = parts.next()?.parse().ok()?;
        let last = parts.next()?;
        let digits = last.bytes().take_while(u8::is_ascii_digit).count();
        Some(Self {
            major,
            minor,
            patch: last[..digits].parse().ok()?,
        })
    }

    /// Whether something that needs `required` works with this version.
    #[must_use]
    pub fn satisfies(self, required: Self) -> bool {
        self.major == required.major && self >= required
    }
}

impl fmt::Display for Version {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

/// Reads an engine version: a number N is short for `0.N.0`.
pub(crate) fn parse_engine_version(text: &str) -> Option<Version> {
    match text.parse::<u32>() {
        Ok(minor) => Some(Version::new(0, minor, 0)),
        Err(_) => Version::parse(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_engine_versions() {
        for (text, expected) in [
            ("26", Some(Version::new(0, 26, 0))),
            ("0.26.0", Some(Version::new(0, 26, 0))),
            ("0.26.1-rc2", Some(Version::new(0, 26, 1))),
            ("0.26", None),
            ("seven", None),
            ("-1", None),
            ("1.2.x", None),
        ] {
            assert_eq!(parse_engine_version(text), expected, "{text}");
        }
    }

    #[test]
    fn compatible_is_same_major_and_not_older() {
        let engine = Version::new(0, 63, 0);
        for (required, expected) in [
            ("0.63.0", true),
            ("0.57.9", true),
            ("0.63.1", false),
            ("1.0.0", false),
        ] {
            assert_eq!(
                engine.satisfies(Version::parse(required).unwrap()),
                expected,
                "{required}"
            );
        }
    }
}
