//! The typed form of conditions: a graph in which equal parts are one node.
//!
//! [`crate::check`] builds it, everything behind reads it. Because equal parts are found when they are built, a macro
//! that a hundred rules use is one node, and conditions that double at each macro stay small.
//!
//! Invariant: a node's children have smaller ids than the node, so that a walk by id sees children first.

mod event_types;

use std::net::IpAddr;

use hashbrown::{HashMap, HashSet};
use ipnet::IpNet;
use smol_str::SmolStr;

use crate::ast::Modifier;
use crate::field::{Field, FieldRef, FieldType};
use crate::transform::Transformer;

/// Position of a node in its [`Graph`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct NodeId(u32);

/// Position of a test in its [`Graph`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct TestId(u32);

impl NodeId {
    pub(crate) const fn index(self) -> usize {
        self.0 as usize
    }
}

impl TestId {
    pub(crate) const fn index(self) -> usize {
        self.0 as usize
    }
}

/// A part of a condition.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Node {
    Const(bool),
    Test(TestId),
    Not(NodeId),
    And(Box<[NodeId]>),
    Or(Box<[NodeId]>),
    /// Holds where the child does, unless one of the fields is incomplete in the event.
    Exception(Box<[FieldRef]>, NodeId),
}

/// One test of one operand.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Test {
    pub(crate) operand: Operand,
    pub(crate) scope: Scope,
    pub(crate) predicate: Predicate,
}

/// How a test treats several values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Scope {
    /// One value. Where there are two (both ends of a socket), any may match; `!=` needs all to differ.
    Single,
    /// Some value satisfies the predicate (ancestors, `intersects`).
    Some,
    /// Every value satisfies it (`in` on lists).
    Every,
}

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Operand {
    Field(FieldRef),
    /// Both ends of a socket.
    Either(FieldRef, FieldRef),
    /// The field of each ancestor, the parent's first.
    Ancestors(Field),
    Text(Vec<u8>),
    Number(i64),
    List(Vec<Self>),
    Call(Transformer, Vec<Self>, Option<SmolStr>),
}

impl Operand {
    /// Calls `visit` with every field that the operand reads.
    pub(crate) fn for_each_field(&self, visit: &mut impl FnMut(FieldRef)) {
        match self {
            Self::Field(field) => visit(field.clone()),
            Self::Either(first, second) => {
                visit(first.clone());
                visit(second.clone());
            }
            Self::Ancestors(field) => visit(FieldRef::plain(*field)),
            Self::Text(_) | Self::Number(_) => {}
            Self::List(items) | Self::Call(_, items, _) => {
                for item in items {
                    item.for_each_field(visit);
                }
            }
        }
    }
}

/// How a value relates to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Relation {
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
    Contains,
    IContains,
    StartsWith,
    EndsWith,
    Glob,
    IGlob,
    Regex,
    /// Below a path, by whole components.
    Below,
}

/// What a test asks of its values.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Predicate {
    Exists,
    /// Related so to as many of the constants as the modifier says.
    Constants(Relation, Modifier, Constants),
    /// Related so to another operand.
    Operand(Relation, Operand),
    /// Element of, or sharing elements with, a list operand.
    Member(Operand),
}

/// Constants of one type.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Constants {
    Text(Vec<Vec<u8>>),
    Number(Vec<i128>),
    Ip(Vec<IpAddr>),
    Net(Vec<IpNet>),
}

impl Constants {
    /// Whether there is but one.
    pub(crate) fn is_single(&self) -> bool {
        1 == match self {
            Self::Text(texts) => texts.len(),
            Self::Number(numbers) => numbers.len(),
            Self::Ip(ips) => ips.len(),
            Self::Net(nets) => nets.len(),
        }
    }

    /// Whether there is but one number, which is compared in no time.
    pub(crate) fn is_one_number(&self) -> bool {
        matches!(self, Self::Number(numbers) if numbers.len() == 1)
    }
}

/// The type of an operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Kind {
    pub(crate) value_type: FieldType,
    pub(crate) is_list: bool,
}

/// Nodes and tests, each once.
#[derive(Clone, Debug, Default)]
pub(crate) struct Graph {
    nodes: Vec<Node>,
    node_ids: HashMap<Node, NodeId, foldhash::fast::FixedState>,
    tests: Vec<Test>,
    test_ids: HashMap<Test, TestId, foldhash::fast::FixedState>,
}

