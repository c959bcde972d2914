//! Converts constants to the type of the value that they are compared with.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

use crate::ast::{Literal, Op};
use crate::error::{ConditionError, ErrorKind};
use crate::field::{EventType, Field, FieldType, service_port};
use crate::ir::{Constants, Kind, Operand};
use crate::limits::CONSTANT_BYTES_MAX;
use crate::matcher::compile_regex;

/// Converts the constants right of `op`.
pub(super) fn convert(
    operand: &Operand,
    kind: Kind,
    op: Op,
    literals: &[Literal],
) -> Result<Constants, ConditionError> {
    for literal in literals {
        if literal.bytes.len() > CONSTANT_BYTES_MAX {
            let message = format!(
                "filter parameter too long: {} bytes, {CONSTANT_BYTES_MAX} are the most",
                literal.bytes.len()
            );
            return Err(ConditionError::new(ErrorKind::Constant, literal.span, message));
        }
    }
    match kind.value_type {
        FieldType::Text => each(literals, |literal| text(operand, op, literal)).map(Constants::Text),
        FieldType::Bytes => each(literals, |literal| bytes(op, literal)).map(Constants::Text),
        FieldType::IpAddr => each(literals, ip).map(Constants::Ip),
        FieldType::IpNet => each(literals, net).map(Constants::Net),
        number => each(literals, |literal| self::number(number, literal)).map(Constants::Number),
    }
}

fn each<T>(
    literals: &[Literal],
    convert: impl Fn(&Literal) -> Result<T, String>,
) -> Result<Vec<T>, ConditionError> {
    literals
        .iter()
        .map(|literal| {
            convert(literal).map_err(|message| {
                let kind = if message.starts_with(UNKNOWN_EVENT) {
                    ErrorKind::UnknownEventType
                } else {
                    ErrorKind::Constant
                };
                ConditionError::new(kind, literal.span, message)
            })
        })
        .collect()
}

const UNKNOWN_EVENT: &str = "unknown event type ";

fn shown(literal: &Literal) -> String {
    String::from_utf8_lossy(&literal.bytes).into_owned()
}

fn text(operand: &Operand, op: Op, literal: &Literal) -> Result<Vec<u8>, String> {
    if literal.bytes.contains(&0) {
        return Err("a NUL byte cannot occur in text: only byte buffers are compared with it".to_owned());
    }
    if op == Op::Regex {
        compile_regex(&literal.bytes)
            .map_err(|error| format!("'{}' is not a valid regular expression: {error}", shown(literal)))?;
    }
    let is_event_type = matches!(operand, Operand::Field(field) if field.field == Field::EvtType);
    let is_name = matches!(op, Op::Eq | Op::EqEq | Op::Ne | Op::In | Op::Intersects);
    if is_event_type && is_name {
        let name = shown(literal);
        if EventType::from_name(&name).is_none() {
            let hint = EventType::all()
                .map(|known| (strsim::damerau_levenshtein(known.name(), &name), known.name()))
                .min()
                .filter(|(distance, _)| *distance <= name.len().div_ceil(4))
                .map_or_else(String::new, |(_, known)| format!(", did you mean '{known}'?"));
            return Err(format!("{UNKNOWN_EVENT}{name}{hint}"));
        }
    }
    Ok(literal.bytes.clone())
}

fn bytes(op: Op, literal: &Literal) -> Result<Vec<u8>, String> {
    if !matches!(op, Op::BContains | Op::BStartsWith) {
        return Ok(literal.bytes.clone());
    }
    let digit = |byte: u8| {
        char::from(byte)
            .to_digit(16)
            .and_then(|digit| u8::try_from(digit).ok())
    };
    let pairs = literal.bytes.chunks(2).map(|pair| match pair {
        [high, low] => Some(digit(*high)? << 4 | digit(*low)?),
        _ => None,
    });
    pairs.collect::<Option<Vec<_>>>().ok_or_else(|| {
        format!(
            "'{}' is not an even number of hexadecimal digits without '0x'",
            shown(literal)
        )
    })
}

