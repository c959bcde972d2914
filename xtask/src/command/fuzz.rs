//! `cargo xtask fuzz`: the fuzz targets under libFuzzer.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;
use std::{env, fs, io};

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::process;
use crate::repo::Repo;
use crate::step;

use super::setup::{self, Need, fuzzer};

/// Run the fuzz targets under libFuzzer, guided by coverage, and say what was found.
///
/// Each target starts from its corpus in the tree and from what earlier runs found (<target>/fuzz-corpus). An input that
/// fails is printed with the command that repeats it; mended, it becomes a file of the corpus, which the ordinary tests run.
///
/// cargo-fuzz comes from crates.io into the cache, once. Example: `cargo xtask fuzz --target record --seconds 600`.
#[derive(Debug, Args)]
pub(super) struct Fuzz {
    /// Only this target; may be given several times
    #[arg(long, value_name = "NAME")]
    target: Vec<String>,
    /// How long each target runs
    #[arg(long, default_value_t = 60)]
    seconds: u32,
}

/// A crate with fuzz targets, and what they are instrumented with besides coverage.
struct Group {
    folder: &'static str,
    sanitizer: &'static str,
    /// Whether the crate embeds the eBPF object.
    has_programs: bool,
}

const GROUPS: [Group; 2] = [
    // It forbids unsafe code: there is nothing for a sanitizer to find.
    Group {
        folder: "sensor-rules/fuzz",
        sanitizer: "none",
        has_programs: false,
    },
    Group {
        folder: "sensor-agent/fuzz",
        sanitizer: "address",
        has_programs: true,
    },
];

/// Inputs are no longer than this.
const INPUT_BYTES_MAX: u32 = 16 * 1024;
/// An input that takes longer is a finding.
const INPUT_SECONDS_MAX: u32 = 25;
/// A target that needs more memory is a finding.
const MEMORY_MIB_MAX: u32 = 2048;

/// What one target did.
struct Row {
    target: String,
    executions: String,
    coverage: String,
    inputs: usize,
    finding: Option<PathBuf>,
}

impl Fuzz {
    pub(super) fn run(&self, repo: &Repo) -> Result<()> {
        let started = Instant::now();
        setup::ensure(repo, Need::Build)?;
        let program = fuzzer::ensure(repo)?;
        let mut rows = Vec::new();
        let mut known = Vec::new();
        for group in &GROUPS {
            let targets = targets(&repo.path(group.folder))?;
            let wanted: Vec<_> = targets
                .iter()
                .filter(|name| self.target.is_empty() || self.target.contains(name))
                .collect();
            if !wanted.is_empty() {
                build(repo, &program, group)?;
            }
            for target in wanted {
                rows.push(self.fuzz(repo, group, target)?);
            }
            known.extend(targets);
        }
        if let Some(unknown) = self.target.iter().find(|name| !known.contains(name)) {
            bail!(
                "there is no fuzz target `{unknown}`; there are: {}",
                known.join(", ")
            );
        }
        println!(
            "\n{:<14} {:>12} {:>9} {:>7}  found",
            "target", "executions", "coverage", "inputs"
        );
        for row in &rows {
            let found = row
                .finding
                .as_ref()
                .map_or("nothing".into(), |path| path.display().to_string());
            println!(
                "{:<14} {:>12} {:>9} {:>7}  {found}",
                row.target, row.executions, row.coverage, row.inputs
            );
        }
        println!("{}", step::seconds(started.elapsed()));
        let found = rows.iter().filter(|row| row.finding.is_some()).count();
        if found > 0 {
            bail!("{found} of {} targets have a finding", rows.len());
        }
        Ok(())
    }

