//! A small interpreter of conditions, written from the language's description alone: no types, no graph, no sets. It is
//! the oracle for the compiled form.

use std::net::IpAddr;

use sensor_rules::ast::{Call, CallArg, Check, Expr, FieldName, Literal, Modifier, Op, Operand, Right};
use sensor_rules::transform::Transformer;

use crate::table_event::{Owned, TableEvent};

pub(crate) fn holds(expr: &Expr, event: &TableEvent) -> bool {
    match expr {
        Expr::And(children) => children.iter().all(|child| holds(child, event)),
        Expr::Or(children) => children.iter().any(|child| holds(child, event)),
        Expr::Not(child) => !holds(child, event),
        Expr::Macro(reference) => holds(reference.body.as_ref().unwrap(), event),
        Expr::Exception(exception) => {
            holds(&exception.body, event)
                && (exception.allows_incomplete || !reads_any(&exception.body, &event.incomplete))
        }
        Expr::Check(check) => check_holds(check, event),
    }
}

/// Whether the condition reads one of these fields.
fn reads_any(expr: &Expr, names: &[String]) -> bool {
    match expr {
        Expr::And(children) | Expr::Or(children) => children.iter().any(|child| reads_any(child, names)),
        Expr::Not(child) => reads_any(child, names),
        Expr::Macro(reference) => reads_any(reference.body.as_ref().unwrap(), names),
        Expr::Exception(exception) => reads_any(&exception.body, names),
        Expr::Check(check) => {
            let mut fields = Vec::new();
            fields_of(&check.left, &mut fields);
            if let Right::Operand(operand) = &check.right {
                fields_of(operand, &mut fields);
            }
            fields.iter().any(|field| names.contains(field))
        }
    }
}

fn fields_of(operand: &Operand, fields: &mut Vec<String>) {
    match operand {
        Operand::Field(field) => fields.push(field.to_string()),
        Operand::Call(call) => {
            for arg in &call.args {
                if let CallArg::Operand(operand) = arg {
                    fields_of(operand, fields);
                }
            }
        }
    }
}

/// The values that a field stands for, and how they count.
enum Values {
    /// One, or the two ends of a socket; none is no value.
    Single(Vec<Owned>),
    /// Those of the ancestors.
    Ancestors(Vec<Owned>),
    List(Vec<Owned>),
}

fn field_values(field: &FieldName, event: &TableEvent) -> Option<Values> {
    let name = field.to_string();
    let get = |name: &str| event.values.get(name).cloned();
    let several = |names: [&str; 2]| {
        let found: Vec<_> = names.into_iter().filter_map(get).collect();
        (!found.is_empty()).then_some(Values::Single(found))
    };
    match name.as_str() {
        "evt.type" => Some(Values::Single(vec![Owned::Text(
            event.event_type.name().as_bytes().to_vec(),
        )])),
        "fd.ip" | "fd.net" => several(["fd.cip", "fd.sip"]),
        "fd.port" => several(["fd.cport", "fd.sport"]),
        "proc.aname" => event
            .ancestors
            .get("proc.aname")
            .filter(|names| !names.is_empty())
            .cloned()
            .map(Values::Ancestors),
        _ => match get(&name)? {
            Owned::List(items) => Some(Values::List(items)),
            single => Some(Values::Single(vec![single])),
        },
    }
}

fn operand_values(operand: &Operand, event: &TableEvent) -> Option<Values> {
    match operand {
        Operand::Field(field) => field_values(field, event),
        Operand::Call(call) => call_value(call, event).map(|value| Values::Single(vec![value])),
    }
}

fn call_value(call: &Call, event: &TableEvent) -> Option<Owned> {
    let CallArg::Operand(arg) = &call.args[0] else {
        panic!("the generator nests fields and calls only")
    };
    let values = operand_values(arg, event)?;
    let length = |items: &[Owned]| u64::try_from(items.len()).unwrap();
    match (call.transformer, values) {
        (Transformer::Len, Values::List(items)) => Some(Owned::Uint(length(&items))),
        (transformer, Values::Single(values)) => {
            let [Owned::Text(text)] = &values[..] else {
                panic!("text is transformed, not {values:?}")
            };
            Some(match transformer {
                Transformer::ToLower => Owned::Text(text.to_ascii_lowercase()),
                Transformer::ToUpper => Owned::Text(text.to_ascii_uppercase()),
                Transformer::Basename => {
                    Owned::Text(text.rsplit(|byte| *byte == b'/').next().unwrap().to_vec())
                }
                Transformer::Len => Owned::Uint(u64::try_from(text.len()).unwrap()),
                other => panic!("{other:?} is not generated"),
            })
        }
        _ => panic!("not generated"),
    }
}

