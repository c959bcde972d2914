//! Which operators fit which types.

use crate::ast::{Check, Modifier, Op};
use crate::error::{ConditionError, ErrorKind};
use crate::field::FieldType;
use crate::ir::{Kind, Relation};

/// Refuses an operator that the type does not have.
pub(super) fn check(check: &Check, kind: Kind) -> Result<(), ConditionError> {
    let fits = allowed(kind).contains(&check.op) && modifier_fits(check.modifier, check.op, kind);
    if fits {
        return Ok(());
    }
    let modifier = check
        .modifier
        .map_or_else(String::new, |modifier| format!(" {}", modifier.keyword()));
    let list = if kind.is_list { "list of " } else { "" };
    let words: Vec<_> = allowed(kind).iter().map(|op| op.keyword()).collect();
    let message = format!(
        "operator '{}{modifier}' does not fit '{}', which is of type {list}{}",
        check.op.keyword(),
        check.left,
        kind.value_type.name(),
    );
    let mut error = ConditionError::new(ErrorKind::Operator, check.op_span, message);
    error.expected = Some(if words.is_empty() {
        "no operator".to_owned()
    } else {
        words.join(", ")
    });
    Err(error)
}

const LIST: &[Op] = &[Op::In, Op::Intersects, Op::Exists];
const EQUALITY: &[Op] = &[Op::Eq, Op::EqEq, Op::Ne, Op::In, Op::Intersects, Op::Exists];
const NUMBER: &[Op] = &[
    Op::Eq,
    Op::EqEq,
    Op::Ne,
    Op::Lt,
    Op::Le,
    Op::Gt,
    Op::Ge,
    Op::In,
    Op::Intersects,
    Op::Exists,
];
const TEXT: &[Op] = &[
    Op::Eq,
    Op::EqEq,
    Op::Ne,
    Op::Lt,
    Op::Le,
    Op::Gt,
    Op::Ge,
    Op::In,
    Op::Intersects,
    Op::Exists,
    Op::Contains,
    Op::IContains,
    Op::StartsWith,
    Op::EndsWith,
    Op::Glob,
    Op::IGlob,
    Op::Pmatch,
    Op::Regex,
];
const BYTES: &[Op] = &[
    Op::Eq,
    Op::EqEq,
    Op::Ne,
    Op::Contains,
    Op::StartsWith,
    Op::EndsWith,
    Op::In,
    Op::Intersects,
    Op::BContains,
    Op::BStartsWith,
    Op::Exists,
];

/// The operators of a type.
fn allowed(kind: Kind) -> &'static [Op] {
    match kind.value_type {
        FieldType::Raw | FieldType::Dynamic => &[],
        _ if kind.is_list => LIST,
        FieldType::Text => TEXT,
        FieldType::Bytes => BYTES,
        FieldType::Bool | FieldType::IpAddr | FieldType::IpNet => EQUALITY,
        _ => NUMBER,
    }
}

/// Modifiers go with every operator that takes text, but with equality only for addresses.
fn modifier_fits(modifier: Option<Modifier>, op: Op, kind: Kind) -> bool {
    let is_address = matches!(kind.value_type, FieldType::IpAddr | FieldType::IpNet);
    modifier.is_none() || !is_address || matches!(op, Op::Eq | Op::EqEq | Op::Ne)
}

/// What an operator asks of a value and one constant.
pub(super) const fn relation(op: Op) -> Relation {
    match op {
        Op::Exists | Op::Eq | Op::EqEq | Op::In | Op::Intersects => Relation::Eq,
        Op::Ne => Relation::Ne,
        Op::Lt => Relation::Lt,
        Op::Le => Relation::Le,
        Op::Gt => Relation::Gt,
        Op::Ge => Relation::Ge,
        Op::Contains | Op::BContains => Relation::Contains,
        Op::IContains => Relation::IContains,
        Op::StartsWith | Op::BStartsWith => Relation::StartsWith,
        Op::EndsWith => Relation::EndsWith,
        Op::Glob => Relation::Glob,
        Op::IGlob => Relation::IGlob,
        Op::Regex => Relation::Regex,
        Op::Pmatch => Relation::Below,
    }
}
