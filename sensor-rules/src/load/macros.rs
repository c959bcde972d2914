//! Macros: conditions that others use by name.
//!
//! Unlike a list, a macro is parsed where it is defined and used as a tree. A rule sees all macros; a macro sees
//! those whose first definition stands before its own newest one.

use std::collections::HashMap;
use std::sync::Arc;

use smol_str::SmolStr;

use super::collect::{Collector, Kind};
use super::limits::{CONDITION_NODES_MAX, MACRO_DEPTH_MAX, TREE_DEPTH_MAX};
use super::source::Text;
use crate::ast::{Expr, MacroRef, Span};

/// How large a tree is with all macros in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Size {
    pub(crate) nodes: usize,
    pub(crate) depth: usize,
}

impl Size {
    fn add_child(&mut self, child: Self) {
        self.nodes = self.nodes.saturating_add(child.nodes);
        self.depth = self.depth.max(child.depth.saturating_add(1));
    }

    fn is_too_large(self) -> bool {
        self.nodes > CONDITION_NODES_MAX || self.depth > TREE_DEPTH_MAX
    }
}

/// A macro whose own macros are in place.
#[derive(Clone, Debug)]
struct Resolved {
    body: Arc<Expr>,
    size: Size,
}

/// A parsed macro, on its way to be resolved.
pub(crate) struct Parsed {
    /// The condition with its lists written out; spans of the tree lie in it.
    pub(crate) text: Text,
    /// None where it does not parse.
    pub(crate) expr: Option<Expr>,
}

/// How far a macro is.
#[derive(Clone, Debug)]
enum State {
    Pending,
    /// It has an error, which its own resolution has returned.
    Failed,
    Done(Resolved),
}

/// All macros of a load, in the order of definition.
pub(crate) struct Macros {
    parsed: Vec<Parsed>,
    states: Vec<State>,
    used: Vec<bool>,
}

/// A reference that cannot be resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unresolved {
    pub(crate) name: SmolStr,
    pub(crate) span: Span,
    /// The macro in whose text the span lies; none for the condition being resolved itself.
    pub(crate) in_macro: Option<usize>,
    pub(crate) reason: Reason,
}

/// Why a reference cannot be resolved, in the order in which Falco reports them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Reason {
    /// It leads back to itself.
    Loop,
    /// No macro of that name can be seen from here.
    Undefined,
    /// The condition becomes too large.
    TooLarge,
    /// It has an error of its own, which is reported already.
    Failed,
}

/// Follows one condition's references.
struct Walk<'a> {
    collector: &'a Collector,
    /// Macros with a smaller index can be seen.
    visibility: u32,
    /// The macros being resolved, outermost first.
    path: Vec<usize>,
    /// Later macros, resolved for this condition.
    memo: HashMap<usize, Resolved>,
    errors: Vec<Unresolved>,
}

impl Macros {
    /// Takes the parsed macros, one for each of the collector's.
    pub(crate) fn new(parsed: Vec<Parsed>) -> Self {
        let count = parsed.len();
        Self {
            parsed,
            states: vec![State::Pending; count],
            used: vec![false; count],
        }
    }

    /// The text in which a macro's spans lie.
    pub(crate) fn text(&self, position: usize) -> Option<&Text> {
        self.parsed.get(position).map(|parsed| &parsed.text)
    }

    pub(crate) fn is_used(&self, position: usize) -> bool {
        self.used.get(position).copied().unwrap_or(false)
    }

    /// Puts macros into one macro, which must come after all earlier ones.
    pub(crate) fn resolve_macro(
        &mut self,
        collector: &Collector,
        position: usize,
    ) -> Result<(), Vec<Unresolved>> {
        let Some(item) = collector.macros.at(position) else {
            return Ok(());
        };
        let Some(mut expr) = self.parsed.get(position).and_then(|parsed| parsed.expr.clone()) else {
            self.states[position] = State::Failed;
            return Ok(());
        };
        let resolved = self.resolve(collector, &mut expr, item.order.visibility);
        self.states[position] = match &resolved {
            Ok(size) => State::Done(Resolved {
                body: Arc::new(expr),
                size: *size,
            }),
            Err(_) => State::Failed,
        };
        resolved.map(|_| ())
    }

