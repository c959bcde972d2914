//! Finds out what a condition means: which fields it reads, whether operators, types and constants fit.
//!
//! The result is the typed graph of [`crate::ir`]. All faults of a condition are reported at once, each with its
//! place; what is doubtful but allowed becomes a warning.

mod advice;
mod constant;
mod operand;
mod operator;

use std::sync::Arc;

use hashbrown::{HashMap, HashSet};

use crate::ast::{self, Check, Expr, MacroRef, Modifier, Op, Right, Span};
use crate::error::{ConditionError, ConditionWarning, ErrorKind, WarningKind};
use crate::field::{Catalogue, EventTypeSet, FieldRef};
use crate::ir::{Graph, NodeId, Operand, Predicate, Scope, Test};
use crate::limits::{EVENT_CODES_MAX, EXPANDED_DEPTH_MAX};

pub(crate) use operand::is_reported_as_deprecated;

/// A condition whose fields, operators and constants fit.
#[derive(Clone, Debug)]
pub struct Checked {
    /// What is doubtful about it.
    pub warnings: Vec<ConditionWarning>,
    /// The event types for which it can be true.
    pub event_types: EventTypeSet,
    /// The fields that it reads, each once.
    pub fields: Vec<FieldRef>,
    pub(crate) graph: Graph,
    pub(crate) root: NodeId,
}

impl Checked {
    /// Whether it covers so many events that Falco warns (`LOAD_NO_EVTTYPE`).
    #[must_use]
    pub fn is_too_wide(&self) -> bool {
        self.event_types.code_count() > EVENT_CODES_MAX
    }
}

/// Checks a condition whose macros are resolved.
///
/// # Errors
/// Every fault that it finds, in the order of the text.
pub fn check(expr: &Expr, catalogue: &Catalogue) -> Result<Checked, Vec<ConditionError>> {
    let mut graph = Graph::default();
    let lowered = lower(expr, catalogue, &mut graph, &mut MacroNodes::default())?;
    Ok(Checked {
        warnings: lowered.warnings,
        event_types: graph.event_types(lowered.root),
        fields: graph.fields(lowered.root),
        root: lowered.root,
        graph,
    })
}

/// A condition as part of a graph.
#[derive(Debug)]
pub(crate) struct Lowered {
    pub(crate) root: NodeId,
    pub(crate) warnings: Vec<ConditionWarning>,
}

/// Macros that the graph already has, by the address of their condition.
#[derive(Debug, Default)]
pub(crate) struct MacroNodes(HashMap<usize, LoweredMacro, foldhash::fast::FixedState>);

/// A macro as part of a graph: it is lowered once, however often it is used.
#[derive(Debug)]
struct LoweredMacro {
    /// Keeps the address that is the key from coming to mean another macro.
    _body: Arc<Expr>,
    root: NodeId,
    /// Levels of nesting below it.
    depth: usize,
    findings: Findings,
}

/// What is wrong or doubtful in one text, and the macros that it uses.
#[derive(Debug, Default)]
struct Findings {
    errors: Vec<ConditionError>,
    warnings: Vec<ConditionWarning>,
    macros: Vec<usize>,
}

/// Adds a condition to a graph.
pub(crate) fn lower(
    expr: &Expr,
    catalogue: &Catalogue,
    graph: &mut Graph,
    macros: &mut MacroNodes,
) -> Result<Lowered, Vec<ConditionError>> {
    let mut checker = Checker {
        catalogue,
        graph,
        macros,
        findings: Findings::default(),
        depth: 0,
        deepest: 0,
    };
    let root = checker.expr(expr);
    let findings = checker.findings;
    let (errors, warnings) = collect(&findings, macros);
    if errors.is_empty() {
        Ok(Lowered { root, warnings })
    } else {
        Err(errors)
    }
}

/// The operand of an output's token.
pub(crate) fn output_operand(
    operand: &ast::Operand,
    catalogue: &Catalogue,
) -> Result<Operand, ConditionError> {
    let (mut graph, mut macros) = (Graph::default(), MacroNodes::default());
    let findings = Findings::default();
    let mut checker = Checker {
        catalogue,
        graph: &mut graph,
        macros: &mut macros,
        findings,
        depth: 0,
        deepest: 0,
    };
    checker.output_operand(operand)
}

/// The findings of a condition and of every macro that it uses, each macro once; a deprecated field once.
fn collect(own: &Findings, macros: &MacroNodes) -> (Vec<ConditionError>, Vec<ConditionWarning>) {
    let (mut errors, mut warnings) = (own.errors.clone(), own.warnings.clone());
    let mut open: Vec<usize> = own.macros.iter().rev().copied().collect();
    let mut seen = HashSet::<usize, foldhash::fast::FixedState>::default();
    while let Some(key) = open.pop() {
        if let Some(known) = macros.0.get(&key)
            && seen.insert(key)
        {
            errors.extend_from_slice(&known.findings.errors);
            warnings.extend_from_slice(&known.findings.warnings);
            open.extend(known.findings.macros.iter().rev());
        }
    }
    let mut deprecated = HashSet::<&str, foldhash::fast::FixedState>::default();
    warnings.retain(|warning| match warning.kind {
        WarningKind::DeprecatedField(name) => deprecated.insert(name),
        _ => true,
    });
    (errors, warnings)
}

