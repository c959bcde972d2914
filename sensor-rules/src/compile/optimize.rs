//! Puts tests of the same value together, and cheap and decisive tests first.

use std::mem::{Discriminant, discriminant};

use hashbrown::HashMap;

use crate::ast::Modifier;
use crate::compile::guess::has_many_values;
use crate::ir::{Constants, Graph, Node, NodeId, Operand, Predicate, Relation, Scope, Test};

/// Rewrites nodes; each once.
pub(crate) struct Optimizer<'a> {
    graph: &'a mut Graph,
    done: HashMap<NodeId, NodeId, foldhash::fast::FixedState>,
    estimates: HashMap<NodeId, Estimate, foldhash::fast::FixedState>,
}

/// What evaluating a node costs, in comparisons of short text, and how often it is true.
#[derive(Clone, Copy, Debug)]
struct Estimate {
    cost: f32,
    holds: f32,
}

/// The key by which tests can be put together: all but the constants.
#[derive(PartialEq, Eq, Hash)]
struct FuseKey {
    operand: Operand,
    scope: Scope,
    relation: Relation,
    /// An address is tested against addresses and against networks.
    constants: Discriminant<Constants>,
}

impl<'a> Optimizer<'a> {
    pub(crate) fn new(graph: &'a mut Graph) -> Self {
        Self {
            graph,
            done: HashMap::default(),
            estimates: HashMap::default(),
        }
    }

    pub(crate) fn node(&mut self, id: NodeId) -> NodeId {
        if let Some(done) = self.done.get(&id) {
            return *done;
        }
        let rewritten = match self.graph.node(id).clone() {
            Node::Const(_) | Node::Test(_) => id,
            Node::Not(child) => {
                let child = self.node(child);
                self.graph.not(child)
            }
            Node::And(children) => {
                let children: Vec<_> = children.iter().map(|child| self.node(*child)).collect();
                let children = self.fuse_negated(children);
                let children = self.ordered(children, |estimate| estimate.cost / (1.001 - estimate.holds));
                self.graph.and(children)
            }
            Node::Or(children) => {
                let children: Vec<_> = children.iter().map(|child| self.node(*child)).collect();
                let children = self.fuse(children);
                let children = self.ordered(children, |estimate| estimate.cost / (0.001 + estimate.holds));
                self.graph.or(children)
            }
            Node::Exception(fields, child) => {
                let child = self.node(child);
                self.graph.exception_with(fields, child)
            }
        };
        self.done.insert(id, rewritten);
        rewritten
    }

    /// Makes one test of those alternatives that ask the same of the same value: `a = x or a = y` is `a in (x, y)`.
    fn fuse(&mut self, children: Vec<NodeId>) -> Vec<NodeId> {
        let mut groups: HashMap<FuseKey, usize, foldhash::fast::FixedState> = HashMap::default();
        let mut fused: Vec<(NodeId, Option<Test>)> = Vec::new();
        for child in children {
            let Some((key, test)) = self.fusable(child) else {
                fused.push((child, None));
                continue;
            };
            if let Some(at) = groups.get(&key) {
                let (_, merged) = &mut fused[*at];
                let base = merged.get_or_insert_with(|| test.clone());
                merge(&mut base.predicate, &test.predicate);
            } else {
                groups.insert(key, fused.len());
                fused.push((child, Some(test)));
            }
        }
        fused
            .into_iter()
            .map(|(child, test)| test.map_or(child, |test| self.graph.add_test(test)))
            .collect()
    }

    /// The same for `not a = x and not a = y`, which is `not a in (x, y)`.
    fn fuse_negated(&mut self, children: Vec<NodeId>) -> Vec<NodeId> {
        let (mut kept, mut negated) = (Vec::new(), Vec::new());
        for child in children {
            match self.graph.node(child) {
                Node::Not(inner) => negated.push(*inner),
                _ => kept.push(child),
            }
        }
        for inner in self.fuse(negated) {
            kept.push(self.graph.not(inner));
        }
        kept
    }

