//! Many rules, matched against one event at a time.
//!
//! When rules are built, each is specialised for each class of event types that its conditions tell apart; a rule that
//! cannot match a type does not exist for it. Where a type still has many rules, [`index`] finds the few that the
//! event's names and paths leave possible.

mod index;

use smol_str::SmolStr;

use crate::ast::Expr;
use crate::check::{self, MacroNodes};
use crate::compile::emit::Emitter;
use crate::compile::optimize::Optimizer;
use crate::compile::specialize::{Specializer, TypeTests};
use crate::error::ConditionError;
use crate::eval::{Program, StepId};
use crate::event::Event;
use crate::field::{Catalogue, EventTypeSet, FieldRef};
use crate::format::{ExtraField, Output};
use crate::ir::{Graph, Node, NodeId};
use crate::partial::{self, Demand};
use crate::priority::Priority;
use index::Index;

pub use crate::eval::Scratch;

/// Position of a rule in the order of definition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RuleId(pub u32);

/// A rule as the loader hands it over: macros resolved, exceptions marked.
#[derive(Clone, Debug)]
pub struct Rule {
    /// Its name.
    pub name: SmolStr,
    /// When it matches.
    pub condition: Expr,
    /// What it says.
    pub output: Output,
    /// Fields added to those of the output.
    pub extra_fields: Vec<ExtraField>,
    /// How severe it is.
    pub priority: Priority,
    /// Its tags, sorted.
    pub tags: Vec<SmolStr>,
    /// Where its events come from: `syscall`.
    pub source: SmolStr,
    /// What it is for.
    pub description: String,
}

impl Rule {
    /// Its output, and those of the fields that are added.
    fn outputs(&self) -> impl Iterator<Item = &Output> {
        let added = self.extra_fields.iter().map(|field| &field.output);
        std::iter::once(&self.output).chain(added)
    }
}

/// Whether one event may match several rules.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RuleMatching {
    /// Only the first rule in the order of definition.
    #[default]
    First,
    /// Every rule.
    All,
}

/// Looks on while rules are tested, as [`RuleSet::evaluate_observed`] tells.
pub trait Observer {
    /// An event comes to the rules that its type leaves possible.
    fn begin(&mut self) {}
    /// The rules that its names and paths leave possible are known; they are tested now.
    fn selected(&mut self) {}
    /// A rule has been tested.
    fn tested(&mut self, _rule: RuleId, _holds: bool) {}
}

/// Nobody looks on.
struct Nobody;

impl Observer for Nobody {}

/// Collects rules.
#[derive(Debug)]
pub struct RuleSetBuilder {
    catalogue: Catalogue,
    matching: RuleMatching,
    graph: Graph,
    macros: MacroNodes,
    rules: Vec<Rule>,
    roots: Vec<NodeId>,
    event_types: EventTypeSet,
    /// Event types by rule.
    types: Vec<EventTypeSet>,
}

impl RuleSetBuilder {
    /// A set without rules.
    #[must_use]
    pub fn new(catalogue: Catalogue, matching: RuleMatching) -> Self {
        Self {
            catalogue,
            matching,
            graph: Graph::default(),
            macros: MacroNodes::default(),
            rules: Vec::new(),
            roots: Vec::new(),
            event_types: EventTypeSet::EMPTY,
            types: Vec::new(),
        }
    }

    /// Adds a rule, after all that were added before.
    ///
    /// # Errors
    /// What is wrong with its condition; the rule is not added.
    pub fn add(&mut self, rule: Rule) -> Result<RuleId, Vec<ConditionError>> {
        let lowered = check::lower(
            &rule.condition,
            &self.catalogue,
            &mut self.graph,
            &mut self.macros,
        )?;
        let id = RuleId(u32::try_from(self.rules.len()).unwrap_or(u32::MAX));
        let types = self.graph.event_types(lowered.root);
        self.event_types = self.event_types.union(&types);
        self.types.push(types);
        self.rules.push(rule);
        self.roots.push(lowered.root);
        Ok(id)
    }

    /// Compiles the rules.
    #[must_use]
    pub fn build(mut self) -> RuleSet {
        let fields = self.fields();
        let tests = TypeTests::new(&self.graph, &self.roots);
        let (class_of_type, representatives) = tests.classes();
        let mut specialized = Vec::with_capacity(representatives.len());
        for event_type in representatives {
            let mut for_type = Specializer::new(&mut self.graph, &tests, event_type);
            specialized.push(
                self.roots
                    .iter()
                    .map(|root| for_type.node(*root))
                    .collect::<Vec<_>>(),
            );
        }
        let mut optimizer = Optimizer::new(&mut self.graph);
        specialized
            .iter_mut()
            .flatten()
            .for_each(|root| *root = optimizer.node(*root));
        let possible: Vec<Vec<(RuleId, NodeId)>> = specialized
            .into_iter()
            .map(|roots| possible(&self.graph, &roots))
            .collect();
        let roots: Vec<_> = possible.iter().flatten().map(|(_, root)| *root).collect();
        let mut emitter = Emitter::new(&self.graph, &roots);
        let classes = possible
            .into_iter()
            .map(|rules| Class::new(&self.graph, rules, &mut emitter))
            .collect();
        let demands = self
            .roots
            .iter()
            .map(|root| partial::demand(&self.graph, *root))
            .collect();
        RuleSet {
            demands,
            matching: self.matching,
            event_types: self.event_types,
            types: self.types,
            fields,
            class_of_type,
            classes,
            program: emitter.finish(),
            rules: self.rules,
        }
    }

