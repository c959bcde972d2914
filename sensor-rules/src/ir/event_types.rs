//! For which event types a condition can be true.
//!
//! `evt.type` is known before any field is read, so that its tests are decided when rules are compiled. Tests of the
//! event's number that hold for every event, or none, are the placeholders of Falco's rules (`evt.num>=0`).

use hashbrown::HashMap;

use super::{Constants, Graph, Node, NodeId, Operand, Predicate, Relation, Test};
use crate::event_set::EventTypeSet;
use crate::field::{EventType, Field, FieldArg, FieldRef};
use crate::matcher::Matcher;

/// The event types for which a node can be true, and for which it can be false.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct TypeSets {
    can_hold: EventTypeSet,
    can_fail: EventTypeSet,
}

impl TypeSets {
    fn unknown() -> Self {
        Self {
            can_hold: EventTypeSet::all(),
            can_fail: EventTypeSet::all(),
        }
    }

    fn exactly(holds: EventTypeSet) -> Self {
        Self {
            can_hold: holds,
            can_fail: holds.complement(),
        }
    }
}

impl Graph {
    /// The event types for which `root` can be true.
    pub(crate) fn event_types(&self, root: NodeId) -> EventTypeSet {
        let mut sets: HashMap<NodeId, TypeSets, foldhash::fast::FixedState> = HashMap::default();
        for id in self.reachable([root]) {
            let of_node = self.type_sets(id, |child| {
                sets.get(&child).copied().unwrap_or_else(TypeSets::unknown)
            });
            sets.insert(id, of_node);
        }
        sets.get(&root)
            .copied()
            .unwrap_or_else(TypeSets::unknown)
            .can_hold
    }

    fn type_sets(&self, id: NodeId, of: impl Fn(NodeId) -> TypeSets) -> TypeSets {
        let combine = |children: &[NodeId],
                       hold: fn(&EventTypeSet, &EventTypeSet) -> EventTypeSet,
                       fail: fn(&EventTypeSet, &EventTypeSet) -> EventTypeSet| {
            children
                .iter()
                .map(|child| of(*child))
                .reduce(|a, b| TypeSets {
                    can_hold: hold(&a.can_hold, &b.can_hold),
                    can_fail: fail(&a.can_fail, &b.can_fail),
                })
                .unwrap_or_else(TypeSets::unknown)
        };
        match self.node(id) {
            Node::Const(value) => TypeSets::exactly(if *value {
                EventTypeSet::all()
            } else {
                EventTypeSet::EMPTY
            }),
            Node::Test(test) => self
                .test(*test)
                .decided_by_type()
                .map_or_else(TypeSets::unknown, TypeSets::exactly),
            Node::Not(child) => {
                let TypeSets { can_hold, can_fail } = of(*child);
                TypeSets {
                    can_hold: can_fail,
                    can_fail: can_hold,
                }
            }
            Node::And(children) => combine(children, EventTypeSet::intersection, EventTypeSet::union),
            Node::Or(children) => combine(children, EventTypeSet::union, EventTypeSet::intersection),
            Node::Exception(_, child) => TypeSets {
                can_hold: of(*child).can_hold,
                can_fail: EventTypeSet::all(),
            },
        }
    }
}

impl Test {
    /// The types for which the test is true, if the type alone decides it.
    pub(crate) fn decided_by_type(&self) -> Option<EventTypeSet> {
        let Operand::Field(FieldRef { field, arg }) = &self.operand else {
            return None;
        };
        let decide = |value: fn(EventType, &FieldArg) -> TypeValue| {
            let matcher = Matcher::for_constants(&self.predicate)?;
            Some(
                EventType::all()
                    .filter(|event_type| match value(*event_type, arg) {
                        TypeValue::Name(name) => matcher.matches_text(name.as_bytes()),
                        TypeValue::Number(number) => matcher.matches_number(number),
                    })
                    .collect(),
            )
        };
        match (field, &self.predicate) {
            (Field::EvtType, _) => decide(|event_type, _| TypeValue::Name(event_type.name())),
            (Field::EvtDir, _) => decide(|_, _| TypeValue::Name("<")),
            (Field::EvtTypeIs, _) => decide(|event_type, arg| {
                let FieldArg::Key(name) = arg else {
                    return TypeValue::Number(0);
                };
                TypeValue::Number(i128::from(event_type.name() == name.as_str()))
            }),
            (Field::EvtNum, Predicate::Constants(relation, _, Constants::Number(numbers))) => {
                let [number] = numbers[..] else { return None };
                number_is_tautology(*relation, number).map(|holds| {
                    if holds {
                        EventTypeSet::all()
                    } else {
                        EventTypeSet::EMPTY
                    }
                })
            }
            _ => None,
        }
    }
}

enum TypeValue {
    Name(&'static str),
    Number(i128),
}

/// Whether the event's number, which is 1 for the first event, always or never relates so to `number`.
fn number_is_tautology(relation: Relation, number: i128) -> Option<bool> {
    match relation {
        Relation::Gt | Relation::Ne if number < 1 => Some(true),
        Relation::Ge if number <= 1 => Some(true),
        Relation::Eq | Relation::Le if number < 1 => Some(false),
        Relation::Lt if number <= 1 => Some(false),
        _ => None,
    }
}