    fn fuzz(&self, repo: &Repo, group: &Group, target: &str) -> Result<Row> {
        let binary = repo
            .target("fuzz")
            .join(format!("{}/release", triple()?))
            .join(target);
        let corpus = folder(repo.target("fuzz-corpus").join(target))?;
        let findings = folder(repo.target("fuzz-findings").join(target))?;
        let before = files(&findings)?;
        let log = repo.target("xtask-log").join(format!("fuzz-{target}.log"));
        let output = fs::File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
        step::heading(&format!("fuzzing {target} for {} s", self.seconds));
        let mut command = Command::new(&binary);
        command
            .arg(&corpus)
            .arg(repo.path(group.folder).join("corpus").join(target))
            .arg(format!("-artifact_prefix={}/", findings.display()))
            .arg(format!("-max_total_time={}", self.seconds))
            .arg(format!("-max_len={INPUT_BYTES_MAX}"))
            .arg(format!("-timeout={INPUT_SECONDS_MAX}"))
            .arg(format!("-rss_limit_mb={MEMORY_MIB_MAX}"))
            .arg("-print_final_stats=1")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(output);
        let status = command.status().with_context(|| process::not_started(&command))?;
        let text = fs::read(&log).with_context(|| format!("cannot read {}", log.display()))?;
        let text = String::from_utf8_lossy(&text);
        let mut new = files(&findings)?;
        new.retain(|path| !before.contains(path));
        let finding = new.pop();
        match &finding {
            Some(path) => println!(
                "found: {}\n  repeat: {} {}",
                path.display(),
                binary.display(),
                path.display()
            ),
            None if !status.success() => {
                bail!("{target} ended with {status}; its output is in {}", log.display())
            }
            None => {}
        }
        Ok(Row {
            target: target.to_owned(),
            executions: executions(&text).unwrap_or("?").to_owned(),
            coverage: coverage(&text).unwrap_or("?").to_owned(),
            inputs: files(&corpus)?.len(),
            finding,
        })
    }
}

/// Builds the targets of a crate, with instrumentation that is for nightly compilers unless they are told otherwise.
fn build(repo: &Repo, program: &Path, group: &Group) -> Result<()> {
    // cargo finds its subcommands by the path.
    let own = program.parent().unwrap_or(program).to_path_buf();
    let path = env::var_os("PATH").unwrap_or_default();
    let path =
        env::join_paths([own].into_iter().chain(env::split_paths(&path))).context("PATH cannot be set")?;
    let mut command = repo.cargo("fuzz");
    command
        .args(["build", "--release", "--sanitizer", group.sanitizer, "--fuzz-dir"])
        .arg(repo.path(group.folder))
        .arg("--target-dir")
        .arg(repo.target("fuzz"))
        .env("PATH", path)
        .env("RUSTC_BOOTSTRAP", "1");
    if group.has_programs {
        // Flags for the instrumentation are not for the eBPF compiler.
        let object = repo.ebpf(&repo.target("ebpf")).build()?;
        command.env("SENSOR_EBPF_OBJECT_PREBUILT", object);
    }
    step::quiet(repo, &format!("building {}", group.folder), &mut command)
}

/// The targets of a crate: those that have a corpus.
fn targets(fuzz: &Path) -> Result<Vec<String>> {
    let mut names: Vec<_> = files(&fuzz.join("corpus"))?
        .iter()
        .filter_map(|path| Some(path.file_name()?.to_string_lossy().into_owned()))
        .collect();
    names.sort();
    Ok(names)
}

/// The compiler's name for this machine, which is that of cargo-fuzz's folder.
fn triple() -> Result<String> {
    let version = process::output(Command::new("rustc").arg("-vV"))?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.context("rustc does not say what it is for")?.to_owned())
}

fn folder(path: PathBuf) -> Result<PathBuf> {
    fs::create_dir_all(&path).with_context(|| format!("cannot make {}", path.display()))?;
    Ok(path)
}

fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let read = || {
        fs::read_dir(folder)?
            .map(|entry| Ok(entry?.path()))
            .collect::<io::Result<_>>()
    };
    read().with_context(|| format!("cannot read {}", folder.display()))
}

/// What libFuzzer's last lines say: how many inputs ran.
fn executions(log: &str) -> Option<&str> {
    log.lines()
        .find_map(|line| line.strip_prefix("stat::number_of_executed_units:"))
        .map(str::trim)
}

/// The edges that were reached: `#123 DONE cov: 456 ft: …`, or the last line before a finding.
fn coverage(log: &str) -> Option<&str> {
    let line = log
        .lines()
        .rfind(|line| line.starts_with('#') && line.contains(" cov: "))?;
    line.split_once(" cov: ")?.1.split(' ').next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_read_from_libfuzzers_output() {
        let log = "INFO: Seed: 1\n#2\tINITED cov: 81 ft: 90 corp: 1/1b\n#195426\tDONE   cov: 7206 ft: 26639 corp: 1723/175Kb\n\
                   Done 195426 runs in 201 second(s)\nstat::number_of_executed_units: 195426\nstat::peak_rss_mb: 45\n";
        assert_eq!((executions(log), coverage(log)), (Some("195426"), Some("7206")));
        assert_eq!((executions(""), coverage("")), (None, None));
    }
}
