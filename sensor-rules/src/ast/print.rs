//! Prints a condition in Falco's canonical form.

use std::fmt;

use super::{Call, CallArg, Check, Expr, FieldName, Literal, Operand, Right};
use crate::lex::is_bare;

impl fmt::Display for Expr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::And(children) => joined(f, children, " and "),
            Self::Or(children) => joined(f, children, " or "),
            // A run of `not` cancels when it is parsed, so that two that were written apart stay apart.
            Self::Not(child) if matches!(**child, Self::Not(_)) => write!(f, "not ({child})"),
            Self::Not(child) => write!(f, "not {child}"),
            Self::Macro(reference) => match &reference.body {
                Some(body) => body.fmt(f),
                None => f.write_str(&reference.name),
            },
            Self::Check(check) => check.fmt(f),
            Self::Exception(exception) => exception.body.fmt(f),
        }
    }
}

fn joined(f: &mut fmt::Formatter<'_>, children: &[Expr], separator: &str) -> fmt::Result {
    f.write_str("(")?;
    for (position, child) in children.iter().enumerate() {
        if position > 0 {
            f.write_str(separator)?;
        }
        write!(f, "{child}")?;
    }
    f.write_str(")")
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.left, self.op.keyword())?;
        if let Some(modifier) = self.modifier {
            write!(f, " {}", modifier.keyword())?;
        }
        match &self.right {
            Right::Nothing => Ok(()),
            Right::Value(value) if self.op.is_order() => {
                write!(f, " {}", String::from_utf8_lossy(&value.bytes))
            }
            Right::Value(value) => write!(f, " {value}"),
            Right::List(values) => {
                f.write_str(" (")?;
                comma_separated(f, values)?;
                f.write_str(")")
            }
            Right::Operand(Operand::Field(field)) => write!(f, " val({field})"),
            Right::Operand(operand) => write!(f, " {operand}"),
        }
    }
}

fn comma_separated(f: &mut fmt::Formatter<'_>, items: &[impl fmt::Display]) -> fmt::Result {
    for (position, item) in items.iter().enumerate() {
        if position > 0 {
            f.write_str(", ")?;
        }
        write!(f, "{item}")?;
    }
    Ok(())
}

impl fmt::Display for Operand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Field(field) => field.fmt(f),
            Self::Call(call) => call.fmt(f),
        }
    }
}

impl fmt::Display for FieldName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        self.argument
            .as_ref()
            .map_or(Ok(()), |argument| write_argument(f, argument))
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}(", self.transformer.name())?;
        comma_separated(f, &self.args)?;
        f.write_str(")")?;
        self.index
            .as_ref()
            .map_or(Ok(()), |index| write_argument(f, index))
    }
}

impl fmt::Display for CallArg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Operand(operand) => operand.fmt(f),
            Self::Text(text) => write_quoted(f, &text.bytes),
            Self::Number(number) => f.write_str(&String::from_utf8_lossy(&number.bytes)),
            Self::List(items, _) => {
                f.write_str("(")?;
                comma_separated(f, items)?;
                f.write_str(")")
            }
        }
    }
}

impl fmt::Display for Literal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match std::str::from_utf8(&self.bytes) {
            Ok(text) if !text.is_empty() && self.bytes.iter().all(|byte| is_plain(*byte)) => {
                f.write_str(text)
            }
            _ => write_quoted(f, &self.bytes),
        }
    }
}

/// Whether a byte needs neither quotes nor an escape.
fn is_plain(byte: u8) -> bool {
    is_bare(byte) && !byte.is_ascii_control()
}

/// Writes `[argument]`, in quotes where the bare form would not hold it.
pub(crate) fn write_argument(f: &mut impl fmt::Write, argument: &str) -> fmt::Result {
    let bare = |byte: u8| {
        !byte.is_ascii_control() && !byte.is_ascii_whitespace() && !matches!(byte, b'[' | b']' | b'"' | b'\'')
    };
    f.write_str("[")?;
    if !argument.is_empty() && argument.bytes().all(bare) {
        f.write_str(argument)?;
    } else {
        write_quoted(f, argument.as_bytes())?;
    }
    f.write_str("]")
}

/// Writes text in double quotes; what is not printable UTF-8 becomes escapes.
fn write_quoted(f: &mut impl fmt::Write, bytes: &[u8]) -> fmt::Result {
    // A quote after a backslash never ends the text, so that a final backslash needs another spelling.
    let (bytes, last) = bytes
        .strip_suffix(b"\\")
        .map_or((bytes, ""), |rest| (rest, "\\x5c"));
    f.write_str("\"")?;
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            match character {
                '"' => f.write_str("\\\"")?,
                '\\' => f.write_str("\\\\")?,
                '\u{8}' => f.write_str("\\b")?,
                '\u{c}' => f.write_str("\\f")?,
                '\n' => f.write_str("\\n")?,
                '\r' => f.write_str("\\r")?,
                '\t' => f.write_str("\\t")?,
                control if control.is_ascii_control() => write!(f, "\\x{:02x}", u32::from(control))?,
                other => f.write_char(other)?,
            }
        }
        for byte in chunk.invalid() {
            write!(f, "\\x{byte:02x}")?;
        }
    }
    write!(f, "{last}\"")
}
