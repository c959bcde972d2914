//! Finds the rules that an event leaves possible, without looking at each rule.
//!
//! Most rules can match only if some value is one of a few: a name, the start of a path, a part of a command line.
//! For each rule one such demand is chosen, the most selective that it has. Demands on the same value are looked up
//! together: a thousand rules that ask for a thousand names cost one hash.
//!
//! The answer is a superset: each candidate is still evaluated in full.

use aho_corasick::{AhoCorasick, MatchKind};
use hashbrown::HashMap;

use crate::ast::Modifier;
use crate::compile::emit::Emitter;
use crate::compile::guess::has_many_values;
use crate::eval::{Scratch, SlotId, Source};
use crate::event::Event;
use crate::field::{FieldRef, FieldType};
use crate::ir::{Constants, Graph, Node, NodeId, Operand, Predicate, Relation, Scope, TestId};
use crate::matcher::Scalar;

/// Below so many rules it is cheaper to evaluate them all.
const RULES_MIN: usize = 8;

/// How many demands of one kind make a look at the value worth its cost.
const fn demands_min(relation: Relation) -> usize {
    match relation {
        Relation::Eq => 3,
        Relation::StartsWith | Relation::EndsWith => 5,
        _ => 10,
    }
}

/// Finds candidates among the rules of one class.
#[derive(Debug)]
pub(super) struct Index {
    /// Rules without a demand that can be looked up, as a bit set.
    always: Vec<u64>,
    groups: Vec<Group>,
}

/// Demands on one value by one relation.
#[derive(Debug)]
struct Group {
    slot: SlotId,
    lookup: Lookup,
}

/// Positions of rules.
type Posting = Box<[u32]>;

#[derive(Debug)]
enum Lookup {
    Equal(HashMap<Box<[u8]>, Posting, foldhash::fast::RandomState>),
    /// Constants by their lengths, of which there are few, at the start or end of the value.
    Affix {
        at_end: bool,
        lengths: Vec<usize>,
        known: HashMap<Box<[u8]>, Posting, foldhash::fast::RandomState>,
    },
    Contains {
        automaton: AhoCorasick,
        postings: Vec<Posting>,
    },
}

/// What a rule demands: that one of these tests holds, which happens about so often.
#[derive(Clone, Debug)]
struct Demand {
    tests: Vec<TestId>,
    holds: f32,
}

/// Tests that are looked up together.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct GroupKey {
    field: FieldRef,
    relation: Relation,
}

impl Index {
    /// The index of the rules with these roots, or `None` where there are too few to gain.
    pub(super) fn new(graph: &Graph, roots: &[NodeId], emitter: &mut Emitter<'_>) -> Option<Self> {
        if roots.len() < RULES_MIN {
            return None;
        }
        let mut finder = DemandFinder {
            graph,
            known: HashMap::default(),
        };
        let demands: Vec<_> = roots.iter().map(|root| finder.demand(*root)).collect();
        let mut sizes: HashMap<GroupKey, usize, foldhash::fast::FixedState> = HashMap::default();
        for test in demands.iter().flatten().flat_map(|demand| &demand.tests) {
            if let Some(key) = group_key(graph, *test) {
                *sizes.entry(key).or_insert(0) += 1;
            }
        }
        let mut always = vec![0_u64; roots.len().div_ceil(64)];
        let mut members: HashMap<GroupKey, HashMap<Vec<u8>, Vec<u32>>, foldhash::fast::FixedState> =
            HashMap::default();
        for (position, demand) in (0_u32..).zip(&demands) {
            let keys: Option<Vec<_>> = demand.as_ref().and_then(|demand| {
                let keyed = demand
                    .tests
                    .iter()
                    .map(|test| group_key(graph, *test).map(|key| (key, *test)));
                keyed.collect::<Option<Vec<_>>>().filter(|keys| {
                    keys.iter().all(|(key, _)| {
                        sizes
                            .get(key)
                            .is_some_and(|size| *size >= demands_min(key.relation))
                    })
                })
            });
            let Some(keys) = keys else {
                always[position as usize / 64] |= 1 << (position % 64);
                continue;
            };
            for (key, test) in keys {
                let group = members.entry(key).or_default();
                for constant in constants(graph, test) {
                    group.entry(constant).or_default().push(position);
                }
            }
        }
        if members.is_empty() {
            return None;
        }
        let groups = members
            .into_iter()
            .map(|(key, known)| Group::new(&key, known, emitter))
            .collect();
        Some(Self { always, groups })
    }

    /// Puts the rules that may match into the scratch's bit set.
    pub(super) fn find_candidates(&self, sources: &[Source], event: &impl Event, scratch: &mut Scratch) {
        let Scratch {
            values, candidates, ..
        } = scratch;
        candidates.clear();
        candidates.extend_from_slice(&self.always);
        for group in &self.groups {
            let value = values.get(sources, group.slot, event);
            for item in values.items(&value) {
                match values.scalar(*item) {
                    Some(Scalar::Text(bytes)) => group.lookup.find(bytes, candidates),
                    Some(Scalar::Number(number)) => group.lookup.find(&number.to_le_bytes(), candidates),
                    _ => {}
                }
            }
        }
    }
}

