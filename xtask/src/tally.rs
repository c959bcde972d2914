//! Runs Rust test programs, passes on what they print and adds up their results.

use std::fmt;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

use crate::process;

/// Counted test results.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Tally {
    /// Tests that passed.
    pub(crate) passed: u64,
    /// Tests that failed.
    pub(crate) failed: u64,
    /// Tests that were not run because they are marked so.
    pub(crate) ignored: u64,
    /// Test programs that ended badly, by a failed test or otherwise.
    pub(crate) bad_exits: u64,
}

impl fmt::Display for Tally {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            out,
            "{} passed, {} failed, {} ignored",
            self.passed, self.failed, self.ignored
        )
    }
}

impl Tally {
    /// Runs a command whose output is, or contains, that of libtest.
    pub(crate) fn run(&mut self, command: &mut Command) -> Result<()> {
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.spawn().with_context(|| process::not_started(command))?;
        let stdout = child
            .stdout
            .take()
            .context("the command has no standard output")?;
        for line in BufReader::new(stdout).split(b'\n') {
            let line = line.context("cannot read the tests' output")?;
            let line = String::from_utf8_lossy(&line);
            println!("{line}");
            self.count(&line);
        }
        if !child.wait().context("cannot wait for the tests")?.success() {
            self.bad_exits += 1;
        }
        Ok(())
    }

    /// Adds what a line like `test result: ok. 3 passed; 0 failed; 1 ignored; …` says; others say nothing.
    pub(crate) fn count(&mut self, line: &str) {
        let Some((_, counts)) = line
            .strip_prefix("test result: ")
            .and_then(|rest| rest.split_once(". "))
        else {
            return;
        };
        for part in counts.split("; ") {
            let Some((number, what)) = part.split_once(' ') else {
                continue;
            };
            let Ok(number) = number.parse::<u64>() else {
                continue;
            };
            match what {
                "passed" => self.passed += number,
                "failed" => self.failed += number,
                "ignored" => self.ignored += number,
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adds_up_what_test_programs_print() {
        let mut tally = Tally::default();
        for line in [
            "running 4 tests",
            "test a ... ok",
            "test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.01s",
            "test result: FAILED. 10 passed; 2 failed; 0 ignored; 0 measured; 7 filtered out; finished in 1.00s",
            "test result: nonsense",
        ] {
            tally.count(line);
        }
        assert_eq!(
            tally,
            Tally {
                passed: 13,
                failed: 2,
                ignored: 1,
                bad_exits: 0
            }
        );
    }

    #[test]
    fn a_program_that_dies_without_a_result_is_counted() -> Result<()> {
        let mut tally = Tally::default();
        tally.run(Command::new("sh").args(["-c", "kill -SEGV $$"]))?;
        assert_eq!(
            tally,
            Tally {
                bad_exits: 1,
                ..Tally::default()
            }
        );
        Ok(())
    }
}