impl Graph {
    pub(crate) fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.index()]
    }

    pub(crate) fn test(&self, id: TestId) -> &Test {
        &self.tests[id.index()]
    }

    fn add(&mut self, node: Node) -> NodeId {
        if let Some(id) = self.node_ids.get(&node) {
            return *id;
        }
        let id = NodeId(position(self.nodes.len()));
        self.nodes.push(node.clone());
        self.node_ids.insert(node, id);
        id
    }

    pub(crate) fn constant(&mut self, value: bool) -> NodeId {
        self.add(Node::Const(value))
    }

    pub(crate) fn add_test(&mut self, test: Test) -> NodeId {
        let known = self.test_ids.get(&test).copied();
        let id = known.unwrap_or_else(|| {
            let id = TestId(position(self.tests.len()));
            self.tests.push(test.clone());
            self.test_ids.insert(test, id);
            id
        });
        self.add(Node::Test(id))
    }

    pub(crate) fn not(&mut self, child: NodeId) -> NodeId {
        match self.node(child) {
            Node::Const(value) => {
                let negated = !*value;
                self.constant(negated)
            }
            Node::Not(inner) => *inner,
            _ => self.add(Node::Not(child)),
        }
    }

    /// All of `children`. Constants and repetitions go; the order stays.
    pub(crate) fn and(&mut self, children: impl IntoIterator<Item = NodeId>) -> NodeId {
        self.join(children, true, Node::And)
    }

    /// Any of `children`. Constants and repetitions go; the order stays.
    pub(crate) fn or(&mut self, children: impl IntoIterator<Item = NodeId>) -> NodeId {
        self.join(children, false, Node::Or)
    }

    fn join(
        &mut self,
        children: impl IntoIterator<Item = NodeId>,
        neutral: bool,
        make: fn(Box<[NodeId]>) -> Node,
    ) -> NodeId {
        let mut kept = Vec::new();
        let mut seen = HashSet::<NodeId, foldhash::fast::FixedState>::default();
        for child in children {
            match self.node(child) {
                Node::Const(value) if *value == neutral => {}
                Node::Const(_) => return child,
                _ if seen.insert(child) => kept.push(child),
                _ => {}
            }
        }
        match kept[..] {
            [] => self.constant(neutral),
            [only] => only,
            _ => self.add(make(kept.into_boxed_slice())),
        }
    }

    pub(crate) fn exception(&mut self, child: NodeId) -> NodeId {
        let fields = self.fields(child).into_boxed_slice();
        self.exception_with(fields, child)
    }

    /// An exception that has been rewritten, with the fields that it had.
    pub(crate) fn exception_with(&mut self, fields: Box<[FieldRef]>, child: NodeId) -> NodeId {
        match self.node(child) {
            Node::Const(false) => child,
            _ => self.add(Node::Exception(fields, child)),
        }
    }

    /// The nodes that the roots are made of, themselves included; each once, children first.
    ///
    /// It takes time for what it finds, not for what else the graph holds: it is asked of every rule.
    pub(crate) fn reachable(&self, roots: impl IntoIterator<Item = NodeId>) -> Vec<NodeId> {
        let mut seen = HashSet::<NodeId, foldhash::fast::FixedState>::default();
        let mut open: Vec<_> = roots.into_iter().collect();
        while let Some(id) = open.pop() {
            if seen.insert(id) {
                self.for_each_child(id, |child| open.push(child));
            }
        }
        let mut ids: Vec<_> = seen.into_iter().collect();
        ids.sort_unstable();
        ids
    }

    pub(crate) fn for_each_child(&self, id: NodeId, mut visit: impl FnMut(NodeId)) {
        match self.node(id) {
            Node::Const(_) | Node::Test(_) => {}
            Node::Not(child) | Node::Exception(_, child) => visit(*child),
            Node::And(children) | Node::Or(children) => children.iter().copied().for_each(visit),
        }
    }

    /// The fields that `root` reads, each once, in the order in which they are first read.
    pub(crate) fn fields(&self, root: NodeId) -> Vec<FieldRef> {
        let mut fields = Vec::new();
        let mut seen = HashSet::<FieldRef, foldhash::fast::FixedState>::default();
        let mut visit = |field: FieldRef| {
            if seen.insert(field.clone()) {
                fields.push(field);
            }
        };
        for id in self.reachable([root]) {
            let Node::Test(test) = self.node(id) else { continue };
            let test = self.test(*test);
            test.operand.for_each_field(&mut visit);
            match &test.predicate {
                Predicate::Operand(_, other) | Predicate::Member(other) => other.for_each_field(&mut visit),
                Predicate::Exists | Predicate::Constants(..) => {}
            }
        }
        fields
    }
}

/// Positions fit because a rule file's bytes do, and every node takes at least one.
fn position(index: usize) -> u32 {
    u32::try_from(index).unwrap_or(u32::MAX)
}
