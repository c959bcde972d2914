//! Lays conditions out flat.

use hashbrown::HashMap;

use crate::eval::{Action, Leaf, LeafTest, NO_MEMO, Operands, Program, SlotId, Source, Step, StepId};
use crate::field::Field;
use crate::ir::{Graph, Node, NodeId, Operand, Predicate, Test, TestId};
use crate::matcher::Matcher;

/// Builds a [`Program`] from nodes of a graph.
pub(crate) struct Emitter<'a> {
    graph: &'a Graph,
    program: Program,
    /// How many parents each node has.
    uses: HashMap<NodeId, u32, foldhash::fast::FixedState>,
    steps: HashMap<NodeId, StepId, foldhash::fast::FixedState>,
    leaves: HashMap<TestId, u32, foldhash::fast::FixedState>,
    slots: HashMap<Source, SlotId, foldhash::fast::FixedState>,
}

/// The table of values that conditions or outputs read.
pub(crate) type Slots = HashMap<Source, SlotId, foldhash::fast::FixedState>;

impl<'a> Emitter<'a> {
    /// Prepares for `roots`, from which it learns which nodes are shared.
    pub(crate) fn new(graph: &'a Graph, roots: &[NodeId]) -> Self {
        let mut uses = HashMap::default();
        for root in roots {
            *uses.entry(*root).or_insert(0) += 1;
        }
        for id in graph.reachable(roots.iter().copied()) {
            graph.for_each_child(id, |child| *uses.entry(child).or_insert(0) += 1);
        }
        Self {
            graph,
            program: Program::default(),
            uses,
            steps: HashMap::default(),
            leaves: HashMap::default(),
            slots: HashMap::default(),
        }
    }

    pub(crate) fn finish(self) -> Program {
        self.program
    }

    /// The step of a node.
    pub(crate) fn step(&mut self, id: NodeId) -> StepId {
        if let Some(step) = self.steps.get(&id) {
            return *step;
        }
        let action = match self.graph.node(id) {
            Node::Const(value) => Action::Const(*value),
            Node::Test(test) => Action::Leaf(self.leaf(*test)),
            Node::Not(child) => Action::Not(self.step(*child)),
            Node::And(children) => Action::And(self.children(children)),
            Node::Or(children) => Action::Or(self.children(children)),
            Node::Exception(fields, child) => Action::Exception(fields.clone(), self.step(*child)),
        };
        let memo = if self.is_worth_keeping(id) {
            self.program.memo_len += 1;
            position(self.program.memo_len - 1)
        } else {
            NO_MEMO
        };
        let step = position(self.program.steps.len());
        self.program.steps.push(Step { action, memo });
        self.steps.insert(id, step);
        step
    }

    /// Results that several parts need are kept, unless reading them costs as much as the test: a constant, a `not`,
    /// whose child is kept, or a comparison of numbers.
    fn is_worth_keeping(&self, id: NodeId) -> bool {
        let is_cheap = match self.graph.node(id) {
            Node::Const(_) | Node::Not(_) => true,
            Node::Test(test) => {
                let test = self.graph.test(*test);
                matches!(test.operand, Operand::Field(_))
                    && match &test.predicate {
                        Predicate::Exists => true,
                        Predicate::Constants(_, _, constants) => constants.is_one_number(),
                        Predicate::Operand(..) | Predicate::Member(_) => false,
                    }
            }
            Node::And(_) | Node::Or(_) | Node::Exception(..) => false,
        };
        !is_cheap && self.uses.get(&id).is_some_and(|uses| *uses > 1)
    }

    fn children(&mut self, children: &[NodeId]) -> std::ops::Range<u32> {
        let steps: Vec<_> = children.iter().map(|child| self.step(*child)).collect();
        let start = position(self.program.children.len());
        self.program.children.extend(steps);
        start..position(self.program.children.len())
    }

    fn leaf(&mut self, id: TestId) -> u32 {
        if let Some(leaf) = self.leaves.get(&id) {
            return *leaf;
        }
        let Test {
            operand,
            scope,
            predicate,
        } = self.graph.test(id);
        let operands = self.operands(operand);
        let test = match predicate {
            Predicate::Exists => LeafTest::Exists,
            Predicate::Constants(..) => {
                LeafTest::Constants(Matcher::for_constants(predicate).unwrap_or(Matcher::NOTHING))
            }
            Predicate::Operand(relation, other) => LeafTest::Operand(*relation, self.slot(other)),
            Predicate::Member(other) => LeafTest::Member(self.slot(other)),
        };
        let leaf = position(self.program.leaves.len());
        self.program.leaves.push(Leaf {
            operands,
            scope: *scope,
            test,
        });
        self.leaves.insert(id, leaf);
        leaf
    }

    fn operands(&mut self, operand: &Operand) -> Operands {
        match operand {
            Operand::Either(first, second) => {
                let first = self.slot(&Operand::Field(first.clone()));
                let second = self.slot(&Operand::Field(second.clone()));
                Operands::Either(first, second)
            }
            single => Operands::One(self.slot(single)),
        }
    }

    /// The slot of an operand's value.
    pub(crate) fn slot(&mut self, operand: &Operand) -> SlotId {
        add_source(operand, &mut self.program.sources, &mut self.slots)
    }
}

/// Adds an operand to a table of values.
pub(crate) fn add_source(operand: &Operand, sources: &mut Vec<Source>, slots: &mut Slots) -> SlotId {
    let source = match operand {
        Operand::Field(field) | Operand::Either(field, _) if field.field == Field::EvtType => {
            Source::EventType
        }
        Operand::Field(field) if field.field == Field::EvtDir => Source::Text(b"<"[..].into()),
        Operand::Field(field) | Operand::Either(field, _) => Source::Field(field.clone()),
        Operand::Ancestors(field) => Source::Ancestors(*field),
        Operand::Text(text) => Source::Text(text.clone().into()),
        Operand::Number(number) => Source::Number(*number),
        Operand::List(items) => Source::List(
            items
                .iter()
                .map(|item| add_source(item, sources, slots))
                .collect(),
        ),
        Operand::Call(transformer, args, index) => Source::Call(
            *transformer,
            args.iter().map(|arg| add_source(arg, sources, slots)).collect(),
            index.as_ref().map(|index| index.as_bytes().into()),
        ),
    };
    *slots.entry(source).or_insert_with_key(|source| {
        sources.push(source.clone());
        position(sources.len() - 1)
    })
}

/// Positions fit because the graph's do.
fn position(index: usize) -> u32 {
    u32::try_from(index).unwrap_or(u32::MAX)
}
