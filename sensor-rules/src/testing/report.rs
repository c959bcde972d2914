//! What came of running test files.

use std::fmt;

use super::coverage::Coverage;
use super::file::Case;

/// What came of running test files.
#[derive(Debug)]
pub struct Report {
    /// Every case, in the order of the files.
    pub cases: Vec<CaseResult>,
    /// Every rule, in the order of definition, tested or not.
    pub coverage: Vec<Coverage>,
}

/// What came of one case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CaseResult {
    /// The file.
    pub file: String,
    /// The line of the case, from 1.
    pub line: u64,
    /// The rule that the case is about.
    pub rule: String,
    /// Whether there is such a rule.
    pub rule_exists: bool,
    /// What happens in the case.
    pub name: String,
    /// Names of the rules that were to match, sorted.
    pub expected: Vec<String>,
    /// Names of the rules that matched, in the order of definition.
    pub got: Vec<String>,
}

impl CaseResult {
    pub(super) fn new(case: &Case, got: Vec<String>, rule_exists: bool) -> Self {
        Self {
            file: case.file.clone(),
            line: case.line,
            rule: case.rule.clone(),
            rule_exists,
            name: case.name.clone(),
            expected: case.expected.clone(),
            got,
        }
    }

    /// Whether exactly the expected rules matched, and the rule that the case is about exists.
    #[must_use]
    pub fn passed(&self) -> bool {
        let mut got = self.got.clone();
        got.sort_unstable();
        self.rule_exists && got == self.expected
    }
}

impl Report {
    /// Whether every case passed.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.cases.iter().all(CaseResult::passed)
    }

    /// The cases that did not pass.
    pub fn failures(&self) -> impl Iterator<Item = &CaseResult> {
        self.cases.iter().filter(|case| !case.passed())
    }
}

impl fmt::Display for CaseResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            file,
            line,
            rule,
            name,
            expected,
            got,
            ..
        } = self;
        let verdict = if self.passed() { "ok" } else { "FAILED" };
        write!(f, "{file}:{line}: {rule}: {name}: {verdict}")?;
        if !self.rule_exists {
            write!(f, "\n  there is no rule `{rule}`")?;
        }
        let missing: Vec<_> = expected.iter().filter(|rule| !got.contains(rule)).collect();
        let surplus: Vec<_> = got.iter().filter(|rule| !expected.contains(rule)).collect();
        if !missing.is_empty() {
            write!(f, "\n  expected, but did not match: {missing:?}")?;
        }
        if !surplus.is_empty() {
            write!(f, "\n  matched, but was not expected: {surplus:?}")?;
        }
        Ok(())
    }
}