fn ip(literal: &Literal) -> Result<IpAddr, String> {
    let text = shown(literal);
    let parsed = if text.contains('.') {
        text.parse::<Ipv4Addr>().ok().map(IpAddr::from)
    } else {
        text.parse::<Ipv6Addr>().ok().map(IpAddr::from)
    };
    parsed.ok_or_else(|| format!("'{text}' is not a valid IP address"))
}

fn net(literal: &Literal) -> Result<IpNet, String> {
    let text = shown(literal);
    text.parse()
        .map_err(|_| format!("'{text}' is not a valid network: write address/prefix length"))
}

fn number(value_type: FieldType, literal: &Literal) -> Result<i128, String> {
    let text = shown(literal);
    match value_type {
        FieldType::Bool => match text.as_str() {
            "true" => return Ok(1),
            "false" => return Ok(0),
            _ => return Err(format!("'{text}' is not a valid boolean: use 'true' or 'false'")),
        },
        FieldType::Port if text.is_empty() => return Ok(0),
        FieldType::Port if !text.bytes().all(|byte| byte.is_ascii_digit()) => {
            return service_port(&text)
                .map(i128::from)
                .ok_or_else(|| format!("'{text}' is not a valid port number or service name"));
        }
        _ => {}
    }
    let parsed = text.parse::<i128>().map_err(|_| {
        format!("'{text}' is not a valid number: only decimal digits with an optional sign are")
    })?;
    fit(value_type, parsed).ok_or_else(|| {
        format!(
            "'{text}' is not a valid number: it does not fit type {}",
            value_type.name()
        )
    })
}

/// The value that the type's bits have. Small types wrap, and negative numbers are taken for unsigned types, as Falco
/// does; `None` where nothing of the number would be left.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "wrapping is what the language asks for"
)]
fn fit(value_type: FieldType, number: i128) -> Option<i128> {
    let bits = |low: i128, high: i128| (low..=high).contains(&number).then_some(number);
    Some(match value_type {
        FieldType::Uint8 => i128::from(bits(i64::MIN.into(), i64::MAX.into())? as u8),
        FieldType::Int16 => i128::from(bits(i64::MIN.into(), i64::MAX.into())? as i16),
        FieldType::Port => i128::from(bits(i64::MIN.into(), i64::MAX.into())? as u16),
        FieldType::Int32 => i128::from(bits(i32::MIN.into(), u32::MAX.into())? as i32),
        FieldType::Uint32 => i128::from(bits(i32::MIN.into(), u32::MAX.into())? as u32),
        FieldType::Int64 => bits(i64::MIN.into(), i64::MAX.into())?,
        _ => i128::from(bits(i64::MIN.into(), u64::MAX.into())? as u64),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ast::Span;

    #[test]
    fn numbers_fit_their_types() {
        use FieldType::{Bool, Double, Int16, Int32, Int64, Port, Uint8, Uint32, Uint64};
        let cases = [
            (Int64, "-5", Some(-5)),
            (Int64, "+5", Some(5)),
            (Int64, "9223372036854775808", None),
            (Uint64, "-1", Some(i128::from(u64::MAX))),
            (Uint32, "-1", Some(i128::from(u32::MAX))),
            (Int32, "99999999999", None),
            (Uint8, "257", Some(1)),
            (Int16, "65537", Some(1)),
            (Int64, "0x10", None),
            (Int64, "1.5", None),
            (Int64, "", None),
            (Double, "1", Some(1)),
            (Double, "1.0", None),
            (Port, "", Some(0)),
            (Port, "ssh", Some(22)),
            (Port, "443", Some(443)),
            (Port, "nope", None),
            (Bool, "true", Some(1)),
            (Bool, "1", None),
        ];
        for (value_type, text, expected) in cases {
            let literal = Literal {
                bytes: text.as_bytes().to_vec(),
                span: Span::default(),
            };
            assert_eq!(
                number(value_type, &literal).ok(),
                expected,
                "{value_type:?} {text}"
            );
        }
    }
}
