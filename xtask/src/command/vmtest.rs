//! `cargo xtask vmtest`: the sensor on other kernels than this machine's.

mod guest;
mod kernels;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::repo::Repo;
use crate::step;
use crate::tally::Tally;

use self::guest::Root;
use self::kernels::{Kernel, MATRIX};
use super::build::{self, Profile};
use super::harness;
use super::setup::{self, Need};

/// Run the sensor on Debian's kernels 5.10, 6.1, 6.12, 6.18 and the newest, each in QEMU.
///
/// In each guest `sensor doctor` loads and attaches everything, and then the end-to-end tests of events run:
/// the same programs that run on this machine, with the same exact values. Kernels come from Debian's archive,
/// through an apt state of this tool's own, into <target>/vm. QEMU emulates the processor, so no /dev/kvm is
/// needed; a kernel takes about a minute.
///
/// Not part of `cargo xtask test`. Example: `cargo xtask vmtest --kernel 5.10 -- open`.
#[derive(Debug, Args)]
pub(super) struct Vmtest {
    /// Only this kernel of the matrix; may be given several times
    #[arg(long, value_name = "NAME", value_parser = MATRIX.map(|kernel| kernel.name))]
    kernel: Vec<String>,
    /// Write the table into docs/kernels.md
    #[arg(long)]
    write: bool,
    /// Run the tests whose name contains this
    #[arg(last = true, value_name = "FILTER")]
    args: Vec<String>,
}

/// Programs of this machine that the tests call.
const PROGRAMS: [&str; 13] = [
    "sh", "true", "sleep", "cat", "date", "env", "setpriv", "setsid", "script", "unshare", "runc", "nsenter",
    "bash",
];

/// Where the generated table stands.
const DOCUMENT: &str = "docs/kernels.md";
const BEGIN: &str = "<!-- begin: cargo xtask vmtest --write -->\n";
const END: &str = "<!-- end -->";

/// Between the doctor's answer and the tests' output.
const MARK: &str = "=== tests ===";

/// What one kernel showed.
struct Row {
    release: String,
    doctor: String,
    fields: String,
    hooks: String,
    tests: Tally,
    failed: Vec<String>,
    skipped: usize,
}

impl Vmtest {
    pub(super) fn run(&self, repo: &Repo) -> Result<()> {
        let started = Instant::now();
        setup::ensure(repo, Need::Vm)?;
        build::agent(repo, Profile::Release)?;
        let root = self.root(repo)?;
        let folder = repo.target("vm");
        let mut rows = Vec::new();
        let chosen =
            |kernel: &&Kernel| self.kernel.is_empty() || self.kernel.iter().any(|name| name == kernel.name);
        for kernel in MATRIX.iter().filter(chosen) {
            step::heading(&format!("kernel {}", kernel.name));
            let fetched = kernels::fetch(*kernel, &folder)?;
            let outcome = guest::boot(&root, &fetched, &folder.join(kernel.name))?;
            let row = read(&outcome.output);
            let text = row.as_ref().map_or_else(|| "no result".to_owned(), Row::line);
            println!("{:<8} {text} ({})", kernel.name, step::seconds(outcome.took));
            match row {
                Some(row) if outcome.code == Some(0) => rows.push(Ok(row)),
                row => {
                    println!("{}\n{}", outcome.output, outcome.console);
                    rows.push(row.ok_or(kernel.name));
                }
            }
        }
        println!("\n{}", table(&rows));
        if self.write {
            write(&repo.path(DOCUMENT), &table(&rows))?;
        }
        let bad = rows
            .iter()
            .filter(|row| !row.as_ref().is_ok_and(Row::is_good))
            .count();
        println!(
            "vmtest: {} kernels in {}",
            rows.len(),
            step::seconds(started.elapsed())
        );
        if bad > 0 {
            bail!("{bad} of {} kernels failed", rows.len());
        }
        Ok(())
    }

