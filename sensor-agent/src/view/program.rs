//! What is known of the program's file beyond what the kernel told: its hash, its package, and whether the container's
//! image brought it.

use sensor_common::record::flags;
use sensor_rules::{event::Value, field::Field};

use super::View;
use crate::state::{
    programs::{Hashed, Packaged, ProgramFacts},
    workload::Progress,
};

/// Fields whose values another thread finds out.
pub(super) const fn is_looked_up(field: Field) -> bool {
    matches!(
        field,
        Field::ProcExeSha256 | Field::ProcExePackage | Field::ProcIsExePackaged | Field::HashRaced
    )
}

/// Every field of this file.
pub(super) const fn is_of_program(field: Field) -> bool {
    is_looked_up(field) || matches!(field, Field::ProcIsExeFromImage | Field::ProcExeDrift)
}

fn hex(digest: &[u8; 32]) -> String {
    digest.iter().fold(String::new(), |mut text, byte| {
        let _infallible = std::fmt::Write::write_fmt(&mut text, format_args!("{byte:02x}"));
        text
    })
}

impl View<'_> {
    pub(super) fn program_value<'b>(&'b self, field: Field, buf: &'b mut Vec<u8>) -> Option<Value<'b>> {
        match field {
            Field::ProcIsExeFromImage => Some(Value::Bool(self.is_from_image()?)),
            Field::ProcExeDrift => Some(Value::Text(self.drift()?.as_bytes())),
            _ => {
                let facts = self.program_facts()?;
                match (field, &facts.hashed, &facts.packaged) {
                    (Field::ProcExeSha256, Hashed::Known(digest), _) => {
                        buf.extend_from_slice(hex(digest).as_bytes());
                        Some(Value::Text(buf))
                    }
                    (Field::HashRaced, Hashed::Known(_) | Hashed::Raced, _) => {
                        Some(Value::Bool(facts.hashed == Hashed::Raced))
                    }
                    (Field::ProcExePackage, _, Packaged::Owned(name)) => Some(Value::Text(name.as_bytes())),
                    (Field::ProcIsExePackaged, _, Packaged::Owned(_)) => Some(Value::Bool(true)),
                    (Field::ProcIsExePackaged, _, Packaged::Unowned) => Some(Value::Bool(false)),
                    _ => None,
                }
            }
        }
    }

    /// The hash, where it is known; else empty.
    pub(crate) fn exe_sha256(&self) -> String {
        match self.program_facts().map(|facts| &facts.hashed) {
            Some(Hashed::Known(digest)) => hex(digest),
            _ => String::new(),
        }
    }

    /// The package, where there is one; else empty.
    pub(crate) fn exe_package(&self) -> String {
        match self.program_facts().map(|facts| &facts.packaged) {
            Some(Packaged::Owned(name)) => name.to_string(),
            _ => String::new(),
        }
    }

    /// What another thread has found out of the program's file.
    pub(crate) fn program_facts(&self) -> Option<&ProgramFacts> {
        self.state.programs.files.get(&self.image?.program?)
    }

    /// Whether it still looks.
    pub(super) fn is_program_pending(&self) -> bool {
        self.image
            .and_then(|image| image.program)
            .is_some_and(|key| self.state.programs.files.progress(&key) == Progress::Asked)
    }

    /// Why the container's image did not bring the program as it runs; `None` where it did, where it cannot be told, and
    /// on the host.
    fn drift(&self) -> Option<&'static str> {
        let container = self.container()?;
        let image = self.image.filter(|image| !image.is_partial)?;
        if image.flags & flags::MEMFD != 0 {
            return Some("memfd");
        }
        if image.flags & flags::UPPER_LAYER != 0 {
            return Some("upper_layer");
        }
        if image.flags & flags::LOWER_LAYER != 0 {
            return None;
        }
        let ran_ns = self.state.residences.get(&container.id)?.ran_ns;
        let is_new = ran_ns != 0 && image.file.ctime_ns > self.context.clock.epoch_ns(ran_ns);
        is_new.then_some("changed_after_start")
    }

    /// Whether the container's image brought the program, unchanged; `None` where it cannot be told.
    fn is_from_image(&self) -> Option<bool> {
        let image = self.image.filter(|image| !image.is_partial)?;
        self.container()?;
        if image.flags & flags::LOWER_LAYER != 0 {
            return Some(true);
        }
        if self.drift().is_some() {
            return Some(false);
        }
        // Neither layer, and older than the container: a volume's, or that of an image that is unpacked without layers.
        let facts = self.facts().filter(|facts| facts.is_verified)?;
        let is_below = |folder: &str| {
            let below = image
                .exe_path
                .strip_prefix(folder.trim_end_matches('/').as_bytes());
            below.is_some_and(|below| below.first() == Some(&b'/'))
        };
        let is_volume = facts.mounts.iter().any(|mount| is_below(&mount.destination));
        Some(!is_volume)
    }

    /// Says what is not known of the program's hash, where somebody asked for it.
    pub(super) fn note_program(&self, note: &mut dyn FnMut(std::fmt::Arguments<'_>)) {
        if self.is_program_pending() {
            note(format_args!("proc.exe: the file is still looked at"));
        }
        let reason = match self.program_facts().map(|facts| &facts.hashed) {
            Some(Hashed::Raced) => "another file was there by then",
            Some(Hashed::TooLong) => "the file is too long",
            Some(Hashed::Unreadable) => "the file could not be read",
            None | Some(Hashed::Known(_) | Hashed::Unasked) => return,
        };
        note(format_args!("proc.exe.sha256: {reason}"));
    }
}
