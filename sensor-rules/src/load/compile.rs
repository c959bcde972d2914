//! Compiles what is collected: lists, macros, then rules, in Falco's order.
//!
//! Falco stops at the first error. Here an item with an error is set aside and its users are not blamed for
//! it, so that every error reported is one to mend.

use std::sync::Arc;

use super::collect::{Collector, Kind};
use super::context::Context;
use super::exception;
use super::expand::{Lists, TooLong};
use super::help::{error_help, undefined_help};
use super::item::RuleItem;
use super::limits::{
    CONDITION_BYTES_MAX, CONDITION_NODES_MAX, EXPANDED_BYTES_MAX, EXPANDED_ITEMS_MAX, EXPANDED_NODES_MAX,
    TREE_DEPTH_MAX,
};
use super::macros::{Macros, Parsed, Reason, Unresolved};
use super::options::LoadOptions;
use super::result::{ErrorCode, FileResult, LoadError, LoadWarning, WarningCode};
use super::source::Text;
use crate::ast::{self, Expr};
use crate::check::{MacroNodes, lower};
use crate::error::{ConditionError, ConditionWarning, WarningKind};
use crate::field::EventTypeSet;
use crate::ir::Graph;
use crate::limits::EVENT_CODES_MAX;
use crate::parse::{ParseOptions, parse_condition};

mod output;

pub(crate) use output::CompiledOutput;

/// A rule that can be used.
pub(crate) struct CompiledRule {
    /// Position of the rule in the collector.
    pub(crate) position: usize,
    /// The condition with exceptions and lists written out; spans of the tree lie in it.
    pub(crate) text: Text,
    pub(crate) condition: Arc<Expr>,
    pub(crate) event_types: EventTypeSet,
    pub(crate) output: CompiledOutput,
}

/// Everything that compiled.
pub(crate) struct Compiled {
    pub(crate) lists: Lists,
    pub(crate) macros: Macros,
    pub(crate) rules: Vec<CompiledRule>,
}

/// An error that is reported; what could be compiled beside it still counts.
struct Reported;

struct Compiler<'a> {
    collector: &'a Collector,
    options: &'a LoadOptions,
    result: &'a mut FileResult,
    /// What conditions become when they are checked; all rules share it, so that a macro is checked once.
    graph: Graph,
    macro_nodes: MacroNodes,
    expanded_bytes: usize,
    expanded_items: usize,
    expanded_nodes: usize,
}

/// Compiles everything collected so far; what is wrong goes into the result of the file that was read last.
/// None where the lists alone are too large.
pub(crate) fn compile(
    collector: &Collector,
    options: &LoadOptions,
    result: &mut FileResult,
) -> Option<Compiled> {
    let lists = Lists::new(collector).map_err(|error| result.error(error)).ok()?;
    let mut compiler = Compiler {
        collector,
        options,
        result,
        graph: Graph::default(),
        macro_nodes: MacroNodes::default(),
        expanded_bytes: 0,
        expanded_items: 0,
        expanded_nodes: 0,
    };
    let mut macros = compiler.macros(&lists);
    let rules = collector
        .rules
        .iter()
        .enumerate()
        .filter(|(_, rule)| !rule.unknown_source);
    let rules =
        rules.filter_map(|(position, rule)| compiler.rule(position, rule, &lists, &mut macros).ok()?);
    let rules = rules.collect();
    let whole = Compiled { lists, macros, rules };
    // Falco looks for what is unused only after everything compiled.
    if compiler.result.is_ok() {
        compiler.unused(&whole);
    }
    Some(whole)
}

