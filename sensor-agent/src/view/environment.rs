//! `proc.env` and `proc.aenv`.

use sensor_rules::{
    event::Value,
    field::{Field, FieldArg},
};

use super::View;
use crate::state::{
    environment::{Environment, EnvironmentKey},
    process::Image,
    workload::Progress,
};

/// Every field of this file.
pub(super) const fn is_of_environment(field: Field) -> bool {
    matches!(field, Field::ProcEnv | Field::ProcAenv)
}

impl View<'_> {
    /// The environment of a process of the lineage; 0 is the process itself.
    fn environment(&self, level: u32) -> Option<&Environment> {
        let (_, image) = self.lineage(level)?;
        self.state.environments.answers().get(&image.environment?)
    }

    /// The environments of the process's ancestors, the nearest first.
    fn environments_above(&self) -> impl Iterator<Item = Option<&Environment>> {
        let above = self
            .process
            .into_iter()
            .flat_map(|own| self.state.processes.ancestors(own));
        above.map(|process| {
            let image = process.image_at(self.event.header.time_ns);
            self.state.environments.answers().get(&image.environment?)
        })
    }

    pub(super) fn environment_value<'b>(
        &'b self,
        field: Field,
        arg: &FieldArg,
        buf: &'b mut Vec<u8>,
    ) -> Option<Value<'b>> {
        let found = match (field, arg) {
            (Field::ProcEnv, FieldArg::Key(name)) => {
                return self.environment(0)?.value(name.as_bytes()).map(Value::Text);
            }
            // The nearest ancestor that has it.
            (Field::ProcAenv, FieldArg::Key(name)) => {
                return self
                    .environments_above()
                    .find_map(|found| found?.value(name.as_bytes()))
                    .map(Value::Text);
            }
            (Field::ProcEnv, _) => self.environment(0)?,
            (_, FieldArg::Index(level)) => self.environment(*level)?,
            _ => return None,
        };
        for (number, variable) in found.variables().enumerate() {
            if number > 0 {
                buf.push(b' ');
            }
            buf.extend_from_slice(variable);
        }
        Some(Value::Text(buf))
    }

    /// Whether the field may have another value in truth.
    pub(super) fn is_environment_unsure(&self, field: Field, arg: &FieldArg) -> bool {
        let is_unsure = |found: Option<&Environment>| found.is_none_or(|found| found.is_cut);
        match (field, arg) {
            (Field::ProcEnv, _) => is_unsure(self.environment(0)),
            (_, FieldArg::Index(level)) => is_unsure(self.environment(*level)),
            _ => self.environments_above().any(is_unsure),
        }
    }

    /// Which environment this event may have to wait for.
    pub(super) fn environment_key(&self) -> Option<EnvironmentKey> {
        self.image.and_then(|image: &Image| image.environment)
    }

    /// Whether it is still read.
    pub(super) fn is_environment_pending(&self) -> bool {
        self.environment_key()
            .is_some_and(|key| self.state.environments.answers().progress(&key) == Progress::Asked)
    }

    /// Says what is not known of the environment, where a rule asks for it.
    pub(super) fn note_environment(&self, note: &mut dyn FnMut(std::fmt::Arguments<'_>)) {
        if !self.state.environments.is_wanted {
            return;
        }
        match self.environment(0) {
            _ if self.is_environment_pending() => note(format_args!("proc.env: it is still read")),
            None => note(format_args!("proc.env: it could not be read")),
            Some(found) if found.is_cut => note(format_args!("proc.env: cut")),
            Some(_) => {}
        }
    }
}
