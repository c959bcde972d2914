//! Parses one test: the operand, the operator and what stands right of it.

use smol_str::SmolStr;

use super::Parser;
use crate::ast::{Call, CallArg, Check, FieldName, Literal, Modifier, Op, Operand, Right};
use crate::error::{ConditionError, ErrorKind};
use crate::limits::TRANSFORMER_DEPTH_MAX;
use crate::transform::Transformer;

/// Operators in the order in which they are tried: none is a prefix of a later one.
const OPERATORS: [Op; 20] = [
    Op::Exists,
    Op::Le,
    Op::Lt,
    Op::Ge,
    Op::Gt,
    Op::EqEq,
    Op::Eq,
    Op::Ne,
    Op::Glob,
    Op::IGlob,
    Op::Contains,
    Op::IContains,
    Op::BContains,
    Op::StartsWith,
    Op::BStartsWith,
    Op::EndsWith,
    Op::Regex,
    Op::Intersects,
    Op::In,
    Op::Pmatch,
];

impl Parser<'_> {
    /// A field or a transformer, if one stands here.
    pub(crate) fn operand(&mut self) -> Result<Option<Operand>, ConditionError> {
        if let Some(field) = self.field()? {
            return Ok(Some(Operand::Field(field)));
        }
        Ok(self.call()?.map(Operand::Call))
    }

    /// A field with its argument, if one stands here.
    pub(crate) fn field(&mut self) -> Result<Option<FieldName>, ConditionError> {
        let start = self.cursor.position();
        let Some(name) = self.cursor.dotted() else {
            return Ok(None);
        };
        let argument = self.bracket()?;
        Ok(Some(FieldName {
            name: name.into(),
            argument,
            span: self.cursor.since(start),
        }))
    }

    /// A transformer with its arguments, if one stands here.
    pub(crate) fn call(&mut self) -> Result<Option<Call>, ConditionError> {
        let start = self.cursor.position();
        let opens = |transformer: &Transformer| {
            let mut ahead = self.cursor.clone();
            ahead.exact(transformer.name()) && ahead.exact("(")
        };
        let Some(transformer) = Transformer::ALL.into_iter().find(opens) else {
            return Ok(None);
        };
        self.cursor.exact(transformer.name());
        self.cursor.exact("(");
        self.transformers += 1;
        if self.transformers > TRANSFORMER_DEPTH_MAX {
            let message = format!("transformers are nested more than {TRANSFORMER_DEPTH_MAX} deep");
            return Err(ConditionError::new(
                ErrorKind::Depth,
                self.cursor.since(start),
                message,
            ));
        }
        let args = self.items(true)?;
        self.transformers -= 1;
        if args.is_empty() {
            return Err(ConditionError::expecting(
                self.cursor.here(),
                "an argument of the transformer",
            ));
        }
        let index = self.bracket()?;
        Ok(Some(Call {
            transformer,
            args,
            index,
            span: self.cursor.since(start),
        }))
    }

    /// What a bracket holds, if one stands here.
    fn bracket(&mut self) -> Result<Option<SmolStr>, ConditionError> {
        if !self.cursor.exact("[") {
            return Ok(None);
        }
        let start = self.cursor.position();
        let bytes = match self.cursor.quoted()? {
            Some(quoted) => quoted,
            None => self.cursor.bare_argument().map(<[u8]>::to_vec).ok_or_else(|| {
                ConditionError::expecting(
                    self.cursor.here(),
                    "a valid field argument: a quoted string or a bare string",
                )
            })?,
        };
        let argument = String::from_utf8(bytes).map_err(|_| {
            let span = self.cursor.since(start);
            ConditionError::new(ErrorKind::Argument, span, "a field's argument must be UTF-8 text")
        })?;
        if !self.cursor.exact("]") {
            return Err(ConditionError::expecting(self.cursor.here(), "a ']' token"));
        }
        Ok(Some(argument.into()))
    }

    /// The arguments of a transformer, or the items of a list among them, up to the closing parenthesis.
    fn items(&mut self, lists_allowed: bool) -> Result<Vec<CallArg>, ConditionError> {
        let mut items = Vec::new();
        self.cursor.blank();
        if self.cursor.exact(")") {
            return Ok(items);
        }
        self.enter()?;
        loop {
            self.cursor.blank();
            items.push(self.item(lists_allowed)?);
            self.cursor.blank();
            if self.cursor.exact(")") {
                self.leave();
                return Ok(items);
            }
            if !self.cursor.exact(",") {
                return Err(ConditionError::expecting(
                    self.cursor.here(),
                    "a ')' token or a ',' token",
                ));
            }
        }
    }

    fn item(&mut self, lists_allowed: bool) -> Result<CallArg, ConditionError> {
        self.enter()?;
        let item = self.unnested_item(lists_allowed)?;
        self.leave();
        Ok(item)
    }

    fn unnested_item(&mut self, lists_allowed: bool) -> Result<CallArg, ConditionError> {
        let start = self.cursor.position();
        if let Some(number) = self.cursor.number() {
            let bytes = number.to_vec();
            return Ok(CallArg::Number(Literal {
                bytes,
                span: self.cursor.since(start),
            }));
        }
        if let Some(bytes) = self.cursor.quoted()? {
            return Ok(CallArg::Text(Literal {
                bytes,
                span: self.cursor.since(start),
            }));
        }
        if lists_allowed && self.cursor.exact("(") {
            let items = self.items(false)?;
            return Ok(CallArg::List(items, self.cursor.since(start)));
        }
        self.operand()?.map(CallArg::Operand).ok_or_else(|| {
            ConditionError::expecting(
                self.cursor.here(),
                "a field, a transformer, a number or a quoted string",
            )
        })
    }

    /// The rest of a test whose left side is `left`.
    pub(crate) fn check(&mut self, left: Operand) -> Result<Check, ConditionError> {
        self.cursor.blank();
        let start = self.cursor.position();
        let Some(op) = self.operator() else {
            let words: Vec<_> = OPERATORS.iter().map(|op| format!("'{}'", op.keyword())).collect();
            let expected = format!("a valid check operator: one of {}", words.join(", "));
            return Err(ConditionError::expecting(self.cursor.here(), expected));
        };
        let op_span = self.cursor.since(start);
        let (modifier, right) = match op {
            Op::Exists => (None, Right::Nothing),
            op if op.is_order() => {
                self.cursor.blank();
                (None, self.number()?)
            }
            op if op.takes_list() => {
                self.cursor.blank();
                (None, self.list(true)?)
            }
            _ => self.text()?,
        };
        let span = left.span().to(self.cursor.since(start));
        Ok(Check {
            left,
            op,
            modifier,
            right,
            span,
            op_span,
        })
    }

    fn operator(&mut self) -> Option<Op> {
        OPERATORS.into_iter().find(|op| {
            let keyword = op.keyword();
            let is_word = keyword.as_bytes()[0].is_ascii_alphabetic();
            if is_word && op.takes_text() {
                self.cursor.exact_then_blank(keyword)
            } else {
                self.cursor.exact(keyword)
            }
        })
    }

    fn number(&mut self) -> Result<Right, ConditionError> {
        if let Some(operand) = self.right_operand()? {
            return Ok(Right::Operand(operand));
        }
        let start = self.cursor.position();
        match self.cursor.number() {
            Some(number) => Ok(Right::Value(Literal {
                bytes: number.to_vec(),
                span: self.cursor.since(start),
            })),
            None => Err(ConditionError::expecting(self.cursor.here(), "a number")),
        }
    }

    /// What follows an operator on text: a modifier with its list, or one value.
    fn text(&mut self) -> Result<(Option<Modifier>, Right), ConditionError> {
        if self.cursor.blank()
            && let Some(modifier) = self.modifier()
        {
            self.cursor.blank();
            return Ok((Some(modifier), self.list(false)?));
        }
        if let Some(operand) = self.right_operand()? {
            return Ok((None, Right::Operand(operand)));
        }
        let start = self.cursor.position();
        match self.string()? {
            Some(bytes) => Ok((
                None,
                Right::Value(Literal {
                    bytes,
                    span: self.cursor.since(start),
                }),
            )),
            None => Err(ConditionError::expecting(
                self.cursor.here(),
                "a value: a quoted string, a bare string, `val(field)` or a transformer",
            )),
        }
    }

    /// A modifier, if a list follows the word; otherwise the word is the value.
    fn modifier(&mut self) -> Option<Modifier> {
        let modifier = Modifier::ALL.into_iter().find(|modifier| {
            let mut ahead = self.cursor.clone();
            ahead.exact_then_blank(modifier.keyword())
                && ahead.blank()
                && (ahead.exact("(")
                    || ahead
                        .identifier()
                        .is_some_and(|word| !matches!(word, "and" | "or" | "not")))
        })?;
        self.cursor.exact(modifier.keyword());
        Some(modifier)
    }

    fn list(&mut self, operands_allowed: bool) -> Result<Right, ConditionError> {
        if self.cursor.exact("(") {
            return self.literals().map(Right::List);
        }
        if operands_allowed && let Some(operand) = self.right_operand()? {
            return Ok(Right::Operand(operand));
        }
        let start = self.cursor.position();
        match self.cursor.identifier() {
            Some(name) => {
                let bytes = name.as_bytes().to_vec();
                Ok(Right::List(vec![Literal {
                    bytes,
                    span: self.cursor.since(start),
                }]))
            }
            None => Err(ConditionError::expecting(
                self.cursor.here(),
                "a list: `(a, b)` or a name",
            )),
        }
    }

    /// The constants of a list, up to the closing parenthesis.
    fn literals(&mut self) -> Result<Vec<Literal>, ConditionError> {
        let mut values = Vec::new();
        self.cursor.blank();
        if self.cursor.exact(")") {
            return Ok(values);
        }
        loop {
            self.cursor.blank();
            let start = self.cursor.position();
            let Some(bytes) = self.string()? else {
                return Err(ConditionError::expecting(
                    self.cursor.here(),
                    "a value of the list",
                ));
            };
            values.push(Literal {
                bytes,
                span: self.cursor.since(start),
            });
            self.cursor.blank();
            if self.cursor.exact(")") {
                return Ok(values);
            }
            if !self.cursor.exact(",") {
                return Err(ConditionError::expecting(
                    self.cursor.here(),
                    "a ')' token or a ',' token",
                ));
            }
        }
    }

    fn string(&mut self) -> Result<Option<Vec<u8>>, ConditionError> {
        match self.cursor.quoted()? {
            Some(quoted) => Ok(Some(quoted)),
            None => Ok(self.cursor.bare().map(<[u8]>::to_vec)),
        }
    }

    /// `val(field)` or a transformer, if one stands here.
    fn right_operand(&mut self) -> Result<Option<Operand>, ConditionError> {
        if !self.cursor.exact("val(") {
            return Ok(self.call()?.map(Operand::Call));
        }
        self.cursor.blank();
        let Some(field) = self.field()? else {
            return Err(ConditionError::expecting(
                self.cursor.here(),
                "a field: `val` takes no transformer",
            ));
        };
        self.cursor.blank();
        if !self.cursor.exact(")") {
            return Err(ConditionError::expecting(self.cursor.here(), "a ')' token"));
        }
        Ok(Some(Operand::Field(field)))
    }
}