impl Group {
    fn new(key: &GroupKey, known: HashMap<Vec<u8>, Vec<u32>>, emitter: &mut Emitter<'_>) -> Self {
        let slot = emitter.slot(&Operand::Field(key.field.clone()));
        let boxed = |known: HashMap<Vec<u8>, Vec<u32>>| {
            known
                .into_iter()
                .map(|(text, rules)| (text.into_boxed_slice(), rules.into_boxed_slice()))
                .collect()
        };
        let lookup = match key.relation {
            Relation::StartsWith | Relation::EndsWith => {
                let mut lengths: Vec<_> = known.keys().map(Vec::len).collect();
                lengths.sort_unstable();
                lengths.dedup();
                Lookup::Affix {
                    at_end: key.relation == Relation::EndsWith,
                    lengths,
                    known: boxed(known),
                }
            }
            Relation::Contains => {
                let (texts, postings): (Vec<_>, Vec<_>) = known
                    .into_iter()
                    .map(|(text, rules)| (text, rules.into_boxed_slice()))
                    .unzip();
                match AhoCorasick::builder()
                    .match_kind(MatchKind::Standard)
                    .build(&texts)
                {
                    Ok(automaton) => Lookup::Contains { automaton, postings },
                    // Without the automaton, every rule of the group is a candidate always: all start with nothing.
                    Err(_) => Lookup::Affix {
                        at_end: false,
                        lengths: vec![0],
                        known: std::iter::once((Box::default(), postings.concat().into())).collect(),
                    },
                }
            }
            _ => Lookup::Equal(boxed(known)),
        };
        Self { slot, lookup }
    }
}

impl Lookup {
    fn find(&self, value: &[u8], candidates: &mut [u64]) {
        match self {
            Self::Equal(known) => add(known.get(value), candidates),
            Self::Affix {
                at_end,
                lengths,
                known,
            } => {
                for length in lengths.iter().take_while(|length| **length <= value.len()) {
                    let affix = if *at_end {
                        &value[value.len() - length..]
                    } else {
                        &value[..*length]
                    };
                    add(known.get(affix), candidates);
                }
            }
            Self::Contains { automaton, postings } => {
                for found in automaton.find_overlapping_iter(value) {
                    add(postings.get(found.pattern().as_usize()), candidates);
                }
            }
        }
    }
}

fn add(posting: Option<&Posting>, candidates: &mut [u64]) {
    for position in posting.into_iter().flatten() {
        candidates[*position as usize / 64] |= 1 << (position % 64);
    }
}

/// Finds what nodes demand; each node once.
struct DemandFinder<'a> {
    graph: &'a Graph,
    known: HashMap<NodeId, Option<Demand>, foldhash::fast::FixedState>,
}

impl DemandFinder<'_> {
    fn demand(&mut self, id: NodeId) -> Option<Demand> {
        if let Some(known) = self.known.get(&id) {
            return known.clone();
        }
        let demand = match self.graph.node(id) {
            Node::Const(_) | Node::Not(_) => None,
            Node::Test(test) => group_key(self.graph, *test).map(|key| Demand {
                tests: vec![*test],
                holds: selectivity(key.relation, constants(self.graph, *test).len()),
            }),
            Node::And(children) => children
                .iter()
                .filter_map(|child| self.demand(*child))
                .min_by(|a, b| a.holds.total_cmp(&b.holds)),
            Node::Or(children) => children
                .iter()
                .map(|child| self.demand(*child))
                .collect::<Option<Vec<_>>>()
                .map(|demands| Demand {
                    tests: demands
                        .iter()
                        .flat_map(|demand| demand.tests.iter().copied())
                        .collect(),
                    holds: demands.iter().map(|demand| demand.holds).sum(),
                }),
            Node::Exception(_, child) => self.demand(*child),
        };
        self.known.insert(id, demand.clone());
        demand
    }
}

/// How often a test is true, by guess: equality with few constants is the rarest.
#[expect(clippy::cast_precision_loss, reason = "a guess")]
fn selectivity(relation: Relation, constants: usize) -> f32 {
    let one = match relation {
        Relation::Eq => 0.002,
        Relation::StartsWith | Relation::EndsWith => 0.01,
        _ => 0.03,
    };
    one * constants as f32
}