struct Checker<'a> {
    catalogue: &'a Catalogue,
    graph: &'a mut Graph,
    macros: &'a mut MacroNodes,
    /// Of the text that is being lowered.
    findings: Findings,
    /// Depth of the node that is being lowered, macros included, and of the deepest so far.
    depth: usize,
    deepest: usize,
}

impl Checker<'_> {
    /// Lowers a node. What has a fault becomes a constant, so that the rest is checked too.
    fn expr(&mut self, expr: &Expr) -> NodeId {
        self.depth += 1;
        self.deepest = self.deepest.max(self.depth);
        let node = if self.depth > EXPANDED_DEPTH_MAX {
            self.too_deep(expr.span())
        } else {
            self.node(expr)
        };
        self.depth -= 1;
        node
    }

    fn node(&mut self, expr: &Expr) -> NodeId {
        match expr {
            Expr::And(children) => {
                let children: Vec<_> = children.iter().map(|child| self.expr(child)).collect();
                self.graph.and(children)
            }
            Expr::Or(children) => {
                let children: Vec<_> = children.iter().map(|child| self.expr(child)).collect();
                self.graph.or(children)
            }
            Expr::Not(child) => {
                let child = self.expr(child);
                self.graph.not(child)
            }
            Expr::Macro(reference) => self.macro_reference(reference),
            Expr::Check(check) => match self.test(check) {
                Ok(test) => self.graph.add_test(test),
                Err(error) => self.fail(error),
            },
            Expr::Exception(exception) => {
                let child = self.expr(&exception.body);
                if exception.allows_incomplete {
                    return child;
                }
                self.graph.exception(child)
            }
        }
    }

    fn fail(&mut self, error: ConditionError) -> NodeId {
        self.findings.errors.push(error);
        self.graph.constant(false)
    }

    fn too_deep(&mut self, span: Span) -> NodeId {
        let message = format!("nested more than {EXPANDED_DEPTH_MAX} levels deep, macros included");
        self.fail(ConditionError::new(ErrorKind::Depth, span, message))
    }

    fn warn(&mut self, span: Span, kind: WarningKind, message: String) {
        self.findings.warnings.push(ConditionWarning {
            span,
            kind,
            message,
            in_macro: None,
        });
    }

    /// Lowers a macro's condition, once for each graph: macros that double at each level would never end otherwise.
    fn macro_reference(&mut self, reference: &MacroRef) -> NodeId {
        let Some(body) = &reference.body else {
            let message = format!("Undefined macro '{}' used in filter.", reference.name);
            return self.fail(ConditionError::new(
                ErrorKind::UndefinedMacro,
                reference.span,
                message,
            ));
        };
        let key = Arc::as_ptr(body).addr();
        self.findings.macros.push(key);
        if let Some(known) = self.macros.0.get(&key) {
            let (root, deepest) = (known.root, self.depth + known.depth);
            self.deepest = self.deepest.max(deepest);
            return if deepest > EXPANDED_DEPTH_MAX {
                self.too_deep(reference.span)
            } else {
                root
            };
        }
        let outer = (
            std::mem::take(&mut self.findings),
            std::mem::replace(&mut self.deepest, self.depth),
        );
        let root = self.expr(body);
        let depth = self.deepest - self.depth;
        let mut findings = std::mem::replace(&mut self.findings, outer.0);
        self.deepest = self.deepest.max(outer.1);
        findings
            .errors
            .iter_mut()
            .for_each(|error| error.in_macro = Some(reference.name.clone()));
        findings
            .warnings
            .iter_mut()
            .for_each(|warning| warning.in_macro = Some(reference.name.clone()));
        self.macros.0.insert(
            key,
            LoweredMacro {
                _body: Arc::clone(body),
                root,
                depth,
                findings,
            },
        );
        root
    }

    /// Checks one test. The operand first: what is wrong with it makes the rest meaningless.
    fn test(&mut self, check: &Check) -> Result<Test, ConditionError> {
        let (operand, kind) = self.left_operand(&check.left)?;
        operator::check(check, kind)?;
        self.advise(check, kind);
        let scope = match (&operand, check.op) {
            (Operand::Ancestors(_), _) => Scope::Some,
            (_, Op::Intersects) if kind.is_list => Scope::Some,
            (_, Op::In) if kind.is_list => Scope::Every,
            _ => Scope::Single,
        };
        let scope = if operand::spans_ancestors(&operand) {
            Scope::Some
        } else {
            scope
        };
        let relation = operator::relation(check.op);
        let predicate = match &check.right {
            Right::Nothing => Predicate::Exists,
            Right::Operand(right) => {
                let right = self.right_operand(right, check, kind)?;
                if check.op.takes_list() && kind.is_list {
                    Predicate::Member(right)
                } else {
                    Predicate::Operand(relation, right)
                }
            }
            Right::Value(value) => {
                let constants = constant::convert(&operand, kind, check.op, std::slice::from_ref(value))?;
                Predicate::Constants(relation, Modifier::AnyOf, constants)
            }
            Right::List(values) => {
                let constants = constant::convert(&operand, kind, check.op, values)?;
                Predicate::Constants(relation, check.modifier.unwrap_or(Modifier::AnyOf), constants)
            }
        };
        Ok(Test {
            operand,
            scope,
            predicate,
        })
    }
}