impl Compiler<'_> {
    fn macros(&mut self, lists: &Lists) -> Macros {
        let collector = self.collector;
        let parsed = collector.macros.iter().map(|item| {
            let Ok(text) = self.expand(&item.condition, lists, &item.condition_context) else {
                return Parsed {
                    text: item.condition.clone(),
                    expr: None,
                };
            };
            let expr = self.parse(&text, &item.condition_context);
            Parsed {
                expr: expr.ok(),
                text,
            }
        });
        let mut macros = Macros::new(parsed.collect());
        for (position, item) in collector.macros.iter().enumerate() {
            if let Err(unresolved) = macros.resolve_macro(collector, position) {
                let text = macros.text(position).unwrap_or(&item.condition);
                self.unresolved(&unresolved, text, &macros, &item.context);
            }
        }
        macros
    }

    /// Compiles a rule. Nothing, without an error, for a rule that is skipped.
    fn rule(
        &mut self,
        position: usize,
        rule: &RuleItem,
        lists: &Lists,
        macros: &mut Macros,
    ) -> Result<Option<CompiledRule>, Reported> {
        let written = exception::write(rule).map_err(|error| self.report(error))?;
        let output = self.output(rule);
        if let Ok(None) = output {
            return Ok(None);
        }
        let text = self.expand(&written.text, lists, &rule.condition_context)?;
        let mut condition = self.parse(&text, &rule.condition_context)?;
        exception::mark(&mut condition, &written.written);
        let size = match macros.resolve_rule(self.collector, &mut condition) {
            Ok(size) => size,
            Err(unresolved) => {
                self.unresolved(&unresolved, &text, macros, &rule.context);
                return Err(Reported);
            }
        };
        self.expanded_nodes = self.expanded_nodes.saturating_add(size.nodes);
        if self.expanded_nodes > EXPANDED_NODES_MAX {
            let message = format!("the rules have more than {EXPANDED_NODES_MAX} conditions, macros put in");
            return Err(self.report(LoadError::new(ErrorCode::Validate, message, &rule.context)));
        }
        let catalogue = &self.options.catalogue;
        let lowered = match lower(&condition, catalogue, &mut self.graph, &mut self.macro_nodes) {
            Ok(lowered) => lowered,
            Err(errors) => return self.check_failed(&errors, rule, &text, macros),
        };
        let event_types = self.graph.event_types(lowered.root);
        for warning in &lowered.warnings {
            self.condition_warning(warning, rule, &text, macros);
        }
        if rule.source == "syscall" && rule.warn_evttypes && is_too_wide(&event_types) {
            let message =
                "Rule matches too many evt.type values. This has a significant performance penalty.";
            self.result
                .warn(LoadWarning::new(WarningCode::NoEvttype, message, &rule.context));
        }
        let Some(output) = output? else {
            return Ok(None);
        };
        Ok(Some(CompiledRule {
            position,
            text,
            condition: Arc::new(condition),
            event_types,
            output,
        }))
    }

    fn report(&mut self, error: LoadError) -> Reported {
        self.result.error(error);
        Reported
    }

    fn expand(&mut self, condition: &Text, lists: &Lists, context: &Context) -> Result<Text, Reported> {
        let (text, items) = lists.expand(condition).map_err(|TooLong| {
            let message = format!("condition is longer than {CONDITION_BYTES_MAX} bytes, lists written out");
            self.report(LoadError::new(ErrorCode::CompileCondition, message, context))
        })?;
        self.expanded_bytes = self.expanded_bytes.saturating_add(text.as_str().len());
        self.expanded_items = self.expanded_items.saturating_add(items);
        if self.expanded_bytes > EXPANDED_BYTES_MAX || self.expanded_items > EXPANDED_ITEMS_MAX {
            let message = format!(
                "conditions have more than {EXPANDED_BYTES_MAX} bytes or {EXPANDED_ITEMS_MAX} items of lists together"
            );
            let help = "test a long list in a macro, which is written out once for all rules that use it";
            let error = LoadError::new(ErrorCode::CompileCondition, message, context);
            return Err(self.report(error.with_help(Some(help.to_owned()))));
        }
        Ok(text)
    }

    fn parse(&mut self, text: &Text, context: &Context) -> Result<Expr, Reported> {
        parse_condition(text.as_str(), &ParseOptions::RULE).map_err(|error| {
            let help = error_help(&error, text, self.collector, &self.options.catalogue);
            let issue = LoadError::new(
                ErrorCode::CompileCondition,
                falcos_words(&error),
                &in_text(text, error.span, context),
            );
            self.report(issue.with_help(help))
        })
    }

    fn unresolved(&mut self, unresolved: &[Unresolved], text: &Text, macros: &Macros, context: &Context) {
        for one in unresolved {
            let text = one
                .in_macro
                .and_then(|position| macros.text(position))
                .unwrap_or(text);
            let name = &one.name;
            let (message, help) = match one.reason {
                Reason::Failed => continue,
                Reason::Loop => (format!("reference loop in macro '{name}'"), None),
                Reason::Undefined => {
                    let message = format!("Undefined macro '{name}' used in filter.");
                    (message, Some(undefined_help(name, self.collector)))
                }
                Reason::TooLarge => {
                    let message = format!(
                        "condition has more than {CONDITION_NODES_MAX} parts or {TREE_DEPTH_MAX} levels, macros put in"
                    );
                    (message, Some("split the rule or its macros".to_owned()))
                }
            };
            let issue = LoadError::new(ErrorCode::Validate, message, &in_text(text, one.span, context));
            self.result.error(issue.with_help(help));
        }
    }

    fn check_failed(
        &mut self,
        errors: &[ConditionError],
        rule: &RuleItem,
        text: &Text,
        macros: &Macros,
    ) -> Result<Option<CompiledRule>, Reported> {
        let place = |name: Option<&str>| self.text_of(name, macros).unwrap_or(text);
        if let Some(first) = errors
            .first()
            .filter(|first| rule.skip_if_unknown_filter && first.is_unknown_filter())
        {
            let text = place(first.in_macro.as_deref());
            let context = in_text(text, first.span, &rule.condition_context);
            let help = error_help(first, text, self.collector, &self.options.catalogue);
            let warning = LoadWarning::new(WarningCode::UnknownFilter, falcos_words(first), &context);
            self.result.warn(warning.with_help(help));
            return Ok(None);
        }
        for error in errors {
            let text = self.text_of(error.in_macro.as_deref(), macros).unwrap_or(text);
            let help = error_help(error, text, self.collector, &self.options.catalogue);
            let context = in_text(text, error.span, &rule.condition_context);
            let issue = LoadError::new(ErrorCode::CompileCondition, falcos_words(error), &context);
            self.result.error(issue.with_help(help));
        }
        Err(Reported)
    }

    fn text_of<'m>(&self, in_macro: Option<&str>, macros: &'m Macros) -> Option<&'m Text> {
        macros.text(self.collector.macros.position(in_macro?)?)
    }

    fn condition_warning(
        &mut self,
        warning: &ConditionWarning,
        rule: &RuleItem,
        text: &Text,
        macros: &Macros,
    ) {
        let text = self.text_of(warning.in_macro.as_deref(), macros).unwrap_or(text);
        let (code, message) = match &warning.kind {
            WarningKind::LooksLikeField | WarningKind::LooksLikeTransformer | WarningKind::SimpleRegex => {
                (WarningCode::CompileCondition, warning.message.clone())
            }
            WarningKind::UnsafeNaCheck => (WarningCode::UnsafeNaCheck, warning.message.clone()),
            WarningKind::DeprecatedField(field) => (
                WarningCode::DeprecatedItem,
                output::deprecated_in_condition(field),
            ),
        };
        let context = in_text(text, warning.span, &rule.condition_context);
        self.result.warn(LoadWarning::new(code, message, &context));
    }

    fn unused(&mut self, compiled: &Compiled) {
        for (position, item) in self.collector.macros.iter().enumerate() {
            if !compiled.macros.is_used(position) && !self.collector.has_failed(Kind::Macro, &item.name) {
                let message = "Macro not referred to by any other rule/macro";
                self.result
                    .warn(LoadWarning::new(WarningCode::UnusedMacro, message, &item.context));
            }
        }
        for (position, item) in self.collector.lists.iter().enumerate() {
            if !compiled.lists.is_used(position) {
                let message = "List not referred to by any other rule/macro";
                self.result
                    .warn(LoadWarning::new(WarningCode::UnusedList, message, &item.context));
            }
        }
    }
}

/// Whether a condition covers so many events that Falco warns.
pub(crate) fn is_too_wide(event_types: &EventTypeSet) -> bool {
    event_types.code_count() > EVENT_CODES_MAX
}

/// The message without the nearest name, which is given as help, so that tools find Falco's words.
fn falcos_words(error: &ConditionError) -> &str {
    error
        .message
        .split(", did you mean")
        .next()
        .unwrap_or(&error.message)
}

/// The place of a span of a condition's text.
fn in_text(text: &Text, span: ast::Span, context: &Context) -> Context {
    context.condition(text.as_str(), span.start, text.locate(span.start..span.end))
}
