//! Output formats: the text of a detection, and its fields as typed values.

use crate::engine::Scratch;
use crate::event::Event;
use crate::field::{Catalogue, FieldRef};

/// A parsed output format.
#[derive(Clone, Debug)]
pub struct Output {
    fields: Vec<OutputField>,
}

/// A field of an output.
#[derive(Clone, Debug)]
pub struct OutputField {
    /// Its key in `output_fields`, spelled as the printer of conditions does.
    pub key: String,
    /// The field that the agent is asked for, or `None` for a transformer.
    pub field: Option<FieldRef>,
}

/// An output format that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct OutputError {
    /// Byte offset of the token.
    pub offset: usize,
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
    /// A signed number.
    Int(i64),
    /// An unsigned number.
    Uint(u64),
    /// A fraction.
    Double(f64),
    /// Text; what was not UTF-8 is U+FFFD.
    Text(String),
    /// A list.
    List(Vec<Self>),
}

impl Output {
    /// Parses a format.
    ///
    /// # Errors
    /// A `%` without a known field or transformer after it.
    pub fn parse(format: &str, catalogue: &Catalogue) -> Result<Self, OutputError> {
        let _ = (format, catalogue);
        Ok(Self { fields: Vec::new() })
    }

    /// Writes the text, without the time and priority before it.
    pub fn render(&self, event: &impl Event, text: &mut String, scratch: &mut Scratch) {
        let _ = (event, text, scratch);
    }

    /// The fields of the format with their keys, each once.
    #[must_use]
    pub fn fields(&self) -> &[OutputField] {
        &self.fields
    }

    /// The fields that the agent is asked for, those inside transformers included.
    pub(crate) fn source_fields(&self) -> Vec<FieldRef> {
        self.fields.iter().filter_map(|field| field.field.clone()).collect()
    }

    /// The value of one of [`Output::fields`].
    pub fn value(&self, field: &OutputField, event: &impl Event, scratch: &mut Scratch) -> OutputValue {
        let _ = (field, event, scratch);
        OutputValue::Null
    }
}