    /// The guests' file system: the agent, the tests of events, and what those call.
    fn root(&self, repo: &Repo) -> Result<Root> {
        let mut root = Root::new(&repo.target("vm/root"))?;
        root.program(&repo.sensor(), "sensor")?;
        let tests = harness::build_tests(repo)?;
        let events = tests
            .iter()
            .find(|path| file_name(path).starts_with("events-"))
            .context("sensor-tests has no test program `events`")?;
        root.program(events, "tests/events")?;
        let helpers = repo.target("vm/helpers");
        let build = repo.target("debug/build-helpers");
        step::quiet(
            repo,
            "test helpers",
            std::process::Command::new(build).arg(&helpers),
        )?;
        root.tree(&helpers, "helpers")?;
        for program in PROGRAMS {
            if !root.system_program(program)? {
                println!("there is no {program} here: tests that call it fail or are skipped");
            }
        }
        let filter = self.args.join(" ");
        // Two at a time: a guest has two processors, and a test's deadline counts.
        root.text(
            "start",
            &format!(
                "/sensor doctor --format json\necho\necho '{MARK}'\nexport SENSOR_BIN=/sensor SENSOR_HELPERS=/helpers SENSOR_TESTS_PATIENCE=10\n\
                 cd /tmp && /tests/events --test-threads=2 {filter}\n"
            ),
        )?;
        Ok(root)
    }
}

fn file_name(path: &Path) -> String {
    path.file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}

/// Reads what a guest printed.
fn read(output: &str) -> Option<Row> {
    let (doctor, tests) = output.split_once(MARK)?;
    let doctor: serde_json::Value =
        serde_json::from_str(doctor.lines().find(|line| line.starts_with('{'))?).ok()?;
    let checks = doctor["checks"].as_array()?;
    let text = |check: &serde_json::Value, key: &str| check[key].as_str().unwrap_or_default().to_owned();
    let named = |name: &str| {
        let found = checks.iter().find(|check| check["name"] == name);
        found.map(|check| text(check, "found")).unwrap_or_default()
    };
    let hooks: Vec<_> = checks.iter().filter(|check| check["area"] == "hook").collect();
    let good = hooks.iter().filter(|check| check["state"] == "ok").count();
    let mut tally = Tally::default();
    tests.lines().for_each(|line| tally.count(line));
    let failed = tests
        .lines()
        .filter_map(|line| line.strip_prefix("test ")?.strip_suffix(" ... FAILED"))
        .map(str::to_owned)
        .collect();
    let fields = named("BTF");
    Some(Row {
        release: named("release"),
        doctor: if doctor["can_run"] == true {
            "runs"
        } else {
            "cannot run"
        }
        .to_owned(),
        fields: fields
            .rsplit_once(": ")
            .map_or(fields.as_str(), |(_, counts)| counts)
            .trim_end_matches(" fields")
            .to_owned(),
        hooks: format!("{good} of {}", hooks.len()),
        tests: tally,
        failed,
        skipped: tests.matches("skipped:").count(),
    })
}

impl Row {
    fn is_good(&self) -> bool {
        self.doctor == "runs" && self.tests.failed == 0 && self.tests.passed > 0
    }

    fn line(&self) -> String {
        let mut line = format!(
            "{}: {}, fields {}, hooks {}, tests: {}, {} skipped",
            self.release, self.doctor, self.fields, self.hooks, self.tests, self.skipped,
        );
        for name in &self.failed {
            line.push_str("\n  FAILED ");
            line.push_str(name);
        }
        line
    }
}

fn table(rows: &[std::result::Result<Row, &str>]) -> String {
    let mut text =
        "| Kernel (Debian, QEMU) | `sensor doctor` | Fields | Hooks | Tests of events passed | Failed |\n\
                    | --- | --- | --- | --- | --- | --- |\n"
            .to_owned();
    for row in rows {
        let line = match row {
            Ok(row) => format!(
                "| {} | {} | {} | {} | {} | {} |\n",
                row.release,
                row.doctor,
                row.fields,
                row.hooks,
                row.tests.passed,
                if row.failed.is_empty() {
                    row.tests.failed.to_string()
                } else {
                    row.failed.join(", ")
                }
            ),
            Err(name) => format!("| {name} | no result | | | | |\n"),
        };
        text.push_str(&line);
    }
    text
}

fn write(path: &PathBuf, table: &str) -> Result<()> {
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let (before, rest) = text
        .split_once(BEGIN)
        .with_context(|| format!("{} has no line {BEGIN}", path.display()))?;
    let (_, after) = rest
        .split_once(END)
        .with_context(|| format!("{} has no line {END}", path.display()))?;
    let text = format!("{before}{BEGIN}{table}{END}{after}");
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}
