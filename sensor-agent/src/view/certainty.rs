//! How sure the event is: our own fields, which Falco does not know.
//!
//! `None` stands for "does not apply" or "cannot be told", so that a rule which asks for a mismatch never gets a guess.

use std::fmt;

use sensor_common::{
    record::{self, flags},
    syscall::Call,
};
use sensor_rules::{event::Value, field::Field};

use super::{
    View,
    socket::{AF_INET, AF_INET6},
    text, write,
};
use crate::event::Body;

/// A reason why a path cannot be compared with the name that was given.
const NOT_COMPARABLE: u32 =
    flags::PATH_TRUNCATED | flags::FILE_RACED | flags::GIVEN_UNREADABLE | flags::GIVEN_TRUNCATED;

/// The two that nobody forked: init and kthreadd (`rest_init`, `init/main.c`). Every line ends at one of them.
const FIRST_PROCESSES: [u32; 2] = [1, 2];

impl View<'_> {
    pub(super) fn certainty_value<'b>(&'b self, field: Field, buf: &'b mut Vec<u8>) -> Option<Value<'b>> {
        match field {
            Field::EvtTruncated => {
                let mut is_incomplete = false;
                self.each_incomplete(&mut |_| is_incomplete = true);
                Some(Value::Bool(is_incomplete))
            }
            Field::EvtIncomplete => {
                self.each_incomplete(&mut |what| {
                    if !buf.is_empty() {
                        buf.extend_from_slice(b"; ");
                    }
                    write(buf, what);
                });
                text(buf)
            }
            Field::PathMismatch => Some(Value::Bool(self.path_mismatch()?)),
            Field::PathUnresolved => {
                let (_, resolved) = self.paths()?;
                let is_given = self
                    .event
                    .has(flags::PATH_PARTLY_GIVEN | flags::PATH2_PARTLY_GIVEN);
                Some(Value::Bool(resolved.is_empty() || is_given))
            }
            Field::ProcArgsTruncated => {
                let cut = flags::ARGV_TRUNCATED | flags::ARGV_UNREADABLE;
                let image = self.image?;
                Some(Value::Bool(image.is_partial || image.flags & cut != 0))
            }
            Field::ProcLineageIncomplete => Some(Value::Bool(self.is_lineage_incomplete())),
            _ => None,
        }
    }

    /// Whether an ancestor, or its program, is not known.
    fn is_lineage_incomplete(&self) -> bool {
        let Some(own) = self.process else { return true };
        let mut oldest = own;
        for process in self.state.processes.ancestors(own) {
            if process.image_at(self.event.header.time_ns).is_partial {
                return true;
            }
            oldest = process;
        }
        !FIRST_PROCESSES.contains(&oldest.key.tgid)
    }

    /// Calls `note` with each thing that is known to be incomplete, as `field: reason`.
    pub(super) fn each_incomplete(&self, note: &mut dyn FnMut(fmt::Arguments<'_>)) {
        for (flag, what) in [
            (flags::PATH_TRUNCATED, "path: truncated"),
            (
                flags::FILE_RACED,
                "fd.name: the descriptor changed before it could be read",
            ),
            (flags::GIVEN_UNREADABLE, "fd.nameraw: unreadable"),
            (flags::GIVEN_TRUNCATED, "fd.nameraw: truncated"),
            (
                flags::ADDRESS_FROM_CALLER,
                "fd.name: the address is what the caller gave",
            ),
            (
                flags::RESULT_ASSUMED,
                "evt.rawres: told before the call's end, which was not seen",
            ),
            (flags::TAIL_FULL, "record: too long"),
        ] {
            if self.event.has(flag) {
                note(format_args!("{what}"));
            }
        }
        if matches!(&self.event.body, Body::Socket(socket) if is_open_port(self.event.call(), &socket.fixed))
        {
            note(format_args!(
                "fd.sport: the kernel chose the port after it was told"
            ));
        }
        if self.are_facts_pending() {
            note(format_args!("container: facts are still looked for"));
        }
        if self.are_names_pending() || self.are_ids_pending() {
            note(format_args!("user: names and ids are still looked for"));
        }
        self.note_program(note);
        self.note_environment(note);
        if let Some(why) = self.facts().and_then(|facts| facts.missing) {
            note(format_args!("container: labels and digests are missing: {why}"));
        }
        let Some(image) = self.image else {
            note(format_args!("proc: unknown process"));
            return;
        };
        if image.is_partial {
            note(format_args!(
                "proc.exepath: the start of the program was not seen"
            ));
        }
        if image.flags & flags::ARGV_TRUNCATED != 0 {
            note(format_args!(
                "proc.cmdline: truncated, {} bytes in all",
                image.argv_len
            ));
        }
        if image.flags & flags::ARGV_UNREADABLE != 0 {
            note(format_args!("proc.cmdline: unreadable"));
        }
        if image.flags & flags::CWD_TRUNCATED != 0 {
            note(format_args!("proc.cwd: truncated"));
        }
    }

    /// The path of the event as the caller gave it and as the kernel resolved it (empty where it did not), where the
    /// event is about one.
    fn paths(&self) -> Option<(&[u8], &[u8])> {
        match &self.event.body {
            Body::Open(open) => Some((open.given, open.path)),
            // Of an interpreted program the caller names the script and the kernel the interpreter.
            Body::Exec(exec) if !self.event.has(flags::INTERPRETED) => Some((exec.filename, exec.path)),
            Body::Socket(connect) => {
                // An abstract name is no path, and neither is an internet address.
                let end = memchr::memchr(0, connect.given).unwrap_or(connect.given.len());
                (end > 0).then_some((&connect.given[..end], connect.path))
            }
            Body::Path(path) => (!path.given.is_empty()).then_some((path.given, path.path)),
            Body::Exec(_) | Body::Fork(_) | Body::Exit(_) | Body::Identity(_) | Body::Plain(_) => None,
        }
    }

    fn path_mismatch(&self) -> Option<bool> {
        let (given, resolved) = self.paths()?;
        let can_compare = !given.is_empty() && !resolved.is_empty() && !self.event.has(NOT_COMPARABLE);
        can_compare.then(|| differs(given, resolved))
    }
}

