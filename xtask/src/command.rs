//! The command line: one variant and one module a command.

mod bench;
mod build;
mod build_ebpf;
mod configurations;
mod demo;
mod doc_check;
mod fuzz;
mod harness;
mod image;
mod k8s;
mod lint;
mod manifests;
mod run;
mod setup;
mod test;
mod vmtest;

use anyhow::Result;
use clap::{Parser, Subcommand};

use crate::repo::Repo;

/// Developer tasks of sensor.
///
/// On a new machine start with `cargo xtask demo` (see it work) or `cargo xtask test` (check it).
/// Both install what they need first; `cargo xtask setup` does only that.
#[derive(Debug, Parser)]
#[command(bin_name = "cargo xtask", max_term_width = 100)]
pub(crate) struct Xtask {
    #[command(subcommand)]
    command: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    Setup(setup::Setup),
    Build(build::Build),
    BuildEbpf(build_ebpf::BuildEbpf),
    Run(run::Run),
    Demo(demo::Demo),
    Test(test::Test),
    Vmtest(vmtest::Vmtest),
    Bench(bench::Bench),
    Fuzz(fuzz::Fuzz),
    Lint(lint::Lint),
    DocCheck(doc_check::DocCheck),
    Image(image::Image),
    K8s(k8s::K8s),
    Manifests(manifests::Manifests),
}

impl Xtask {
    /// Runs the chosen command to its end.
    pub(crate) fn run(&self, repo: &Repo) -> Result<()> {
        match &self.command {
            Task::Setup(command) => command.run(repo),
            Task::Build(command) => command.run(repo),
            Task::BuildEbpf(command) => command.run(repo),
            Task::Run(command) => command.run(repo),
            Task::Demo(command) => command.run(repo),
            Task::Test(command) => command.run(repo),
            Task::Vmtest(command) => command.run(repo),
            Task::Bench(command) => command.run(repo),
            Task::Fuzz(command) => command.run(repo),
            Task::Lint(command) => command.run(repo),
            Task::DocCheck(command) => command.run(repo),
            Task::Image(command) => command.run(repo),
            Task::K8s(command) => command.run(repo),
            Task::Manifests(command) => command.run(repo),
        }
    }
}
