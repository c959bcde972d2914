//! A run of several stages: all are tried, and a closing table says how each ended.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::step;

/// How a stage ended that did not fail.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// All was well; what there is to say about it, possibly nothing.
    Passed(String),
    /// It could not be run here, and that is no fault of this tree; why.
    Skipped(String),
}

/// The stages so far.
#[derive(Debug, Default)]
pub(crate) struct Report {
    stages: Vec<Stage>,
}

#[derive(Debug)]
struct Stage {
    name: &'static str,
    state: &'static str,
    detail: String,
    time: Duration,
}

impl Report {
    /// Runs one stage. Its failure is kept for the end, so that one run shows all that is wrong.
    pub(crate) fn stage(&mut self, name: &'static str, work: impl FnOnce() -> Result<Outcome>) {
        let started = step::heading(name);
        let (state, detail) = match work() {
            Ok(Outcome::Passed(detail)) => ("ok", detail),
            Ok(Outcome::Skipped(why)) => ("skipped", why),
            Err(error) => {
                eprintln!("error: {error:#}");
                (
                    "FAILED",
                    format!("{error:#}").lines().next().unwrap_or_default().to_owned(),
                )
            }
        };
        self.stages.push(Stage {
            name,
            state,
            detail,
            time: started.elapsed(),
        });
    }

    /// Prints the table and the verdict, on standard output so that it is the last thing there.
    pub(crate) fn finish(self, title: &str, started: Instant) -> Result<()> {
        println!("\n{title}: summary");
        for Stage {
            name,
            state,
            detail,
            time,
        } in &self.stages
        {
            println!("  {name:<18} {state:<8} {:>12}  {detail}", step::seconds(*time));
        }
        let failed = self.stages.iter().filter(|stage| stage.state == "FAILED").count();
        let verdict = if failed == 0 { "ok" } else { "FAILED" };
        println!(
            "{title} result: {verdict} in {}",
            step::seconds(started.elapsed())
        );
        if failed > 0 {
            bail!("{failed} of {} stages failed", self.stages.len());
        }
        Ok(())
    }
}
