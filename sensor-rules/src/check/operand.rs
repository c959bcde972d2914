//! Finds the fields and transformers of a test, and what type they yield.

use smol_str::format_smolstr;

use super::Checker;
use crate::ast::{self, Call, CallArg, Check, FieldName, Op};
use crate::error::{ConditionError, ErrorKind, WarningKind};
use crate::field::{Field, FieldArg, FieldError, FieldFlag, FieldRef, FieldType};
use crate::ir::{Kind, Operand};
use crate::transform::Transformer;

const fn scalar(value_type: FieldType) -> Kind {
    Kind {
        value_type,
        is_list: false,
    }
}

/// Where a field stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Left,
    Right,
    Argument,
    Output,
}

/// Whether the operand yields a value for each ancestor.
pub(super) fn spans_ancestors(operand: &Operand) -> bool {
    match operand {
        Operand::Ancestors(_) => true,
        Operand::Field(FieldRef {
            field,
            arg: FieldArg::Key(_),
        }) => field.is_ancestry(),
        _ => false,
    }
}

impl Checker<'_> {
    /// What stands left of an operator.
    pub(super) fn left_operand(&mut self, operand: &ast::Operand) -> Result<(Operand, Kind), ConditionError> {
        self.operand(operand, Place::Left)
    }

    /// What a token of an output stands for.
    pub(super) fn output_operand(&mut self, operand: &ast::Operand) -> Result<Operand, ConditionError> {
        self.operand(operand, Place::Output).map(|(operand, _)| operand)
    }

    /// What stands right of the operator of `check`, whose left side is of `left` type.
    pub(super) fn right_operand(
        &mut self,
        operand: &ast::Operand,
        check: &Check,
        left: Kind,
    ) -> Result<Operand, ConditionError> {
        let (right, kind) = self.operand(operand, Place::Right)?;
        let misplaced = |message: String| ConditionError::new(ErrorKind::Misplaced, operand.span(), message);
        if matches!(check.op, Op::Regex | Op::Pmatch) || left.value_type == FieldType::IpNet {
            let keyword = check.op.keyword();
            return Err(misplaced(format!(
                "'{keyword}' compares '{}' with constants only",
                check.left
            )));
        }
        if left != kind {
            return Err(misplaced(format!(
                "'{}' and '{operand}' are of different types: {} and {}",
                check.left,
                type_name(left),
                type_name(kind),
            )));
        }
        Ok(right)
    }

    fn operand(&mut self, operand: &ast::Operand, place: Place) -> Result<(Operand, Kind), ConditionError> {
        match operand {
            ast::Operand::Field(field) => self.field(field, place),
            ast::Operand::Call(call) => self.call(call),
        }
    }

    fn field(&mut self, name: &FieldName, place: Place) -> Result<(Operand, Kind), ConditionError> {
        let resolved = self.catalogue.resolve(&name.name, name.argument.as_deref());
        let mut reference = resolved.map_err(|error| self.field_error(name, &error))?;
        let info = reference.field.info();
        let flags = info.flags;
        let misplaced =
            |why: &str| ConditionError::new(ErrorKind::Misplaced, name.span, format!("field '{name}' {why}"));
        if flags.has(FieldFlag::TableOnly) {
            return Err(self.field_error(name, &FieldError::Unknown(format_smolstr!("{name}"))));
        }
        if place != Place::Output && flags.has(FieldFlag::PrintOnly) {
            return Err(misplaced("can stand in outputs only"));
        }
        if place == Place::Output && flags.has(FieldFlag::FilterOnly) {
            return Err(misplaced("can stand in conditions only"));
        }
        if place == Place::Right && flags.has(FieldFlag::NoRhs) {
            return Err(misplaced("cannot stand right of an operator"));
        }
        if place == Place::Argument && flags.has(FieldFlag::NoTransform) {
            return Err(misplaced("cannot be given to a transformer"));
        }
        if is_reported_as_deprecated(reference.field) {
            let message = format!(
                "usage of deprecated field '{}' has been detected in the rule condition",
                info.name
            );
            self.warn(name.span, WarningKind::DeprecatedField(info.name), message);
        }
        let kind = Kind {
            value_type: reference.value_type(),
            is_list: reference.is_list(),
        };
        if let Some((first, second)) = reference.field.endpoints() {
            return Ok((
                Operand::Either(FieldRef::plain(first), FieldRef::plain(second)),
                kind,
            ));
        }
        if reference.field.is_ancestry() && reference.arg == FieldArg::None {
            return Ok((Operand::Ancestors(reference.field), kind));
        }
        reference.field = reference.field.asked_as();
        Ok((Operand::Field(reference), kind))
    }

    fn field_error(&self, name: &FieldName, error: &FieldError) -> ConditionError {
        let kind = match error {
            FieldError::Unknown(_) | FieldError::UnexpectedArgument(..) => ErrorKind::UnknownField,
            FieldError::UnknownEventType(_) => ErrorKind::UnknownEventType,
            _ => ErrorKind::Argument,
        };
        let mut message = error.to_string();
        let mut expected = None;
        if let FieldError::Unknown(_) = error
            && let Some(nearest) = self.catalogue.nearest(&name.name)
        {
            message = format!("{message}, did you mean '{nearest}'?");
            expected = Some(nearest.to_owned());
        }
        let mut error = ConditionError::new(kind, name.span, message);
        error.expected = expected;
        error
    }

    fn call(&mut self, call: &Call) -> Result<(Operand, Kind), ConditionError> {
        if call.index.is_some() && call.transformer != Transformer::Getopt {
            let message = format!(
                "transformer '{}' does not support field arguments",
                call.transformer.name()
            );
            return Err(ConditionError::new(ErrorKind::Transformer, call.span, message));
        }
        let mut args = Vec::with_capacity(call.args.len());
        let mut kinds = Vec::with_capacity(call.args.len());
        for arg in &call.args {
            let (operand, kind) = self.argument(arg)?;
            args.push(operand);
            kinds.push(kind);
        }
        let kind = result_kind(call, &kinds).ok_or_else(|| {
            let given: Vec<_> = kinds.iter().map(|kind| type_name(*kind)).collect();
            let message = format!(
                "transformer '{}' takes {}, not ({})",
                call.transformer.name(),
                signature(call.transformer),
                given.join(", ")
            );
            ConditionError::new(ErrorKind::Transformer, call.span, message)
        })?;
        Ok((Operand::Call(call.transformer, args, call.index.clone()), kind))
    }

    fn argument(&mut self, arg: &CallArg) -> Result<(Operand, Kind), ConditionError> {
        match arg {
            CallArg::Operand(operand) => self.operand(operand, Place::Argument),
            CallArg::Text(text) => Ok((Operand::Text(text.bytes.clone()), scalar(FieldType::Text))),
            CallArg::Number(number) => {
                let text = String::from_utf8_lossy(&number.bytes);
                let value = text.parse().map_err(|_| {
                    let message = format!("'{text}' is not a valid number: only decimal digits are");
                    ConditionError::new(ErrorKind::Constant, number.span, message)
                })?;
                Ok((Operand::Number(value), scalar(FieldType::Int64)))
            }
            CallArg::List(items, _) => {
                let mut operands = Vec::with_capacity(items.len());
                for item in items {
                    let (operand, kind) = self.argument(item)?;
                    let fits = kind.value_type == FieldType::Text || kind.value_type.is_number();
                    if kind.is_list || !fits {
                        let message = format!("a list holds text and numbers, not {}", type_name(kind));
                        return Err(ConditionError::new(
                            ErrorKind::Transformer,
                            item_span(item),
                            message,
                        ));
                    }
                    operands.push(operand);
                }
                Ok((
                    Operand::List(operands),
                    Kind {
                        value_type: FieldType::Text,
                        is_list: true,
                    },
                ))
            }
        }
    }
}

