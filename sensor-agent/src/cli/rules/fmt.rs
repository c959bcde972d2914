//! `sensor rules fmt`

use std::{
    fmt::Write as _,
    fs, io,
    path::{Path, PathBuf},
};

use clap::Args;
use sensor_rules::fmt::format;

use super::{FileArgs, count, explain::read};
use crate::{
    cli::{Exit, fail, print, say},
    rules,
};

/// Arguments of `sensor rules fmt`.
#[derive(Debug, Clone, Args)]
#[command(after_long_help = "\
Lines stay broken where their author broke them. In a condition that stands below `condition: >`, blanks between words
become one, an `and` or `or` outside of brackets moves from the end of a line to the start of the next, and a line beyond
120 columns is broken at its outermost `and`s and `or`s. Trailing blanks go, and so do blank lines beyond one. Nothing else
changes: a file is only written if it still says the same, word by word.

Examples:
  sensor rules fmt my-rules.yaml
  sensor rules fmt --check rules/

Exit codes:
  0  done; with --check: nothing would change
  1  a file cannot be read or written; with --check: files would change
  2  a file cannot be formatted")]
pub(super) struct FmtArgs {
    #[command(flatten)]
    files: FileArgs,
    /// Write nothing, and name the files that would change
    #[arg(long)]
    check: bool,
}

pub(super) fn run(args: &FmtArgs) -> Result<Exit, Exit> {
    let config = args.files.config()?;
    let files = rules::files(&config.files).map_err(|error| fail(Exit::Wrong, &error))?;
    let (mut changed, mut refused) = (Vec::new(), 0);
    for path in &files {
        let bytes = read(path)?;
        let formatted = std::str::from_utf8(&bytes)
            .map_err(|error| error.to_string())
            .and_then(|text| format(text).map_err(|error| error.to_string()));
        match formatted {
            Ok(text) if text.as_bytes() != bytes => {
                if !args.check {
                    replace(path, &text).map_err(|error| {
                        let why = format_args!("cannot write {}: {error}", path.display());
                        fail(Exit::Failed, &why)
                    })?;
                }
                changed.push(path);
            }
            Ok(_) => {}
            Err(why) => {
                refused += 1;
                say(&format_args!("error: {}: {why}", path.display()));
            }
        }
    }
    let verb = if args.check { "would change" } else { "changed" };
    let mut text = String::new();
    for path in &changed {
        // Writing to a string does not fail.
        let _ = writeln!(text, "{verb}: {}", path.display());
    }
    let _ = writeln!(text, "{}: {} {verb}", count(files.len(), "file"), changed.len());
    let printed = print(&text);
    Ok(match printed {
        Exit::Done if refused > 0 => Exit::Wrong,
        Exit::Done if args.check && !changed.is_empty() => Exit::Failed,
        exit => exit,
    })
}

/// Puts a new text in a file's place at once, so that nobody reads half of it. A link stays, and so do permissions.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    let path = fs::canonicalize(path)?;
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.tmp", std::process::id()));
    let beside: PathBuf = path.with_file_name(name);
    let written = fs::write(&beside, text)
        .and_then(|()| fs::set_permissions(&beside, fs::metadata(&path)?.permissions()))
        .and_then(|()| fs::rename(&beside, &path));
    if written.is_err() {
        // What went wrong before is what the user must know.
        let _ = fs::remove_file(&beside);
    }
    written
}
