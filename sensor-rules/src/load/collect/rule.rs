//! Defines rules and changes those that are there.

use std::sync::Arc;

use super::{Collector, exception, join, wrong};
use crate::field::Catalogue;
use crate::load::context::Context;
use crate::load::item::{Exception, RuleItem, RuleUpdate};
use crate::load::result::{FileResult, LoadError, LoadWarning, WarningCode};
use crate::load::suggest::nearest;

const OTHER_SOURCE: &str = "Rule has been re-defined with a different source";
const NO_FIELDS: &str = "Rule exception must have fields property with a list of fields";

impl Collector {
    /// Defines a rule, unless its exceptions are wrong; that is then reported.
    pub(crate) fn define_rule(
        &mut self,
        mut rule: RuleItem,
        result: &mut FileResult,
    ) -> Result<(), LoadError> {
        let previous = self.rules.get(&rule.name);
        if previous.is_some_and(|previous| previous.source != rule.source) {
            return Err(wrong(OTHER_SOURCE, &rule.context));
        }
        rule.unknown_source = !self.knows_source(&rule.source);
        if rule.unknown_source {
            let message = format!("Unknown source {}, skipping", rule.source);
            let warning = LoadWarning::new(WarningCode::UnknownSource, message, &rule.context);
            result.warn(warning.with_help(self.source_help(&rule.source)));
        }
        let catalogue = (!rule.unknown_source).then_some(&self.catalogue);
        let errors_before = result.errors.len();
        for exception in &mut rule.exceptions {
            let missing = "Rule exception item must have fields property with a list of fields";
            if let Err(error) = complete(exception, missing, catalogue) {
                result.error(error);
            }
        }
        if result.errors.len() > errors_before {
            return Ok(());
        }
        let previous = self.rules.get(&rule.name).map(|previous| previous.order);
        rule.order = self.order(previous, &rule.context)?;
        let name = Arc::clone(&rule.name);
        match self.rules.get_mut(&name) {
            Some(previous) => *previous = rule,
            None => self.rules.push(&name, rule),
        }
        Ok(())
    }

    fn source_help(&self, source: &str) -> Option<String> {
        let known = self.known_sources.iter().map(String::as_str);
        let meant = nearest(source, known)?;
        Some(format!("did you mean `{meant}`?"))
    }

    /// The rule that an item changes, and the catalogue if its source is known.
    fn changed(
        &mut self,
        name: &str,
        missing: &str,
        source: Option<&str>,
        context: &Context,
    ) -> Result<(&mut RuleItem, Option<&Catalogue>), LoadError> {
        let rule = self.rules.get_mut(name).ok_or_else(|| wrong(missing, context))?;
        if source.is_some_and(|source| source != rule.source) {
            return Err(wrong(OTHER_SOURCE, context));
        }
        let catalogue = (!rule.unknown_source).then_some(&self.catalogue);
        Ok((rule, catalogue))
    }

    pub(crate) fn append_rule(
        &mut self,
        name: &str,
        update: RuleUpdate,
        context: &Context,
    ) -> Result<(), LoadError> {
        const MISSING: &str =
            "Rule uses 'append' or 'override.<key>: append' but no rule by that name already exists";
        let position = self.position();
        let (rule, catalogue) = self.changed(name, MISSING, update.source.as_deref(), context)?;
        if !update.changes_something() {
            return Err(wrong(
                "Appended rule must have exceptions or condition property",
                context,
            ));
        }
        for exception in update.exceptions.into_iter().flatten() {
            append_exception(rule, exception, catalogue)?;
        }
        if let Some((more, _)) = update.condition {
            join(&mut rule.condition, &more);
        }
        if let Some((more, _)) = update.output {
            join(&mut rule.output, &more);
        }
        if let Some(more) = update.description {
            rule.description.push(' ');
            rule.description.push_str(&more);
        }
        rule.tags.extend(update.tags.into_iter().flatten());
        rule.order.visibility = position;
        Ok(())
    }

    pub(crate) fn replace_rule(
        &mut self,
        name: &str,
        update: RuleUpdate,
        context: &Context,
    ) -> Result<(), LoadError> {
        const MISSING: &str =
            "An 'override.<key>: replace' to a rule was requested but no rule by that name already exists";
        let position = self.position();
        let (rule, catalogue) = self.changed(name, MISSING, update.source.as_deref(), context)?;
        if let Some(mut exceptions) = update.exceptions {
            for exception in &mut exceptions {
                complete(exception, NO_FIELDS, catalogue)?;
            }
            rule.exceptions = exceptions;
        }
        if let Some((condition, condition_context)) = update.condition {
            (rule.condition, rule.condition_context) = (condition, condition_context);
        }
        if let Some((output, output_context)) = update.output {
            (rule.output, rule.output_context) = (output, output_context);
        }
        replace(&mut rule.description, update.description);
        replace(&mut rule.tags, update.tags);
        replace(&mut rule.priority, update.priority);
        replace(&mut rule.enabled, update.enabled);
        replace(&mut rule.warn_evttypes, update.warn_evttypes);
        replace(&mut rule.skip_if_unknown_filter, update.skip_if_unknown_filter);
        replace(&mut rule.capture, update.capture);
        replace(&mut rule.capture_duration_ms, update.capture_duration_ms);
        rule.order.visibility = position;
        Ok(())
    }

    pub(crate) fn enable_rule(
        &mut self,
        name: &str,
        enabled: bool,
        context: &Context,
    ) -> Result<(), LoadError> {
        const MISSING: &str = "Rule has 'enabled' key but no rule by that name already exists";
        self.changed(name, MISSING, None, context)?.0.enabled = enabled;
        Ok(())
    }
}

impl RuleUpdate {
    fn changes_something(&self) -> bool {
        self.condition.is_some()
            || self.output.is_some()
            || self.description.is_some()
            || self.tags.is_some()
            || self.exceptions.is_some()
    }
}

fn replace<T>(value: &mut T, new: Option<T>) {
    if let Some(new) = new {
        *value = new;
    }
}

/// Checks an exception that must be whole.
fn complete(
    exception: &mut Exception,
    missing: &str,
    catalogue: Option<&Catalogue>,
) -> Result<(), LoadError> {
    if exception.fields.is_empty() {
        return Err(wrong(missing, &exception.context));
    }
    exception::validate(exception, catalogue)
}

/// Adds an exception to a rule, or values to one that it has.
fn append_exception(
    rule: &mut RuleItem,
    mut exception: Exception,
    catalogue: Option<&Catalogue>,
) -> Result<(), LoadError> {
    let Some(previous) = rule
        .exceptions
        .iter_mut()
        .find(|previous| previous.name == exception.name)
    else {
        if exception.fields.is_empty() {
            return Err(wrong(NO_FIELDS, &exception.context));
        }
        if exception.values.is_empty() {
            let message = "Rule exception must have values property with a list of values";
            return Err(wrong(message, &exception.context));
        }
        exception::validate(&mut exception, catalogue)?;
        rule.exceptions.push(exception);
        return Ok(());
    };
    for (key, is_given) in [
        ("fields", !exception.fields.is_empty()),
        ("comps", !exception.comps.is_empty()),
        ("allow_incomplete", exception.allows_incomplete.is_some()),
    ] {
        if is_given {
            let message = format!("Can not append exception {key} to existing exception, only values");
            return Err(wrong(message, &exception.context));
        }
    }
    previous.values.append(&mut exception.values);
    Ok(())
}
