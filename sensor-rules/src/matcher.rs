//! Constants, made ready to be compared with a great many values.
//!
//! Equality is a hash set; prefixes, suffixes and networks are a sorted search; several substrings are one automaton. Nothing
//! here allocates while it matches, except where a regular expression meets text that is not UTF-8.

mod glob;
mod net;
mod path;
mod regex;
mod text;

use std::net::IpAddr;

use crate::ast::Modifier;
use crate::ir::{Constants, Predicate, Relation};
pub(crate) use glob::glob_matches;
use net::NetSet;
pub(crate) use regex::compile_regex;
pub(crate) use text::TextSet;

/// A value as matchers see it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Scalar<'a> {
    Text(&'a [u8]),
    /// Integers and booleans.
    Number(i128),
    Double(f64),
    Ip(IpAddr),
}

/// Constants of a test, ready to be matched.
#[derive(Clone, Debug)]
pub(crate) enum Matcher {
    /// Some constant relates to the value.
    Any(ConstantSet),
    /// As many of the constants as the modifier says relate to the value, or differ from it.
    Each {
        modifier: Modifier,
        negated: bool,
        singles: Vec<ConstantSet>,
    },
}

/// Matches a value that relates to any of the constants.
#[derive(Clone, Debug)]
pub(crate) enum ConstantSet {
    Text(TextSet),
    Numbers(Box<[i128]>),
    NumberOrder(Relation, i128),
    Ips(Box<[IpAddr]>),
    Nets(NetSet),
}

impl Matcher {
    /// Matches no value.
    pub(crate) const NOTHING: Self = Self::Any(ConstantSet::Text(TextSet::Nothing));

    /// The matcher of a predicate on constants; `None` for other predicates.
    pub(crate) fn for_constants(predicate: &Predicate) -> Option<Self> {
        let Predicate::Constants(relation, modifier, constants) = predicate else {
            return None;
        };
        if *modifier == Modifier::AnyOf && *relation != Relation::Ne {
            return Some(Self::Any(ConstantSet::new(*relation, constants)));
        }
        let negated = *relation == Relation::Ne;
        let relation = if negated { Relation::Eq } else { *relation };
        let singles = split(constants)
            .iter()
            .map(|single| ConstantSet::new(relation, single))
            .collect();
        Some(Self::Each {
            modifier: *modifier,
            negated,
            singles,
        })
    }

    /// Whether one value matches.
    pub(crate) fn matches(&self, value: Scalar<'_>) -> bool {
        self.matches_several(&std::iter::once(value))
    }

    /// Whether values that stand for one do: any may match, `!=` needs all to differ. No value matches nothing.
    pub(crate) fn matches_several<'a>(&self, values: &(impl Iterator<Item = Scalar<'a>> + Clone)) -> bool {
        match self {
            Self::Any(set) => values.clone().any(|value| set.matches(value)),
            Self::Each {
                modifier,
                negated,
                singles,
            } => {
                if values.clone().next().is_none() || singles.is_empty() {
                    return false;
                }
                let mut holds = singles
                    .iter()
                    .map(|single| *negated != values.clone().any(|value| single.matches(value)));
                match modifier {
                    Modifier::AnyOf => holds.any(|holds| holds),
                    Modifier::AllOf => holds.all(|holds| holds),
                    Modifier::OneOf => holds.filter(|holds| *holds).take(2).count() == 1,
                }
            }
        }
    }

    pub(crate) fn matches_text(&self, text: &[u8]) -> bool {
        self.matches(Scalar::Text(text))
    }

    pub(crate) fn matches_number(&self, number: i128) -> bool {
        self.matches(Scalar::Number(number))
    }
}

impl ConstantSet {
    fn new(relation: Relation, constants: &Constants) -> Self {
        match constants {
            Constants::Text(texts) => Self::Text(TextSet::new(relation, texts)),
            Constants::Number(numbers) => {
                let is_order = matches!(
                    relation,
                    Relation::Lt | Relation::Le | Relation::Gt | Relation::Ge
                );
                if let ([number], true) = (&numbers[..], is_order) {
                    return Self::NumberOrder(relation, *number);
                }
                let mut numbers = numbers.clone();
                numbers.sort_unstable();
                Self::Numbers(numbers.into())
            }
            Constants::Ip(ips) => {
                let mut ips = ips.clone();
                ips.sort_unstable();
                Self::Ips(ips.into())
            }
            Constants::Net(nets) => Self::Nets(NetSet::new(nets)),
        }
    }

    #[inline]
    pub(crate) fn matches(&self, value: Scalar<'_>) -> bool {
        match (self, value) {
            (Self::Text(set), Scalar::Text(text)) => set.matches(text),
            (Self::Numbers(numbers), Scalar::Number(number)) => numbers.binary_search(&number).is_ok(),
            (Self::Numbers(numbers), Scalar::Double(value)) => numbers
                .iter()
                .any(|number| order_doubles(Relation::Eq, value, *number)),
            (Self::NumberOrder(relation, limit), Scalar::Number(number)) => orders(*relation, &number, limit),
            (Self::NumberOrder(relation, limit), Scalar::Double(value)) => {
                order_doubles(*relation, value, *limit)
            }
            (Self::Ips(ips), Scalar::Ip(ip)) => ips.binary_search(&ip).is_ok(),
            (Self::Nets(nets), Scalar::Ip(ip)) => nets.contains(ip),
            _ => false,
        }
    }
}

/// One set of constants for each constant.
fn split(constants: &Constants) -> Vec<Constants> {
    match constants {
        Constants::Text(texts) => texts
            .iter()
            .map(|text| Constants::Text(vec![text.clone()]))
            .collect(),
        Constants::Number(numbers) => numbers
            .iter()
            .map(|number| Constants::Number(vec![*number]))
            .collect(),
        Constants::Ip(ips) => ips.iter().map(|ip| Constants::Ip(vec![*ip])).collect(),
        Constants::Net(nets) => nets.iter().map(|net| Constants::Net(vec![*net])).collect(),
    }
}

/// Compares by an order relation or equality.
pub(crate) fn orders<T: PartialOrd + ?Sized>(relation: Relation, left: &T, right: &T) -> bool {
    match relation {
        Relation::Eq => left == right,
        Relation::Ne => left != right,
        Relation::Lt => left < right,
        Relation::Le => left <= right,
        Relation::Gt => left > right,
        Relation::Ge => left >= right,
        _ => false,
    }
}

/// Compares a fraction with a whole constant.
#[expect(
    clippy::cast_precision_loss,
    reason = "constants beyond 2^53 are no CPU percentages"
)]
fn order_doubles(relation: Relation, value: f64, constant: i128) -> bool {
    orders(relation, &value, &(constant as f64))
}