fn check_holds(check: &Check, event: &TableEvent) -> bool {
    let Some(left) = operand_values(&check.left, event) else {
        return false;
    };
    let is_net = matches!(&check.left, Operand::Field(field) if field.name == "fd.net");
    let compare = |value: &Owned, op: Op, literal: &Literal| compare(value, op, &literal.bytes, is_net);
    match (&check.right, left) {
        (Right::Nothing, _) => true,
        (Right::Operand(right), Values::Single(left)) => {
            let Some(Values::Single(right)) = operand_values(right, event) else {
                return false;
            };
            left.iter().any(|left| compare_values(left, check.op, &right[0]))
        }
        (Right::Operand(_), _) => panic!("not generated"),
        (Right::List(constants), Values::List(items)) => {
            let contained = |item: &Owned| constants.iter().any(|constant| compare(item, Op::Eq, constant));
            if check.op == Op::In {
                items.iter().all(contained)
            } else {
                items.iter().any(contained)
            }
        }
        (Right::Value(_), Values::List(_)) => panic!("lists have no such operator"),
        (right, Values::Ancestors(values)) => values
            .iter()
            .any(|value| constants_hold(check, right, std::slice::from_ref(value), compare)),
        (right, Values::Single(values)) => constants_hold(check, right, &values, compare),
    }
}

fn constants_hold(
    check: &Check,
    right: &Right,
    values: &[Owned],
    compare: impl Fn(&Owned, Op, &Literal) -> bool,
) -> bool {
    let op = if matches!(check.op, Op::In | Op::Intersects) {
        Op::Eq
    } else {
        check.op
    };
    let relates = |constant: &Literal| {
        if op == Op::Ne {
            !values.iter().any(|value| compare(value, Op::Eq, constant))
        } else {
            values.iter().any(|value| compare(value, op, constant))
        }
    };
    let constants = match right {
        Right::Value(value) => std::slice::from_ref(value),
        Right::List(values) => values,
        Right::Nothing | Right::Operand(_) => panic!("handled before"),
    };
    let count = constants.iter().filter(|constant| relates(constant)).count();
    match check.modifier {
        None | Some(Modifier::AnyOf) => count > 0,
        Some(Modifier::AllOf) => count > 0 && count == constants.len(),
        Some(Modifier::OneOf) => count == 1,
    }
}

fn compare(value: &Owned, op: Op, constant: &[u8], is_net: bool) -> bool {
    let text = || std::str::from_utf8(constant).unwrap();
    match value {
        Owned::Text(_) | Owned::Bytes(_) => compare_values(value, op, &Owned::Text(constant.to_vec())),
        Owned::Int(_) | Owned::Uint(_) => compare_values(value, op, &Owned::Int(text().parse().unwrap())),
        Owned::Bool(value) => (text() == "true") == *value,
        Owned::Ip(ip) if is_net => in_net(*ip, text()),
        Owned::Ip(ip) => text().parse::<IpAddr>().unwrap() == *ip,
        Owned::List(_) => panic!("a list is no single value"),
    }
}

fn in_net(ip: IpAddr, net: &str) -> bool {
    let (base, length) = net.split_once('/').unwrap();
    let (IpAddr::V4(ip), IpAddr::V4(base)) = (ip, base.parse().unwrap()) else {
        return false;
    };
    let shift = 32 - length.parse::<u32>().unwrap();
    u64::from(u32::from(ip)) >> shift == u64::from(u32::from(base)) >> shift
}

fn number(value: &Owned) -> i128 {
    match value {
        Owned::Int(value) => i128::from(*value),
        Owned::Uint(value) => i128::from(*value),
        other => panic!("{other:?} is no number"),
    }
}

fn compare_values(left: &Owned, op: Op, right: &Owned) -> bool {
    let (Owned::Text(left) | Owned::Bytes(left), Owned::Text(right) | Owned::Bytes(right)) = (left, right)
    else {
        let (left, right) = (number(left), number(right));
        return match op {
            Op::Eq | Op::EqEq => left == right,
            Op::Ne => left != right,
            Op::Lt => left < right,
            Op::Le => left <= right,
            Op::Gt => left > right,
            Op::Ge => left >= right,
            other => panic!("{other:?} on numbers"),
        };
    };
    let contains = |text: &[u8], part: &[u8]| (0..=text.len()).any(|at| text[at..].starts_with(part));
    match op {
        Op::Eq | Op::EqEq => left == right,
        Op::Ne => left != right,
        Op::Contains => contains(left, right),
        Op::IContains => contains(&left.to_ascii_lowercase(), &right.to_ascii_lowercase()),
        Op::StartsWith => left.starts_with(right),
        Op::EndsWith => left.ends_with(right),
        Op::Glob => glob(right, left),
        Op::IGlob => glob(&right.to_ascii_lowercase(), &left.to_ascii_lowercase()),
        Op::Pmatch => below(left, right),
        other => panic!("{other:?} on text"),
    }
}

/// Only `*` and `?`, by trying everything.
fn glob(pattern: &[u8], text: &[u8]) -> bool {
    match pattern.split_first() {
        None => text.is_empty(),
        Some((b'*', rest)) => (0..=text.len()).any(|at| glob(rest, &text[at..])),
        Some((b'?', rest)) => !text.is_empty() && glob(rest, &text[1..]),
        Some((byte, rest)) => text.first() == Some(byte) && glob(rest, &text[1..]),
    }
}

fn below(path: &[u8], above: &[u8]) -> bool {
    let parts = |path: &[u8]| -> Vec<Vec<u8>> {
        path.split(|byte| *byte == b'/')
            .filter(|part| !part.is_empty())
            .map(<[u8]>::to_vec)
            .collect()
    };
    let (path, prefix) = (parts(path), parts(above));
    !above.is_empty()
        && prefix.len() <= path.len()
        && prefix
            .iter()
            .zip(&path)
            .all(|(pattern, part)| glob(pattern, part))
}
