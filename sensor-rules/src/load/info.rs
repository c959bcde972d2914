//! What a load gives back.

use std::sync::Arc;

use super::Loader;
use super::collect::{Collector, PluginRequirement};
use super::compile::Compiled;
use super::engine::engine_rule;
use super::exception::field_words;
use super::item::RuleItem;
use super::options::LoadOptions;
use super::result::FileResult;
use super::source::{Sources, Span};
use super::version::Version;
use crate::ast::Expr;
use crate::engine::{RuleId, RuleSet, RuleSetBuilder};
use crate::field::{Catalogue, EventTypeSet};
use crate::format::ExtraField;
use crate::priority::Priority;

/// The result of a load.
pub struct Loaded {
    /// The enabled rules, ready to match. None when any file has an error.
    pub rule_set: Option<RuleSet>,
    /// What came of each file, in order.
    pub results: Vec<FileResult>,
    /// Every rule in the order of definition, disabled and skipped ones too.
    pub rules: Vec<RuleInfo>,
    /// Every macro in the order of definition.
    pub macros: Vec<MacroInfo>,
    /// Every list in the order of definition.
    pub lists: Vec<ListInfo>,
    /// The files, for showing places in them.
    pub sources: Sources,
    /// The newest engine version that a file requires.
    pub required_engine: Option<Version>,
    /// Plugin requirements that no plugin meets, as `k8saudit 0.7.0 or other 1.0.0`. Falco refuses to start then.
    pub unmet_plugins: Vec<String>,
    pub(crate) catalogue: Catalogue,
    pub(crate) collector: Collector,
    pub(crate) compiled: Option<Compiled>,
}

impl Loaded {
    /// Whether every file loaded.
    #[must_use]
    pub fn is_ok(&self) -> bool {
        self.results.iter().all(FileResult::is_ok)
    }

    /// A rule by its name.
    #[must_use]
    pub fn rule(&self, name: &str) -> Option<&RuleInfo> {
        self.rules.iter().find(|rule| rule.name == name)
    }
}

/// A rule as it is after all files.
#[derive(Clone, Debug)]
pub struct RuleInfo {
    /// Its name.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// Its condition as written, with everything appended to it, without exceptions.
    pub condition: String,
    /// Its output as written, with everything appended to it by rule files.
    pub output: String,
    /// How severe it is.
    pub priority: Priority,
    /// Where its events come from.
    pub source: String,
    /// Its tags, sorted.
    pub tags: Vec<String>,
    /// Its exceptions.
    pub exceptions: Vec<ExceptionInfo>,
    /// Whether it is enabled, after the selection.
    pub enabled: bool,
    /// Whether a capture is to be taken when it matches.
    pub capture: bool,
    /// How long such a capture is, in milliseconds; 0 leaves that to the configuration.
    pub capture_duration_ms: u32,
    /// What the kernel is to do about an event that it matches: `deny`, or nothing when empty. Whoever uses the
    /// rules checks it; Falco does not know the key.
    pub action: String,
    /// Its condition with lists, macros and exceptions in it. None where it was skipped or has an error.
    pub compiled_condition: Option<Arc<Expr>>,
    /// Its output format with `append_output`. None where it was skipped or has an error.
    pub compiled_output: Option<String>,
    /// Fields that `append_output` adds.
    pub extra_fields: Vec<ExtraField>,
    /// The events for which it can match. None where it was skipped or has an error.
    pub event_types: Option<EventTypeSet>,
    /// Its number in [`Loaded::rule_set`]. None where it is not in it.
    pub id: Option<RuleId>,
    /// Where it was defined last.
    pub span: Option<Span>,
}

/// An exception of a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExceptionInfo {
    /// Its name.
    pub name: String,
    /// The fields that it compares.
    pub fields: Vec<String>,
    /// How many values it has.
    pub value_count: usize,
    /// Whether it applies to values that are incomplete.
    pub allows_incomplete: bool,
}

/// A macro as it is after all files.
#[derive(Clone, Debug)]
pub struct MacroInfo {
    /// Its name.
    pub name: String,
    /// Its condition as written, with everything appended to it.
    pub condition: String,
    /// Whether a rule or macro uses it.
    pub used: bool,
    /// Where it was defined last.
    pub span: Option<Span>,
}

/// A list as it is after all files.
#[derive(Clone, Debug)]
pub struct ListInfo {
    /// Its name.
    pub name: String,
    /// Its items as written, with everything appended to it.
    pub items: Vec<String>,
    /// Whether a condition or list uses it.
    pub used: bool,
    /// Where it was defined last.
    pub span: Option<Span>,
}

