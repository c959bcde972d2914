//! What rules demand of an event, for an evaluator that knows only a part of it.
//!
//! Negations stand at the tests. Whoever cannot answer a test takes it for true: since nothing else is negated, what
//! comes out then is true wherever the rule is. [`Demand::Unknown`] is what cannot be told here at all.

use std::sync::Arc;

use ipnet::IpNet;

use crate::ast::Modifier;
use crate::event::Value;
use crate::field::FieldRef;
use crate::ir::{Constants, Graph, Node, NodeId, Operand, Predicate, Relation, Scope};
use crate::matcher::{Matcher, Scalar};

/// Parts of one rule that are told apart; a rule of more is [`Demand::Unknown`] beyond them.
const PARTS_MAX: usize = 4096;

/// A condition in negation normal form.
#[derive(Clone, Debug)]
pub enum Demand {
    /// All of them; none is true.
    All(Vec<Self>),
    /// Any of them; none is false.
    Any(Vec<Self>),
    /// One test of one field.
    Test {
        /// What is asked.
        question: Arc<Question>,
        /// Whether the answer must be no. A field without a value answers no.
        negated: bool,
    },
    /// It may hold or not.
    Unknown,
}

/// One test of one field against constants, of which any may relate to the value.
#[derive(Clone, Debug)]
pub struct Question {
    field: FieldRef,
    predicate: Predicate,
    matcher: Option<Matcher>,
}

/// How text is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TextRelation {
    /// Equal to.
    Equals,
    /// Beginning with.
    StartsWith,
    /// Ending in.
    EndsWith,
    /// Having as a part.
    Contains,
    /// Below a path, by whole components, of which each may be a pattern.
    Below,
    /// Fitting a shell pattern as a whole.
    Glob,
}

impl Question {
    /// The field that is asked for.
    #[must_use]
    pub const fn field(&self) -> &FieldRef {
        &self.field
    }

    /// Whether this value of the field, if it has one, is answered with yes.
    #[must_use]
    pub fn holds(&self, value: Option<&Value<'_>>) -> bool {
        let (Some(value), Some(matcher)) = (value, &self.matcher) else {
            return value.is_some() && self.matcher.is_none();
        };
        match value {
            Value::Bool(value) => matcher.matches(Scalar::Number((*value).into())),
            Value::Int(value) => matcher.matches(Scalar::Number((*value).into())),
            Value::Uint(value) => matcher.matches(Scalar::Number((*value).into())),
            Value::Double(value) => matcher.matches(Scalar::Double(*value)),
            Value::Text(text) | Value::Bytes(text) => matcher.matches(Scalar::Text(text)),
            Value::Ip(value) => matcher.matches(Scalar::Ip(*value)),
            Value::List(_) => false,
        }
    }

    /// The texts that are compared with, where that is all there is to it.
    #[must_use]
    pub fn texts(&self) -> Option<(TextRelation, &[Vec<u8>])> {
        let Predicate::Constants(relation, _, Constants::Text(texts)) = &self.predicate else {
            return None;
        };
        let relation = match relation {
            Relation::Eq => TextRelation::Equals,
            Relation::StartsWith => TextRelation::StartsWith,
            Relation::EndsWith => TextRelation::EndsWith,
            Relation::Contains => TextRelation::Contains,
            Relation::Below => TextRelation::Below,
            Relation::Glob => TextRelation::Glob,
            _ => return None,
        };
        Some((relation, texts))
    }

    /// The networks that an address must lie in, where that is all there is to it.
    #[must_use]
    pub fn networks(&self) -> Option<Vec<IpNet>> {
        match &self.predicate {
            Predicate::Constants(Relation::Eq, _, Constants::Ip(ips)) => {
                Some(ips.iter().copied().map(IpNet::from).collect())
            }
            Predicate::Constants(Relation::Eq, _, Constants::Net(nets)) => Some(nets.clone()),
            _ => None,
        }
    }

    /// The ranges of numbers, ends included, that are answered with yes.
    #[must_use]
    pub fn ranges(&self) -> Option<Vec<(i128, i128)>> {
        let Predicate::Constants(relation, _, Constants::Number(numbers)) = &self.predicate else {
            return None;
        };
        let of = |number: &i128| {
            Some(match relation {
                Relation::Eq => (*number, *number),
                Relation::Lt => (i128::MIN, number - 1),
                Relation::Le => (i128::MIN, *number),
                Relation::Gt => (number + 1, i128::MAX),
                Relation::Ge => (*number, i128::MAX),
                _ => return None,
            })
        };
        numbers.iter().map(of).collect()
    }
}

/// The demand of a node of a graph, or of its negation.
pub(crate) fn demand(graph: &Graph, root: NodeId) -> Demand {
    let mut parts_left = PARTS_MAX;
    of(graph, root, false, &mut parts_left)
}

/// The recursion is as deep as the condition, which the check bounds.
fn of(graph: &Graph, id: NodeId, negated: bool, parts_left: &mut usize) -> Demand {
    let Some(left) = parts_left.checked_sub(1) else {
        return Demand::Unknown;
    };
    *parts_left = left;
    let mut each = |children: &[NodeId]| {
        children
            .iter()
            .map(|child| of(graph, *child, negated, parts_left))
            .collect()
    };
    match graph.node(id) {
        Node::Const(value) if *value == negated => Demand::Any(Vec::new()),
        Node::Const(_) => Demand::All(Vec::new()),
        Node::Not(child) => of(graph, *child, !negated, parts_left),
        Node::And(children) if negated => Demand::Any(each(children)),
        Node::And(children) => Demand::All(each(children)),
        Node::Or(children) if negated => Demand::All(each(children)),
        Node::Or(children) => Demand::Any(each(children)),
        // It may fail to excuse what it names, where that is incomplete.
        Node::Exception(..) if negated => Demand::Unknown,
        Node::Exception(_, child) => of(graph, *child, false, parts_left),
        Node::Test(test) => {
            let test = graph.test(*test);
            let fields = match &test.operand {
                Operand::Field(field) => vec![field],
                Operand::Either(first, second) if test.scope == Scope::Single => vec![first, second],
                _ => return Demand::Unknown,
            };
            let (predicate, negated) = match &test.predicate {
                Predicate::Exists => (Predicate::Exists, negated),
                // "Differs" is true of no missing value, so only "must differ" can be put as "must not equal".
                Predicate::Constants(Relation::Ne, Modifier::AnyOf, constants)
                    if !negated && constants.is_single() =>
                {
                    let equals = Predicate::Constants(Relation::Eq, Modifier::AnyOf, constants.clone());
                    (equals, true)
                }
                Predicate::Constants(relation, Modifier::AnyOf, _) if *relation != Relation::Ne => {
                    (test.predicate.clone(), negated)
                }
                _ => return Demand::Unknown,
            };
            let asked = |field: &FieldRef| Demand::Test {
                question: Arc::new(Question {
                    field: field.clone(),
                    matcher: Matcher::for_constants(&predicate),
                    predicate: predicate.clone(),
                }),
                negated,
            };
            match fields[..] {
                [only] => asked(only),
                // Of two values any may relate; none may where it must not.
                _ if negated => Demand::All(fields.into_iter().map(asked).collect()),
                _ => Demand::Any(fields.into_iter().map(asked).collect()),
            }
        }
    }
}