    /// The key and test of a node whose constants may be joined with others by "or".
    fn fusable(&self, id: NodeId) -> Option<(FuseKey, Test)> {
        let Node::Test(test) = self.graph.node(id) else {
            return None;
        };
        let test = self.graph.test(*test);
        // `in` on a list asks that every element is in one set, which two sets do not say together.
        if test.scope == Scope::Every {
            return None;
        }
        let Predicate::Constants(relation, Modifier::AnyOf, constants) = &test.predicate else {
            return None;
        };
        let joins = matches!(
            relation,
            Relation::Eq
                | Relation::Contains
                | Relation::IContains
                | Relation::StartsWith
                | Relation::EndsWith
                | Relation::Glob
                | Relation::IGlob
                | Relation::Below
        );
        let key = FuseKey {
            operand: test.operand.clone(),
            scope: test.scope,
            relation: *relation,
            constants: discriminant(constants),
        };
        joins.then(|| (key, test.clone()))
    }

    fn ordered(&mut self, mut children: Vec<NodeId>, rank: fn(Estimate) -> f32) -> Vec<NodeId> {
        children.sort_by(|a, b| rank(self.estimate(*a)).total_cmp(&rank(self.estimate(*b))));
        children
    }

    fn estimate(&mut self, id: NodeId) -> Estimate {
        if let Some(known) = self.estimates.get(&id) {
            return *known;
        }
        let estimate = match self.graph.node(id).clone() {
            Node::Const(value) => Estimate {
                cost: 0.0,
                holds: f32::from(u8::from(value)),
            },
            Node::Test(test) => estimate_test(self.graph.test(test)),
            Node::Not(child) => {
                let child = self.estimate(child);
                Estimate {
                    cost: child.cost,
                    holds: 1.0 - child.holds,
                }
            }
            Node::And(children) => {
                let mut total = Estimate {
                    cost: 0.0,
                    holds: 1.0,
                };
                for child in children {
                    let child = self.estimate(child);
                    total.cost += total.holds * child.cost;
                    total.holds *= child.holds;
                }
                total
            }
            Node::Or(children) => {
                let mut total = Estimate {
                    cost: 0.0,
                    holds: 0.0,
                };
                for child in children {
                    let child = self.estimate(child);
                    total.cost += (1.0 - total.holds) * child.cost;
                    total.holds += (1.0 - total.holds) * child.holds;
                }
                total
            }
            Node::Exception(_, child) => self.estimate(child),
        };
        self.estimates.insert(id, estimate);
        estimate
    }
}

fn merge(into: &mut Predicate, from: &Predicate) {
    let (Predicate::Constants(_, _, into), Predicate::Constants(_, _, from)) = (into, from) else {
        return;
    };
    match (into, from) {
        (Constants::Text(into), Constants::Text(from)) => into.extend_from_slice(from),
        (Constants::Number(into), Constants::Number(from)) => into.extend_from_slice(from),
        (Constants::Ip(into), Constants::Ip(from)) => into.extend_from_slice(from),
        (Constants::Net(into), Constants::Net(from)) => into.extend_from_slice(from),
        _ => {}
    }
}

fn estimate_test(test: &Test) -> Estimate {
    let read = match &test.operand {
        Operand::Ancestors(_) => 30.0,
        Operand::Call(..) | Operand::List(_) => 20.0,
        _ => 1.0,
    };
    let (compare, holds) = match &test.predicate {
        Predicate::Exists => (0.5, 0.9),
        Predicate::Constants(relation, modifier, constants) => {
            let is_text = matches!(constants, Constants::Text(_));
            let (cost, mut holds) = estimate_relation(*relation, is_text);
            if let (Operand::Field(field), Relation::Eq, true) = (&test.operand, *relation, is_text)
                && !has_many_values(field)
            {
                holds = 0.4;
            }
            if *modifier == Modifier::AnyOf {
                (cost, holds)
            } else {
                (cost * 4.0, holds)
            }
        }
        Predicate::Operand(relation, _) => (5.0, estimate_relation(*relation, true).1),
        Predicate::Member(_) => (20.0, 0.3),
    };
    Estimate {
        cost: read + compare,
        holds,
    }
}

fn estimate_relation(relation: Relation, is_text: bool) -> (f32, f32) {
    match relation {
        Relation::Eq if is_text => (1.5, 0.1),
        Relation::Eq => (0.5, 0.3),
        Relation::Ne => (1.5, 0.8),
        Relation::Lt | Relation::Le | Relation::Gt | Relation::Ge => (0.5, 0.5),
        Relation::StartsWith | Relation::EndsWith => (2.0, 0.1),
        Relation::Contains | Relation::IContains => (6.0, 0.1),
        Relation::Below => (8.0, 0.1),
        Relation::Glob | Relation::IGlob => (10.0, 0.1),
        Relation::Regex => (25.0, 0.1),
    }
}
