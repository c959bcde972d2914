//! Decides what the event type decides.

use hashbrown::HashMap;

use crate::event_set::EventTypeSet;
use crate::field::EventType;
use crate::ir::{Graph, Node, NodeId, TestId};

/// The tests that the event type alone decides, with the types for which they hold.
#[derive(Debug)]
pub(crate) struct TypeTests {
    tests: Vec<(TestId, EventTypeSet)>,
    /// For each node of the graph whether such a test is part of it.
    mentioned: Vec<bool>,
}

impl TypeTests {
    pub(crate) fn new(graph: &Graph, roots: &[NodeId]) -> Self {
        let mut tests = Vec::new();
        let mut mentioned = Vec::new();
        for id in graph.reachable(roots.iter().copied()) {
            mentioned.resize(id.index() + 1, false);
            let mut mentions = false;
            graph.for_each_child(id, |child| mentions |= mentioned[child.index()]);
            if let Node::Test(test) = graph.node(id)
                && let Some(types) = graph.test(*test).decided_by_type()
            {
                tests.push((*test, types));
                mentions = true;
            }
            mentioned[id.index()] = mentions;
        }
        Self { tests, mentioned }
    }

    /// Event types grouped into classes of types that no test tells apart: for each type its class, and a type of each
    /// class.
    pub(crate) fn classes(&self) -> (Vec<u16>, Vec<EventType>) {
        let mut known: HashMap<Vec<bool>, u16, foldhash::fast::FixedState> = HashMap::default();
        let mut of_type = Vec::with_capacity(EventType::COUNT);
        let mut representatives = Vec::new();
        for event_type in EventType::all() {
            let outcome = self
                .tests
                .iter()
                .map(|(_, types)| types.contains(event_type))
                .collect();
            let class = *known.entry(outcome).or_insert_with(|| {
                representatives.push(event_type);
                u16::try_from(representatives.len() - 1).unwrap_or(u16::MAX)
            });
            of_type.push(class);
        }
        (of_type, representatives)
    }
}

/// Rewrites nodes for one event type.
pub(crate) struct Specializer<'a> {
    graph: &'a mut Graph,
    mentioned: &'a [bool],
    outcome: HashMap<TestId, bool, foldhash::fast::FixedState>,
    done: HashMap<NodeId, NodeId, foldhash::fast::FixedState>,
}

impl<'a> Specializer<'a> {
    pub(crate) fn new(graph: &'a mut Graph, tests: &'a TypeTests, event_type: EventType) -> Self {
        let outcome = tests
            .tests
            .iter()
            .map(|(test, types)| (*test, types.contains(event_type)))
            .collect();
        Self {
            graph,
            mentioned: &tests.mentioned,
            outcome,
            done: HashMap::default(),
        }
    }

    /// The node with every test of the event type replaced by its outcome.
    pub(crate) fn node(&mut self, id: NodeId) -> NodeId {
        if !self.mentioned[id.index()] {
            return id;
        }
        if let Some(done) = self.done.get(&id) {
            return *done;
        }
        let rewritten = match self.graph.node(id).clone() {
            Node::Const(_) => id,
            Node::Test(test) => match self.outcome.get(&test).copied() {
                Some(outcome) => self.graph.constant(outcome),
                None => id,
            },
            Node::Not(child) => {
                let child = self.node(child);
                self.graph.not(child)
            }
            Node::And(children) => {
                let children: Vec<_> = children.iter().map(|child| self.node(*child)).collect();
                self.graph.and(children)
            }
            Node::Or(children) => {
                let children: Vec<_> = children.iter().map(|child| self.node(*child)).collect();
                self.graph.or(children)
            }
            // The fields stay those of the whole exception: it must not hold where any of them is incomplete.
            Node::Exception(fields, child) => {
                let child = self.node(child);
                self.graph.exception_with(fields, child)
            }
        };
        self.done.insert(id, rewritten);
        rewritten
    }
}