/// Whether a socket listens on a port that is not known yet: TCP's state changes before the port is chosen.
fn is_open_port(call: Call, fixed: &record::SocketCall) -> bool {
    call == Call::Listen && fixed.local_port == 0 && matches!(fixed.family, AF_INET | AF_INET6)
}

/// Whether a name as given cannot be that of the resolved path without a link, `.`, `..` or a doubled slash.
///
/// A relative name is compared with the path's end: the folder that it starts from may be any descriptor's, and may have
/// changed since the process told it.
fn differs(given: &[u8], resolved: &[u8]) -> bool {
    if given.first() == Some(&b'/') {
        return given != resolved;
    }
    let before = resolved.strip_suffix(given);
    !before.is_some_and(|before| before.is_empty() || before.ends_with(b"/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_differs_when_it_cannot_be_the_path_itself() {
        for (given, resolved, expected) in [
            ("/etc/shadow", "/etc/shadow", false),
            ("/etc//shadow", "/etc/shadow", true),
            ("/etc/../etc/shadow", "/etc/shadow", true),
            ("/tmp/link", "/etc/shadow", true),
            ("shadow", "/etc/shadow", false),
            ("etc/shadow", "/etc/shadow", false),
            ("adow", "/etc/shadow", true),
            ("./shadow", "/etc/shadow", true),
            ("link", "/etc/shadow", true),
            ("memfd:x", "memfd:x", false),
        ] {
            assert_eq!(
                differs(given.as_bytes(), resolved.as_bytes()),
                expected,
                "{given} {resolved}"
            );
        }
    }
}
