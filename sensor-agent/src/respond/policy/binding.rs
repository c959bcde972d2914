//! Bindings: which detections call which hooks.

use sensor_proto::v1::{Detection, Priority};

use super::super::config::{BindingConfig, RespondConfig};
use super::super::pattern::Pattern;
use super::{Errors, suggest};
use crate::sink::{parse_priority, priority_name};

/// A checked binding.
#[derive(Debug)]
pub(super) struct Binding {
    selector: Selector,
    min_priority: Option<Priority>,
    /// Places in the policy's hooks.
    pub(super) hooks: Vec<usize>,
}

#[derive(Debug)]
enum Selector {
    Rule(Pattern),
    Tag(String),
}

impl Binding {
    pub(super) fn fits(&self, detection: &Detection) -> bool {
        let selected = match &self.selector {
            Selector::Rule(pattern) => pattern.fits(detection.rule.as_bytes()),
            Selector::Tag(tag) => detection.tags.iter().any(|given| given == tag),
        };
        // Lower numbers are more severe; a detection without a priority passes no threshold.
        let severe = self
            .min_priority
            .is_none_or(|least| (1..=least as i32).contains(&detection.priority));
        selected && severe
    }
}

pub(super) fn check_all(config: &RespondConfig, errors: &mut Errors) -> Vec<Binding> {
    config
        .bindings
        .iter()
        .enumerate()
        .filter_map(|(at, binding)| check(&format!("respond.bindings[{at}]"), binding, config, errors))
        .collect()
}

fn check(
    path: &str,
    binding: &BindingConfig,
    config: &RespondConfig,
    errors: &mut Errors,
) -> Option<Binding> {
    let hooks = check_hooks(path, binding, config, errors);
    let min_priority = binding
        .min_priority
        .as_deref()
        .and_then(|name| check_priority(&format!("{path}.min_priority"), name, errors));
    let selector = match (&binding.rule, &binding.tag) {
        (Some(rule), None) => Selector::Rule(Pattern::new(rule)),
        (None, Some(tag)) => Selector::Tag(tag.clone()),
        (Some(_), Some(_)) => {
            errors.add(
                path,
                "a binding has both `rule` and `tag`",
                "write one binding for each",
            );
            return None;
        }
        (None, None) => {
            errors.add(
                path,
                "a binding has neither `rule` nor `tag`",
                "add `rule: <name>` or `tag: <tag>`",
            );
            return None;
        }
    };
    Some(Binding {
        selector,
        min_priority,
        hooks,
    })
}

fn check_hooks(
    path: &str,
    binding: &BindingConfig,
    config: &RespondConfig,
    errors: &mut Errors,
) -> Vec<usize> {
    if binding.hooks.is_empty() {
        errors.add(
            format!("{path}.hooks"),
            "a binding names no hook",
            "list at least one name from `respond.hooks`",
        );
    }
    let mut places = Vec::new();
    for (at, name) in binding.hooks.iter().enumerate() {
        if let Some(place) = config.hooks.iter().position(|hook| hook.name == *name) {
            places.push(place);
        } else {
            let known = config.hooks.iter().map(|hook| hook.name.as_str());
            let help = suggest(name, known, "name a hook of `respond.hooks`");
            errors.add(
                format!("{path}.hooks[{at}]"),
                format!("there is no hook `{name}`"),
                help,
            );
        }
    }
    places
}

fn check_priority(path: &str, name: &str, errors: &mut Errors) -> Option<Priority> {
    let found = parse_priority(name);
    if found.is_none() {
        let known: Vec<String> = (Priority::Emergency as i32..=Priority::Debug as i32)
            .filter_map(|number| Priority::try_from(number).ok())
            .map(|priority| priority_name(priority).to_ascii_lowercase())
            .collect();
        let otherwise = format!("give one of {}", known.join(", "));
        let help = suggest(
            &name.to_ascii_lowercase(),
            known.iter().map(String::as_str),
            &otherwise,
        );
        errors.add(path, format!("there is no priority `{name}`"), help);
    }
    found
}
