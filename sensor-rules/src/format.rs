//! Output formats: the text of a detection, and its fields as typed values.
//!
//! `%field`, `%field[argument]` and `%transformer(…)` stand for values of the event; a number after the percent sign
//! pads or cuts the value to so many columns. A field ends where its name can: `%proc.name.` is the field and a dot.

mod parse;
mod render;

use crate::ast::Operand as Written;
use crate::check;
use crate::compile::emit::{Slots, add_source};
use crate::error::ErrorKind;
use crate::eval::{Scratch, SlotId, Source};
use crate::event::Event;
use crate::field::{Catalogue, Field, FieldFlag, FieldRef};
use crate::ir::Operand;

/// A parsed output format.
#[derive(Clone, Debug, Default)]
pub struct Output {
    parts: Vec<Part>,
    fields: Vec<OutputField>,
    sources: Vec<Source>,
}

/// A piece of the format.
#[derive(Clone, Debug)]
enum Part {
    Text(String),
    Value {
        slot: SlotId,
        columns: Option<usize>,
        padded: bool,
    },
}

/// A field of an output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutputField {
    /// Its key in `output_fields`, spelled as the printer of conditions does.
    pub key: String,
    /// The field that the agent is asked for, or `None` for a transformer.
    pub field: Option<FieldRef>,
    slot: SlotId,
}

/// A field that is added to those of an output.
#[derive(Clone, Debug)]
pub struct ExtraField {
    /// Its key in `output_fields`.
    pub key: String,
    /// How it is rendered.
    pub output: Output,
    /// Whether it is one field, shown with its own type instead of as text.
    pub is_field: bool,
}

impl ExtraField {
    /// Its value.
    pub fn value(&self, event: &impl Event, scratch: &mut Scratch) -> OutputValue {
        if let (true, [field, ..]) = (self.is_field, self.output.fields()) {
            return self.output.value(field, event, scratch);
        }
        let mut text = String::new();
        self.output.render(event, &mut text, scratch);
        OutputValue::Text(text)
    }
}

/// An output format that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct OutputError {
    /// Byte offset of the token in the format.
    pub offset: usize,
    /// Length of the token in bytes.
    pub bytes: usize,
    /// Whether `skip-if-unknown-filter` excuses it: it names a field that this version does not know.
    pub is_unknown_filter: bool,
    /// The whole sentence for the user.
    pub message: String,
}

/// A value as `output_fields` shows it.
#[derive(Clone, Debug, PartialEq)]
pub enum OutputValue {
    /// No value.
    Null,
    /// `true`, `false`.
    Bool(bool),
    /// A signed number; times are nanoseconds.
    Int(i64),
    /// An unsigned number.
    Uint(u64),
    /// A fraction.
    Double(f64),
    /// Text; what was not UTF-8 is U+FFFD. Byte buffers show `.` for what is not printable.
    Text(String),
    /// A list.
    List(Vec<Self>),
}

impl Output {
    /// Parses a format. A leading `*`, which asks for `<NA>` where a value is missing, is always understood.
    ///
    /// # Errors
    /// A `%` without a known field or transformer after it.
    pub fn parse(format: &str, catalogue: &Catalogue) -> Result<Self, OutputError> {
        let mut builder = Builder {
            catalogue,
            slots: Slots::default(),
            output: Self::default(),
            text: String::new(),
        };
        let mut at = usize::from(format.starts_with('*'));
        while let Some(percent) = format[at..].find('%') {
            builder.text.push_str(&format[at..at + percent]);
            at = builder.token(format, at + percent)?;
        }
        builder.text.push_str(&format[at..]);
        builder.end_text();
        Ok(builder.output)
    }

    /// Appends the text, without the time and priority before it. Missing values are `<NA>` and invalid UTF-8 is U+FFFD;
    /// control characters stay, for whoever shows the text to escape. At most [`crate::limits::OUTPUT_BYTES_MAX`] bytes
    /// are added.
    pub fn render(&self, event: &impl Event, text: &mut String, scratch: &mut Scratch) {
        scratch.begin(&self.sources, 0);
        render::render(&self.parts, &self.sources, event, text, &mut scratch.values);
    }

