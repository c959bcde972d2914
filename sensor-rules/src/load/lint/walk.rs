//! Walks conditions through macros, always knowing in which text a span lies.

use crate::ast::{Check, Expr};
use crate::load::collect::Collector;
use crate::load::compile::{Compiled, CompiledRule};
use crate::load::source::Text;

/// A part of a condition with the text that it was parsed from.
#[derive(Clone, Copy)]
pub(super) struct Part<'a> {
    pub(super) expr: &'a Expr,
    pub(super) text: &'a Text,
    /// Whether the part stands under an odd number of `not`.
    pub(super) negated: bool,
    /// Whether it belongs to an exception.
    pub(super) in_exception: bool,
}

/// What a walk needs to know of the load.
#[derive(Clone, Copy)]
pub(super) struct Texts<'a> {
    pub(super) collector: &'a Collector,
    pub(super) compiled: &'a Compiled,
}

impl<'a> Part<'a> {
    pub(super) fn whole(rule: &'a CompiledRule) -> Self {
        Self {
            expr: &rule.condition,
            text: &rule.text,
            negated: false,
            in_exception: false,
        }
    }

    /// The part below nodes that only wrap one: `not`, macros, exceptions.
    fn unwrapped(mut self, texts: Texts<'a>) -> Self {
        loop {
            match self.expr {
                Expr::Not(child) => {
                    self.negated = !self.negated;
                    self.expr = child;
                }
                Expr::Exception(exception) => {
                    self.in_exception = true;
                    self.expr = &exception.body;
                }
                Expr::Macro(reference) => {
                    let Some(body) = &reference.body else { return self };
                    let position = texts.collector.macros.position(&reference.name);
                    self.text = position
                        .and_then(|at| texts.compiled.macros.text(at))
                        .unwrap_or(self.text);
                    self.expr = body;
                }
                Expr::And(_) | Expr::Or(_) | Expr::Check(_) => return self,
            }
        }
    }

    /// Calls `visit` with every test that must hold (or, if negated, must not hold) for the part to hold, and
    /// `other` with every part that is one of several ways.
    pub(super) fn conjuncts(
        self,
        texts: Texts<'a>,
        visit: &mut impl FnMut(Self, &'a Check),
        other: &mut impl FnMut(Self),
    ) {
        let part = self.unwrapped(texts);
        match (part.expr, part.negated) {
            (Expr::Check(check), _) => visit(part, check),
            (Expr::And(children), false) | (Expr::Or(children), true) => {
                for expr in children {
                    Self { expr, ..part }.conjuncts(texts, visit, other);
                }
            }
            _ => other(part),
        }
    }

    /// The parts of an `or` (or negated `and`), of which one must hold.
    pub(super) fn ways(self) -> impl Iterator<Item = Self> {
        let children = match self.expr {
            Expr::And(children) | Expr::Or(children) => children.as_slice(),
            _ => &[],
        };
        children.iter().map(move |expr| Self { expr, ..self })
    }
}