fn item_span(arg: &CallArg) -> ast::Span {
    match arg {
        CallArg::Operand(operand) => operand.span(),
        CallArg::Text(literal) | CallArg::Number(literal) => literal.span,
        CallArg::List(_, span) => *span,
    }
}

fn type_name(kind: Kind) -> String {
    let name = kind.value_type.name();
    if kind.is_list {
        format!("list of {name}")
    } else {
        name.to_owned()
    }
}

/// Deprecated fields that Falco warns of. The others of the catalogue only never have a value.
pub(crate) fn is_reported_as_deprecated(field: Field) -> bool {
    field.info().flags.has(FieldFlag::Deprecated) && field.info().name.starts_with("evt.")
}

/// The type of a transformer's result, or `None` where the arguments do not fit.
fn result_kind(call: &Call, args: &[Kind]) -> Option<Kind> {
    let is_text = |kind: &Kind| kind.value_type == FieldType::Text;
    let is_plain_text = |kind: &Kind| is_text(kind) && !kind.is_list;
    match (call.transformer, args) {
        (Transformer::ToLower | Transformer::ToUpper | Transformer::Basename, [arg]) if is_text(arg) => {
            Some(*arg)
        }
        (Transformer::B64, [arg]) if is_text(arg) || arg.value_type == FieldType::Bytes => Some(*arg),
        (Transformer::Len, [arg]) if arg.is_list || is_text(arg) || arg.value_type == FieldType::Bytes => {
            Some(scalar(FieldType::Uint64))
        }
        (Transformer::Join, [separator, list]) if is_plain_text(separator) && list.is_list => {
            Some(scalar(FieldType::Text))
        }
        (Transformer::Concat, [_, _, ..]) if args.iter().all(is_plain_text) => Some(scalar(FieldType::Text)),
        (Transformer::Getopt, [list, options]) if is_text(list) && list.is_list && is_plain_text(options) => {
            Some(Kind {
                value_type: FieldType::Text,
                is_list: call.index.is_none(),
            })
        }
        _ => None,
    }
}

const fn signature(transformer: Transformer) -> &'static str {
    match transformer {
        Transformer::ToLower | Transformer::ToUpper | Transformer::Basename => "one text or list of text",
        Transformer::B64 => "one text or byte buffer",
        Transformer::Len => "one text, byte buffer or list",
        Transformer::Join => "a separator and a list",
        Transformer::Concat => "two texts or more",
        Transformer::Getopt => "a list of text and the letters of options",
    }
}