    /// The fields of the format with their keys, each once; for a transformer also the fields inside.
    #[must_use]
    pub fn fields(&self) -> &[OutputField] {
        &self.fields
    }

    /// The value of one of [`Output::fields`].
    pub fn value(&self, field: &OutputField, event: &impl Event, scratch: &mut Scratch) -> OutputValue {
        scratch.begin(&self.sources, 0);
        let value = scratch.values.get(&self.sources, field.slot, event);
        render::typed(&scratch.values, value)
    }

    /// Names of deprecated fields of the format that Falco warns of (`LOAD_DEPRECATED_ITEM`), each once.
    #[must_use]
    pub fn deprecated_fields(&self) -> Vec<&'static str> {
        let fields = self.fields.iter().filter_map(|field| field.field.as_ref());
        let mut names: Vec<_> = fields
            .filter(|field| check::is_reported_as_deprecated(field.field))
            .map(|field| field.field.info().name)
            .collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// The fields that the agent is asked for, those inside transformers included.
    pub(crate) fn source_fields(&self) -> impl Iterator<Item = FieldRef> + '_ {
        self.sources.iter().filter_map(|source| match source {
            Source::Field(field) => Some(field.clone()),
            Source::Ancestors(field) => Some(FieldRef::plain(*field)),
            Source::EventType => Some(FieldRef::plain(Field::EvtType)),
            Source::Text(_) | Source::Number(_) | Source::List(_) | Source::Call(..) => None,
        })
    }
}

struct Builder<'a> {
    catalogue: &'a Catalogue,
    slots: Slots,
    output: Output,
    /// Text since the last value.
    text: String,
}

impl Builder<'_> {
    /// Reads the token at the percent sign at `at` and returns where it ends.
    fn token(&mut self, format: &str, at: usize) -> Result<usize, OutputError> {
        let digits = format[at + 1..].bytes().take_while(u8::is_ascii_digit).count();
        let columns = format[at + 1..at + 1 + digits].parse().ok();
        let start = at + 1 + digits;
        let invalid = |is_unknown_filter: bool, why: &str| {
            let word: String = format[start..]
                .chars()
                .take_while(|c| !c.is_whitespace() && *c != '%')
                .collect();
            let message = format!("invalid formatting token {word}{why}");
            OutputError {
                offset: at,
                bytes: start + word.len() - at,
                is_unknown_filter,
                message,
            }
        };
        if columns.is_none() && digits > 0 {
            return Err(invalid(true, ": the number of columns is too large"));
        }
        let Some((written, used)) = parse::longest_operand(&format[start..], self.catalogue) else {
            let why = if format[start..].is_empty() {
                ": a field must follow '%'"
            } else {
                ""
            };
            return Err(invalid(true, why));
        };
        let operand = check::output_operand(&written, self.catalogue).map_err(|error| {
            let is_unknown = error.is_unknown_filter() || error.kind == ErrorKind::Argument;
            invalid(is_unknown, &format!(": {error}"))
        })?;
        self.end_text();
        let slot = self.field(&written, &operand);
        let padded =
            matches!(&operand, Operand::Field(field) if field.field.info().flags.has(FieldFlag::Padded));
        self.output.parts.push(Part::Value {
            slot,
            columns,
            padded,
        });
        if let Written::Call(call) = &written {
            for inner in parse::fields_of(call) {
                if let Ok(operand) = check::output_operand(&inner, self.catalogue) {
                    self.field(&inner, &operand);
                }
            }
        }
        Ok(start + used)
    }

    /// Adds the field under its key, unless the output has it.
    fn field(&mut self, written: &Written, operand: &Operand) -> SlotId {
        let slot = add_source(operand, &mut self.output.sources, &mut self.slots);
        let key = written.to_string();
        if !self.output.fields.iter().any(|field| field.key == key) {
            let field = match operand {
                Operand::Field(field) => Some(field.clone()),
                Operand::Ancestors(field) => Some(FieldRef::plain(*field)),
                _ => None,
            };
            self.output.fields.push(OutputField { key, field, slot });
        }
        slot
    }

    fn end_text(&mut self) {
        if !self.text.is_empty() {
            self.output.parts.push(Part::Text(std::mem::take(&mut self.text)));
        }
    }
}