/// Under which key a test can be looked up, if it can.
fn group_key(graph: &Graph, test: TestId) -> Option<GroupKey> {
    let test = graph.test(test);
    let Operand::Field(field) = &test.operand else {
        return None;
    };
    let Predicate::Constants(relation, Modifier::AnyOf, constants) = &test.predicate else {
        return None;
    };
    let is_looked_up = match constants {
        Constants::Text(_) => matches!(
            relation,
            Relation::Eq | Relation::StartsWith | Relation::EndsWith | Relation::Contains
        ),
        // Ports; a fraction would equal whole constants that its bytes do not.
        Constants::Number(_) => *relation == Relation::Eq && field.value_type() == FieldType::Port,
        Constants::Ip(_) | Constants::Net(_) => false,
    };
    // A list may be asked for every element, of which an empty list has none.
    let key = GroupKey {
        field: field.clone(),
        relation: *relation,
    };
    (is_looked_up && has_many_values(field) && test.scope != Scope::Every).then_some(key)
}

/// The constants of a test that can be looked up, as bytes: numbers by their representation.
fn constants(graph: &Graph, test: TestId) -> Vec<Vec<u8>> {
    match &graph.test(test).predicate {
        Predicate::Constants(_, _, Constants::Text(texts)) => texts.clone(),
        Predicate::Constants(_, _, Constants::Number(numbers)) => numbers
            .iter()
            .map(|number| number.to_le_bytes().to_vec())
            .collect(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::{MacroNodes, lower};
    use crate::compile::optimize::Optimizer;
    use crate::event::Value;
    use crate::field::{Catalogue, EventType, Field};
    use crate::parse::{ParseOptions, parse_condition};

    /// An event with a program's name and a file's.
    struct Opened(&'static str, &'static str);

    impl Event for Opened {
        fn event_type(&self) -> EventType {
            EventType::all()
                .next()
                .unwrap_or_else(|| panic!("there are types"))
        }

        fn value<'a>(&'a self, field: &FieldRef, _: &'a mut Vec<u8>) -> Option<Value<'a>> {
            match field.field {
                Field::ProcName => Some(Value::Text(self.0.as_bytes())),
                Field::FdName => Some(Value::Text(self.1.as_bytes())),
                _ => None,
            }
        }

        fn ancestor_count(&self) -> u32 {
            0
        }
    }

    /// How many of the rules are candidates for the event.
    fn candidates(conditions: &[String], event: &Opened) -> u32 {
        let (mut graph, mut macros) = (Graph::default(), MacroNodes::default());
        let mut roots = Vec::new();
        for condition in conditions {
            let expr =
                parse_condition(condition, &ParseOptions::RULE).unwrap_or_else(|error| panic!("{error}"));
            let lowered = lower(&expr, &Catalogue::new(), &mut graph, &mut macros);
            let root = lowered.unwrap_or_else(|errors| panic!("{errors:?}")).root;
            roots.push(Optimizer::new(&mut graph).node(root));
        }
        let mut emitter = Emitter::new(&graph, &roots);
        let index = Index::new(&graph, &roots, &mut emitter).unwrap_or_else(|| panic!("rules enough"));
        let program = emitter.finish();
        let mut scratch = Scratch::new();
        scratch.begin(&program.sources, program.memo_len);
        index.find_candidates(&program.sources, event, &mut scratch);
        scratch.candidates.iter().map(|word| word.count_ones()).sum()
    }

    #[test]
    fn few_of_a_thousand_rules_are_candidates() {
        let conditions: Vec<_> = (0..1000)
            .map(|n| match n % 4 {
                0 => format!("fd.num>0 and proc.name in (p{n}, q{n})"),
                1 => format!("not proc.name=p0 and fd.name startswith /d{n}/"),
                2 => format!("fd.name endswith .{n} or (proc.name=p{n} and fd.num=1)"),
                _ => format!("fd.name contains ~part{n}~ and fd.name exists"),
            })
            .collect();
        let cases = [
            (Opened("p8", "/d9/file~part11~.14"), 4),
            (Opened("q8", "/d1/file"), 2),
            (Opened("cat", "/usr/lib/libc.so"), 0),
        ];
        for (event, expected) in cases {
            assert_eq!(
                candidates(&conditions, &event),
                expected,
                "{} {}",
                event.0,
                event.1
            );
        }
    }

    #[test]
    fn what_most_events_have_is_not_demanded() {
        let conditions: Vec<_> = (0..100)
            .map(|n| format!("fd.typechar=f and user.name=root and fd.name startswith /d{n}/"))
            .collect();
        assert_eq!(candidates(&conditions, &Opened("cat", "/d9/file")), 1);
    }

    #[test]
    fn a_rule_without_a_demand_is_always_a_candidate() {
        let mut conditions: Vec<_> = (0..20).map(|n| format!("proc.name=p{n}")).collect();
        conditions.push("not proc.name=p1".to_owned());
        conditions.push("proc.name=p1 or fd.num=1".to_owned());
        assert_eq!(candidates(&conditions, &Opened("p1", "")), 3);
        assert_eq!(candidates(&conditions, &Opened("x", "")), 2);
    }
}