    /// Puts macros into a rule's condition.
    pub(crate) fn resolve_rule(
        &mut self,
        collector: &Collector,
        expr: &mut Expr,
    ) -> Result<Size, Vec<Unresolved>> {
        self.resolve(collector, expr, u32::MAX)
    }

    fn resolve(
        &mut self,
        collector: &Collector,
        expr: &mut Expr,
        visibility: u32,
    ) -> Result<Size, Vec<Unresolved>> {
        let mut walk = Walk {
            collector,
            visibility,
            path: Vec::new(),
            memo: HashMap::new(),
            errors: Vec::new(),
        };
        let size = self.walk(expr, &mut walk);
        if walk.errors.is_empty() && size.is_too_large() {
            let span = expr.span();
            let name = SmolStr::default();
            walk.errors.push(Unresolved {
                name,
                span,
                in_macro: None,
                reason: Reason::TooLarge,
            });
        }
        if walk.errors.is_empty() {
            return Ok(size);
        }
        walk.errors.sort_by_key(|error| error.reason);
        walk.errors
            .dedup_by(|left, right| left.name == right.name && left.reason == right.reason);
        Err(walk.errors)
    }

    fn walk(&mut self, expr: &mut Expr, walk: &mut Walk<'_>) -> Size {
        let mut size = Size { nodes: 1, depth: 1 };
        match expr {
            Expr::And(children) | Expr::Or(children) => {
                for child in children {
                    size.add_child(self.walk(child, walk));
                }
            }
            Expr::Not(child) => size.add_child(self.walk(child, walk)),
            Expr::Exception(exception) => size.add_child(self.walk(&mut exception.body, walk)),
            Expr::Check(_) => {}
            Expr::Macro(reference) => {
                if let Some(target) = self.follow(reference, walk) {
                    size.add_child(target.size);
                    reference.body = Some(target.body);
                }
            }
        }
        size
    }

    /// What a reference stands for; none, with an error noted, where that cannot be said.
    fn follow(&mut self, reference: &MacroRef, walk: &mut Walk<'_>) -> Option<Resolved> {
        let fail = |walk: &mut Walk<'_>, reason| {
            let in_macro = walk.path.last().copied();
            let (name, span) = (reference.name.clone(), reference.span);
            walk.errors.push(Unresolved {
                name,
                span,
                in_macro,
                reason,
            });
            None
        };
        let visible = walk
            .collector
            .macros
            .get(&reference.name)
            .filter(|item| item.order.index < walk.visibility);
        let position = visible.and_then(|_| walk.collector.macros.position(&reference.name));
        let Some(position) = position else {
            let failed = walk.collector.has_failed(Kind::Macro, &reference.name);
            return fail(walk, if failed { Reason::Failed } else { Reason::Undefined });
        };
        self.used[position] = true;
        match (&self.states[position], walk.memo.get(&position)) {
            (State::Done(resolved), _) | (State::Pending, Some(resolved)) => return Some(resolved.clone()),
            (State::Failed, _) => return fail(walk, Reason::Failed),
            (State::Pending, None) => {}
        }
        if walk.path.contains(&position) {
            return fail(walk, Reason::Loop);
        }
        if walk.path.len() >= MACRO_DEPTH_MAX {
            return fail(walk, Reason::TooLarge);
        }
        // A macro that was defined first and now sees later ones is resolved before them.
        let Some(mut expr) = self.parsed[position].expr.clone() else {
            return fail(walk, Reason::Failed);
        };
        walk.path.push(position);
        let size = self.walk(&mut expr, walk);
        walk.path.pop();
        if size.is_too_large() {
            return fail(walk, Reason::TooLarge);
        }
        let resolved = Resolved {
            body: Arc::new(expr),
            size,
        };
        walk.memo.insert(position, resolved.clone());
        Some(resolved)
    }
}
