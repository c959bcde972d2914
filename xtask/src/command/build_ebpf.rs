//! `cargo xtask build-ebpf`: the eBPF object alone, and what is in it.

use std::collections::BTreeMap;
use std::fs;

use anyhow::{Context, Result};
use clap::Args;
use object::read::elf::ElfFile64;
use object::{Object, ObjectSection, ObjectSymbol, SymbolKind};

use crate::repo::Repo;
use crate::step;

use super::setup::{self, Need};

/// Build the eBPF object and list its programs.
///
/// A plain `cargo build` does this too, through the agent's build script and with the same flags. Always
/// optimised: the kernel's verifier does not accept what the compiler writes otherwise.
#[derive(Debug, Args)]
pub(super) struct BuildEbpf {}

impl BuildEbpf {
    #[expect(clippy::unused_self, reason = "every command runs by the same signature")]
    pub(super) fn run(&self, repo: &Repo) -> Result<()> {
        setup::ensure(repo, Need::Build)?;
        let started = step::heading("building the eBPF programs");
        let object = repo.ebpf(&repo.target("ebpf")).build()?;
        eprintln!(
            "── building the eBPF programs: done in {}",
            step::seconds(started.elapsed())
        );

        let bytes = fs::read(&object).with_context(|| format!("cannot read {}", object.display()))?;
        println!("{} ({} bytes)", object.display(), bytes.len());
        let programs = programs(&bytes)?;
        println!("{} programs (section, name, instructions):", programs.len());
        for ((section, name), instructions) in &programs {
            println!("  {section:<44} {name:<32} {instructions:>6}");
        }
        Ok(())
    }
}

/// The programs of an object: section and name, and their length in instructions.
///
/// Functions in `.text` are called by programs and are none themselves.
fn programs(object: &[u8]) -> Result<BTreeMap<(String, String), u64>> {
    const INSTRUCTION_BYTES: u64 = 8;
    let elf: ElfFile64<'_> = ElfFile64::parse(object).context("the object is no 64-bit ELF file")?;
    let mut programs = BTreeMap::new();
    for symbol in elf
        .symbols()
        .filter(|symbol| symbol.kind() == SymbolKind::Text && symbol.is_global())
    {
        let Some(index) = symbol.section_index() else {
            continue;
        };
        let section = elf
            .section_by_index(index)
            .context("a symbol lies in no section")?;
        let section = section.name().context("a section has no name")?;
        if section != ".text" {
            let name = symbol.name().context("a program has no name")?;
            programs.insert(
                (section.to_owned(), name.to_owned()),
                symbol.size() / INSTRUCTION_BYTES,
            );
        }
    }
    Ok(programs)
}
