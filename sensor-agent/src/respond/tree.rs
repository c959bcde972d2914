//! Kills processes that may start others meanwhile.
//!
//! Killing one by one loses the race against one that forks. So first everything is stopped, from the top down, again
//! and again until a look at all processes shows nothing new and nothing that still runs; then everything is killed.

use std::collections::HashSet;
use std::io;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::process::{self, Held, HoldError, Start, Stat};

/// Looks at all processes before giving up on a tree that keeps growing.
const ROUNDS_MAX: u32 = 200;
/// Processes that are held at one time, each with a file descriptor.
const HELD_MAX: usize = 4096;
/// Time for a stop to reach a process on another processor.
const ROUND_PAUSE: Duration = Duration::from_millis(1);

/// What became of the processes.
#[derive(Debug, Default)]
pub(crate) struct Killed {
    /// Ended, by our signal or by themselves.
    pub(crate) ended: Vec<Stat>,
    /// Not ended by the deadline.
    pub(crate) alive: Vec<Stat>,
    /// Why there may be more.
    pub(crate) incomplete: Option<String>,
}

/// Stops, then kills, what `members` names in a list of all processes, besides `held`.
///
/// `members` is asked again with each new list; what it names belongs to the set from then on. Parents must come before
/// their children.
pub(crate) fn stop_and_kill(
    held: Vec<Held>,
    members: impl FnMut(&[Stat]) -> Vec<Stat>,
    deadline: Instant,
) -> io::Result<Killed> {
    let mut held = held;
    for process in &held {
        process.signal(Signal::STOP)?;
    }
    // Whatever goes wrong from here on, what is stopped must also be killed.
    let incomplete = stop_all(&mut held, members, deadline)
        .err()
        .map(|error| error.to_string());
    let mut killed = Killed {
        incomplete,
        ..Killed::default()
    };
    for process in &held {
        if let Err(error) = process.signal(Signal::KILL) {
            killed.incomplete = Some(format!("{}: {error}", process.stat.describe()));
        }
    }
    for process in held {
        let list = if process.ended_by(deadline) {
            &mut killed.ended
        } else {
            &mut killed.alive
        };
        list.push(process.stat);
    }
    Ok(killed)
}

fn stop_all(
    held: &mut Vec<Held>,
    mut members: impl FnMut(&[Stat]) -> Vec<Stat>,
    deadline: Instant,
) -> io::Result<()> {
    for _ in 0..ROUNDS_MAX {
        let all = process::all()?;
        let mut settled = true;
        for member in members(&all) {
            let known = held.iter().any(|process| {
                process.stat.pid == member.pid && process.stat.start_ticks == member.start_ticks
            });
            if known {
                settled &= !member.may_run();
                continue;
            }
            match Held::new(member.pid, Start::Ticks(member.start_ticks)) {
                Ok(process) => {
                    process.signal(Signal::STOP)?;
                    settled = false;
                    held.push(process);
                }
                Err(HoldError::Gone(_) | HoldError::Reused(_)) => {}
                Err(error) => return Err(io::Error::other(error)),
            }
            if held.len() >= HELD_MAX {
                return Err(io::Error::other(format!("more than {HELD_MAX} processes")));
            }
        }
        if settled {
            return Ok(());
        }
        if Instant::now() >= deadline {
            return Err(io::Error::other("no time was left to find all of its processes"));
        }
        std::thread::sleep(ROUND_PAUSE);
    }
    Err(io::Error::other(
        "it started processes faster than they could be stopped",
    ))
}

/// `root` and its descendants in `all`, parents first, without the subtrees that `spare` names.
pub(crate) fn descendants(root: u32, all: &[Stat], mut spare: impl FnMut(&Stat) -> bool) -> Vec<Stat> {
    let children = process::children(all);
    let mut found: Vec<Stat> = all
        .iter()
        .filter(|process| process.pid == root)
        .cloned()
        .collect();
    // Ids that are used again while the list is read could make a circle.
    let mut seen = HashSet::from([root]);
    let mut at = 0;
    while let Some(parent) = found.get(at).map(|parent| parent.pid) {
        for child in children.get(&parent).into_iter().flatten() {
            if seen.insert(child.pid) && !spare(child) {
                found.push((*child).clone());
            }
        }
        at += 1;
    }
    found
}