pub(super) fn finish(ended: Loader) -> Loaded {
    let Loader {
        options,
        sources,
        collector,
        compiled,
        results,
        ..
    } = ended;
    let rules = collector
        .rules
        .iter()
        .map(|rule| rule_info(rule, &options))
        .collect();
    let macros = collector
        .macros
        .iter()
        .enumerate()
        .map(|(position, item)| MacroInfo {
            name: item.name.to_string(),
            condition: item.condition.as_str().to_owned(),
            used: compiled
                .as_ref()
                .is_some_and(|compiled| compiled.macros.is_used(position)),
            span: item.context.span(),
        });
    let lists = collector
        .lists
        .iter()
        .enumerate()
        .map(|(position, list)| ListInfo {
            name: list.name.to_string(),
            items: list.items.iter().map(|item| item.text.to_string()).collect(),
            used: compiled
                .as_ref()
                .is_some_and(|compiled| compiled.lists.is_used(position)),
            span: list.context.span(),
        });
    let unmet = collector
        .plugins
        .iter()
        .filter(|alternatives| !is_met(alternatives, &options));
    let mut loaded = Loaded {
        rule_set: None,
        results,
        rules,
        macros: macros.collect(),
        lists: lists.collect(),
        sources,
        required_engine: collector.required_engine,
        unmet_plugins: unmet.map(|alternatives| describe(alternatives)).collect(),
        catalogue: options.catalogue.clone(),
        collector,
        compiled: None,
    };
    if let Some(compiled) = compiled {
        build(&mut loaded, &compiled, &options);
        loaded.compiled = Some(compiled);
    }
    loaded
}

fn rule_info(rule: &RuleItem, options: &LoadOptions) -> RuleInfo {
    let selected = options
        .selection
        .iter()
        .rev()
        .find(|one| one.target.selects(&rule.name, &rule.tags));
    let exceptions = rule.exceptions.iter().map(|exception| ExceptionInfo {
        name: exception.name.clone(),
        fields: field_words(exception)
            .into_iter()
            .map(|word| word.text.to_string())
            .collect(),
        value_count: exception.values.len(),
        allows_incomplete: exception.allows_incomplete.unwrap_or(false),
    });
    RuleInfo {
        name: rule.name.to_string(),
        description: rule.description.clone(),
        condition: rule.condition.as_str().to_owned(),
        output: rule.output.as_str().to_owned(),
        priority: rule.priority,
        source: rule.source.clone(),
        tags: rule.tags.iter().cloned().collect(),
        exceptions: exceptions.collect(),
        enabled: selected.map_or(rule.enabled, |selection| selection.enable),
        capture: rule.capture,
        capture_duration_ms: rule.capture_duration_ms,
        action: rule.action.clone(),
        compiled_condition: None,
        compiled_output: None,
        extra_fields: Vec::new(),
        event_types: None,
        id: None,
        span: rule.context.span(),
    }
}

/// Hands the compiled rules to the engine and notes in their infos what became of them.
fn build(loaded: &mut Loaded, compiled: &Compiled, options: &LoadOptions) {
    let mut builder = RuleSetBuilder::new(options.catalogue.clone(), options.rule_matching);
    let usable = loaded.is_ok();
    for rule in &compiled.rules {
        let info = &mut loaded.rules[rule.position];
        info.compiled_condition = Some(Arc::clone(&rule.condition));
        info.compiled_output = Some(rule.output.text.clone());
        info.extra_fields.clone_from(&rule.output.extra_fields);
        info.event_types = Some(rule.event_types);
        if !usable || !info.enabled || info.priority > options.min_priority {
            continue;
        }
        let Some(item) = loaded.collector.rules.at(rule.position) else {
            continue;
        };
        // The same condition was added without an error when it was compiled.
        let condition = (*rule.condition).clone();
        info.id = builder.add(engine_rule(item, condition, &rule.output)).ok();
    }
    loaded.rule_set = loaded.is_ok().then(|| builder.build());
}

fn is_met(alternatives: &[PluginRequirement], options: &LoadOptions) -> bool {
    alternatives.iter().any(|required| {
        let plugin = options.plugins.iter().find(|plugin| plugin.name == required.name);
        plugin
            .zip(required.version)
            .is_some_and(|(plugin, version)| plugin.version.satisfies(version))
    })
}

fn describe(alternatives: &[PluginRequirement]) -> String {
    let names = alternatives
        .iter()
        .map(|required| format!("{} {}", required.name, required.text));
    names.collect::<Vec<_>>().join(" or ")
}