    /// The fields of all conditions and outputs, each once.
    fn fields(&self) -> Vec<FieldRef> {
        let mut seen = hashbrown::HashSet::<FieldRef, foldhash::fast::FixedState>::default();
        let of_conditions = self.roots.iter().flat_map(|root| self.graph.fields(*root));
        let of_outputs = self
            .rules
            .iter()
            .flat_map(Rule::outputs)
            .flat_map(Output::source_fields);
        of_conditions
            .chain(of_outputs)
            .filter(|field| seen.insert(field.clone()))
            .collect()
    }
}

/// The rules that are not certainly false, in the order of definition.
fn possible(graph: &Graph, roots: &[NodeId]) -> Vec<(RuleId, NodeId)> {
    let ids = (0_u32..).map(RuleId);
    ids.zip(roots.iter().copied())
        .filter(|(_, root)| *graph.node(*root) != Node::Const(false))
        .collect()
}

/// The rules for event types that no rule tells apart.
#[derive(Debug)]
struct Class {
    rules: Vec<(RuleId, StepId)>,
    index: Option<Index>,
}

impl Class {
    fn new(graph: &Graph, rules: Vec<(RuleId, NodeId)>, emitter: &mut Emitter<'_>) -> Self {
        let roots: Vec<_> = rules.iter().map(|(_, root)| *root).collect();
        let rules = rules
            .into_iter()
            .map(|(id, root)| (id, emitter.step(root)))
            .collect();
        Self {
            rules,
            index: Index::new(graph, &roots, emitter),
        }
    }
}

/// Rules, compiled.
#[derive(Debug)]
pub struct RuleSet {
    demands: Vec<Demand>,
    matching: RuleMatching,
    event_types: EventTypeSet,
    /// Event types by rule.
    types: Vec<EventTypeSet>,
    fields: Vec<FieldRef>,
    class_of_type: Vec<u16>,
    classes: Vec<Class>,
    program: Program,
    rules: Vec<Rule>,
}

impl RuleSet {
    /// The rules in the order of definition; a [`RuleId`] is the position.
    #[must_use]
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// Each rule with the event types that it can match, in the order of definition.
    pub fn rules_and_types(&self) -> impl Iterator<Item = (&Rule, &EventTypeSet)> {
        self.rules.iter().zip(&self.types)
    }

    /// The rule of an id of this set.
    #[must_use]
    pub fn rule(&self, id: RuleId) -> Option<&Rule> {
        self.rules.get(id.0 as usize)
    }

    /// What each rule demands of an event, in the order of definition.
    #[must_use]
    pub fn demands(&self) -> &[Demand] {
        &self.demands
    }

    /// The event types that any rule can match.
    #[must_use]
    pub const fn event_types(&self) -> EventTypeSet {
        self.event_types
    }

    /// The fields that conditions or outputs read, each once.
    #[must_use]
    pub fn fields(&self) -> &[FieldRef] {
        &self.fields
    }

    /// Calls `on_match` for the rules that match the event, in the order of definition: for the first alone, or for
    /// all, as the set was built.
    pub fn evaluate(&self, event: &impl Event, scratch: &mut Scratch, on_match: impl FnMut(RuleId)) {
        self.evaluate_observed(event, scratch, on_match, &mut Nobody);
    }

    /// As [`evaluate`](Self::evaluate), with somebody who looks on.
    pub fn evaluate_observed<O: Observer>(
        &self,
        event: &impl Event,
        scratch: &mut Scratch,
        mut on_match: impl FnMut(RuleId),
        observer: &mut O,
    ) {
        let class = &self.classes[usize::from(self.class_of_type[event.event_type().index()])];
        if class.rules.is_empty() {
            return;
        }
        observer.begin();
        scratch.begin(&self.program.sources, self.program.memo_len);
        let mut test = |(id, step): (RuleId, StepId), scratch: &mut Scratch, observer: &mut O| {
            let holds = self.program.holds(step, event, scratch);
            observer.tested(id, holds);
            if holds {
                on_match(id);
            }
            holds && self.matching == RuleMatching::First
        };
        let Some(index) = &class.index else {
            for rule in &class.rules {
                if test(*rule, scratch, observer) {
                    return;
                }
            }
            return;
        };
        index.find_candidates(&self.program.sources, event, scratch);
        observer.selected();
        for word in 0..scratch.candidates.len() {
            let mut bits = scratch.candidates[word];
            while bits != 0 {
                let rule = class.rules[word * 64 + bits.trailing_zeros() as usize];
                bits &= bits - 1;
                if test(rule, scratch, observer) {
                    return;
                }
            }
        }
    }
}
