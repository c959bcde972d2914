//! Evaluates one test.

use super::values::{Cached, SlotId, Source, Values};
use crate::event::Event;
use crate::ir::{Relation, Scope};
use crate::matcher::{Matcher, Scalar, glob_matches, orders};

/// One test, compiled.
#[derive(Clone, Debug)]
pub(crate) struct Leaf {
    pub(crate) operands: Operands,
    pub(crate) scope: Scope,
    pub(crate) test: LeafTest,
}

/// The values that are tested.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Operands {
    One(SlotId),
    /// Both ends of a socket.
    Either(SlotId, SlotId),
}

/// What is asked of them.
#[derive(Clone, Debug)]
pub(crate) enum LeafTest {
    Exists,
    Constants(Matcher),
    /// Related so to another value.
    Operand(Relation, SlotId),
    /// Element of a list.
    Member(SlotId),
}

impl Leaf {
    pub(crate) fn holds(&self, sources: &[Source], event: &impl Event, values: &mut Values) -> bool {
        // Nearly every test is of this shape: one value that is no list, and constants of which any may match.
        if let (Operands::One(slot), LeafTest::Constants(Matcher::Any(constants))) =
            (self.operands, &self.test)
        {
            let value = values.get(sources, slot, event);
            if value == Cached::Missing {
                return false;
            }
            if let Some(scalar) = values.scalar(value) {
                return constants.matches(scalar);
            }
        }
        self.holds_for_any_shape(sources, event, values)
    }

    fn holds_for_any_shape(&self, sources: &[Source], event: &impl Event, values: &mut Values) -> bool {
        let (first, second) = match self.operands {
            Operands::One(slot) => (values.get(sources, slot, event), Cached::Missing),
            Operands::Either(first, second) => (
                values.get(sources, first, event),
                values.get(sources, second, event),
            ),
        };
        if first == Cached::Missing && second == Cached::Missing {
            return false;
        }
        let right = match self.test {
            LeafTest::Operand(_, slot) | LeafTest::Member(slot) => values.get(sources, slot, event),
            LeafTest::Exists | LeafTest::Constants(_) => Cached::Missing,
        };
        let items = values.items(&first).iter().chain(values.items(&second));
        let scalars = items.clone().filter_map(|item| values.scalar(*item));
        match &self.test {
            LeafTest::Exists => true,
            LeafTest::Constants(matcher) => match self.scope {
                Scope::Single => matcher.matches_several(&scalars),
                Scope::Some => scalars.into_iter().any(|scalar| matcher.matches(scalar)),
                Scope::Every => scalars.into_iter().all(|scalar| matcher.matches(scalar)),
            },
            LeafTest::Operand(relation, _) => {
                let Some(right) = values.scalar(right) else {
                    return false;
                };
                let mut related = scalars.map(|left| relates(*relation, left, right));
                // `!=` on both ends of a socket needs both to differ, as with constants.
                if *relation == Relation::Ne && self.scope == Scope::Single {
                    related.all(|related| related)
                } else {
                    related.any(|related| related)
                }
            }
            LeafTest::Member(_) => {
                if right == Cached::Missing {
                    return false;
                }
                let mut contained = scalars.map(|left| {
                    let mut elements = values
                        .items(&right)
                        .iter()
                        .filter_map(|item| values.scalar(*item));
                    elements.any(|element| relates(Relation::Eq, left, element))
                });
                if self.scope == Scope::Every {
                    contained.all(|is| is)
                } else {
                    contained.any(|is| is)
                }
            }
        }
    }
}

/// Whether two values of the event relate so.
fn relates(relation: Relation, left: Scalar<'_>, right: Scalar<'_>) -> bool {
    match (left, right) {
        (Scalar::Text(left), Scalar::Text(right)) => match relation {
            Relation::Contains => memchr::memmem::find(left, right).is_some(),
            Relation::IContains => contains_folded(left, right),
            Relation::StartsWith => left.starts_with(right),
            Relation::EndsWith => left.ends_with(right),
            Relation::Glob => glob_matches(right, left, false),
            Relation::IGlob => glob_matches(right, left, true),
            order => orders(order, left, right),
        },
        (Scalar::Number(left), Scalar::Number(right)) => orders(relation, &left, &right),
        (Scalar::Double(left), Scalar::Double(right)) => orders(relation, &left, &right),
        (Scalar::Ip(left), Scalar::Ip(right)) => orders(relation, &left, &right),
        _ => false,
    }
}

fn contains_folded(text: &[u8], part: &[u8]) -> bool {
    part.is_empty()
        || text
            .windows(part.len())
            .any(|window| window.eq_ignore_ascii_case(part))
}
