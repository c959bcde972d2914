//! Reads a journal from its start and follows the chain.

use std::collections::BTreeSet;
use std::io::{self, BufRead, Read};

use serde::Deserialize;

use super::super::hash::Hash;

/// Longest line in bytes; the longest that is written is a program's output, 128 KiB that may all be escaped.
const LINE_BYTES_MAX: u64 = 2 << 20;
/// Unfinished runs that are named.
const UNFINISHED_MAX: usize = 1024;

/// What is in a journal.
#[derive(Debug, Default)]
pub(super) struct Scan {
    pub(super) records: u64,
    /// Bytes of whole lines.
    pub(super) whole_bytes: u64,
    pub(super) torn_bytes: u64,
    pub(super) first_seq: u64,
    pub(super) first_prev: Option<String>,
    pub(super) next_seq: u64,
    pub(super) head: Hash,
    pub(super) unfinished: Vec<String>,
    /// The first line (from 1) that does not follow from the one before it, and why.
    pub(super) broken: Option<(u64, String)>,
}

/// The part of a line that the chain needs.
#[derive(Debug, Deserialize)]
struct Link {
    seq: u64,
    prev: String,
    kind: String,
    run: Option<String>,
}

/// Reads to the end. A broken chain is noted, and followed on from the line where it broke.
pub(super) fn scan(mut journal: impl BufRead) -> io::Result<Scan> {
    let mut found = Scan::default();
    let mut unfinished = BTreeSet::new();
    let mut line = Vec::new();
    loop {
        line.clear();
        let read = (&mut journal).take(LINE_BYTES_MAX).read_until(b'\n', &mut line)? as u64;
        if read == 0 {
            break;
        }
        if line.pop_if(|byte| *byte == b'\n').is_none() {
            if read == LINE_BYTES_MAX {
                return Err(io::Error::other(format!(
                    "line {} is longer than {read} bytes",
                    found.records + 1
                )));
            }
            found.torn_bytes = read;
            break;
        }
        found.records += 1;
        found.whole_bytes += read;
        match follow(&found, &line) {
            Ok(next) => {
                if found.records == 1 {
                    found.first_seq = next.seq;
                    found.first_prev = Some(next.prev);
                }
                found.next_seq = next.seq.saturating_add(1);
                if let Some(run) = next.run {
                    match next.kind.as_str() {
                        "intent" if unfinished.len() < UNFINISHED_MAX => drop(unfinished.insert(run)),
                        "outcome" => drop(unfinished.remove(&run)),
                        _ => {}
                    }
                } else if next.kind == "opened" {
                    // That line names the runs that were unfinished then.
                    unfinished.clear();
                }
            }
            Err(why) => {
                found.next_seq += 1;
                found.broken = found.broken.or(Some((found.records, why)));
            }
        }
        found.head = Hash::of(&line);
    }
    found.unfinished = unfinished.into_iter().collect();
    Ok(found)
}

/// Whether `line` follows what was `found` so far.
fn follow(found: &Scan, line: &[u8]) -> Result<Link, String> {
    let next: Link = serde_json::from_slice(line).map_err(|error| format!("is not a record: {error}"))?;
    let first = found.records == 1;
    // A file that follows a full one starts with a line that says so: the earlier lines are not missing.
    let may_continue = first && next.kind == "continued";
    if !may_continue && next.prev != found.head.to_string() {
        return Err("does not carry the hash of the line before it".into());
    }
    if !may_continue && next.seq != found.next_seq {
        return Err(format!(
            "has number {} where {} was due",
            next.seq, found.next_seq
        ));
    }
    Ok(next)
}
