//! Reading a detection's values in a test.

use sensor_proto::v1::{Detection, field_value::Kind};

/// Values of a detection's output fields; a field that the rule's output does not name is a fault of the test.
pub trait Values {
    /// What the field's value is; `None` when it has none.
    fn value(&self, field: &str) -> Option<&Kind>;

    /// The value as a person reads it; empty when there is none.
    fn text(&self, field: &str) -> String {
        match self.value(field) {
            None => String::new(),
            Some(Kind::StringValue(text)) => text.clone(),
            Some(Kind::IntValue(number)) => number.to_string(),
            Some(Kind::UintValue(number)) => number.to_string(),
            Some(Kind::BoolValue(is_so)) => is_so.to_string(),
            Some(Kind::DoubleValue(number)) => number.to_string(),
        }
    }

    /// The value, which must be a number.
    fn number(&self, field: &str) -> i64 {
        let text = self.text(field);
        text.parse()
            .unwrap_or_else(|_| panic!("{field} is not a number but {text:?}"))
    }

    /// The value, which must be a truth value.
    fn is(&self, field: &str) -> bool {
        match self.value(field) {
            Some(Kind::BoolValue(is_so)) => *is_so,
            other => panic!("{field} is not a truth value but {other:?}"),
        }
    }
}

impl Values for Detection {
    fn value(&self, field: &str) -> Option<&Kind> {
        let value = self.output_fields.get(field);
        value
            .unwrap_or_else(|| panic!("the rule's output does not name {field}: {self:#?}"))
            .kind
            .as_ref()
    }
}
