//! Everything that the files read so far define, merged.
//!
//! Items keep the position of their first definition; lists and macros also know how far they can see
//! ([`Order`]). The messages are Falco's.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::context::Context;
use super::item::{ListItem, MacroItem, Order, RuleItem, Word};
use super::limits::{ITEMS_MAX, LIST_ENTRIES_MAX};
use super::lint::Lint;
use super::result::{ErrorCode, LoadError};
use super::source::Text;
use super::version::Version;
use crate::field::Catalogue;

mod exception;
mod rule;

/// A kind of named item.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    List,
    Macro,
    Rule,
}

/// A plugin and the version that a file needs of it.
#[derive(Clone, Debug)]
pub(crate) struct PluginRequirement {
    pub(crate) name: String,
    /// None where the text is no version.
    pub(crate) version: Option<Version>,
    pub(crate) text: String,
}

/// Named things in the order of their first definition.
#[derive(Clone, Debug)]
pub(crate) struct Indexed<T> {
    items: Vec<T>,
    by_name: HashMap<Arc<str>, usize>,
}

impl<T> Default for Indexed<T> {
    fn default() -> Self {
        Self {
            items: Vec::new(),
            by_name: HashMap::new(),
        }
    }
}

impl<T> Indexed<T> {
    pub(crate) fn get(&self, name: &str) -> Option<&T> {
        self.by_name.get(name).and_then(|&at| self.items.get(at))
    }

    pub(crate) fn position(&self, name: &str) -> Option<usize> {
        self.by_name.get(name).copied()
    }

    fn get_mut(&mut self, name: &str) -> Option<&mut T> {
        self.by_name.get(name).and_then(|&at| self.items.get_mut(at))
    }

    fn push(&mut self, name: &Arc<str>, item: T) {
        self.by_name.insert(Arc::clone(name), self.items.len());
        self.items.push(item);
    }

    pub(crate) fn iter(&self) -> std::slice::Iter<'_, T> {
        self.items.iter()
    }

    pub(crate) fn at(&self, position: usize) -> Option<&T> {
        self.items.get(position)
    }

    pub(crate) fn len(&self) -> usize {
        self.items.len()
    }
}

/// The items of a load.
pub(crate) struct Collector {
    pub(crate) lists: Indexed<ListItem>,
    pub(crate) macros: Indexed<MacroItem>,
    pub(crate) rules: Indexed<RuleItem>,
    /// What each `required_plugin_versions` entry asks for: one of these.
    pub(crate) plugins: Vec<Vec<PluginRequirement>>,
    /// The newest engine that a file asked for.
    pub(crate) required_engine: Option<Version>,
    engine_version: Version,
    known_sources: Vec<String>,
    catalogue: Catalogue,
    next: u32,
    list_entries: usize,
    /// Advice about the files' structure, found while reading.
    pub(crate) lints: Vec<Lint>,
    /// Items whose newest definition has an error, so that what only follows from it is not reported too.
    failed: HashSet<(Kind, Arc<str>)>,
}

fn wrong(message: impl Into<String>, context: &Context) -> LoadError {
    LoadError::new(ErrorCode::Validate, message, context)
}

impl Collector {
    pub(crate) fn new(engine_version: Version, known_sources: Vec<String>, catalogue: Catalogue) -> Self {
        Self {
            lists: Indexed::default(),
            macros: Indexed::default(),
            rules: Indexed::default(),
            plugins: Vec::new(),
            required_engine: None,
            engine_version,
            known_sources,
            catalogue,
            next: 0,
            list_entries: 0,
            lints: Vec::new(),
            failed: HashSet::new(),
        }
    }

    /// Whether rules may watch a source.
    pub(crate) fn knows_source(&self, source: &str) -> bool {
        self.known_sources.iter().any(|known| known == source)
    }

    /// Remembers whether the newest item of that name could be read.
    pub(crate) fn note<T, E>(&mut self, kind: Kind, name: &str, read: &Result<T, E>) {
        let key = (kind, Arc::from(name));
        if read.is_err() {
            self.failed.insert(key);
        } else if self.is_defined(kind, name) {
            self.failed.remove(&key);
        }
    }

    fn is_defined(&self, kind: Kind, name: &str) -> bool {
        match kind {
            Kind::List => self.lists.get(name).is_some(),
            Kind::Macro => self.macros.get(name).is_some(),
            Kind::Rule => self.rules.get(name).is_some(),
        }
    }

    /// Whether there is nothing of that name to change only because its definition has an error.
    pub(crate) fn base_has_failed(&self, kind: Kind, name: &str) -> bool {
        self.has_failed(kind, name) && !self.is_defined(kind, name)
    }

    /// Whether the newest item of that name has an error that is reported already.
    pub(crate) fn has_failed(&self, kind: Kind, name: &str) -> bool {
        self.failed.contains(&(kind, Arc::from(name)))
    }

    pub(crate) fn require_engine(&mut self, required: Version, context: &Context) -> Result<(), LoadError> {
        if !self.engine_version.satisfies(required) {
            let message = format!(
                "Rules require engine version {required}, but engine version is {}",
                self.engine_version
            );
            return Err(wrong(message, context));
        }
        self.required_engine = self.required_engine.max(Some(required));
        Ok(())
    }

    pub(crate) fn require_plugin(
        &mut self,
        alternatives: Vec<PluginRequirement>,
        context: &Context,
    ) -> Result<(), LoadError> {
        for (at, required) in alternatives.iter().enumerate() {
            if required.version.is_none() {
                let message = format!(
                    "Invalid required version '{}' for plugin '{}'",
                    required.text, required.name
                );
                return Err(wrong(message, context));
            }
            if alternatives[..at]
                .iter()
                .any(|earlier| earlier.name == required.name)
            {
                let message = format!(
                    "Defined multiple alternative version requirements for plugin '{}'",
                    required.name
                );
                return Err(wrong(message, context));
            }
        }
        self.plugins.push(alternatives);
        Ok(())
    }

    fn position(&mut self) -> u32 {
        self.next += 1;
        self.next - 1
    }

    /// The order of an item that replaces one, or is new.
    fn order(&mut self, previous: Option<Order>, context: &Context) -> Result<Order, LoadError> {
        let items = self.lists.len() + self.macros.len() + self.rules.len();
        if previous.is_none() && items >= ITEMS_MAX {
            return Err(wrong(
                format!("more than {ITEMS_MAX} lists, macros and rules"),
                context,
            ));
        }
        let visibility = self.position();
        Ok(Order {
            index: previous.map_or(visibility, |previous| previous.index),
            visibility,
        })
    }

    fn count_entries(&mut self, added: usize, context: &Context) -> Result<(), LoadError> {
        self.list_entries = self.list_entries.saturating_add(added);
        if self.list_entries > LIST_ENTRIES_MAX {
            return Err(wrong(
                format!("lists hold more than {LIST_ENTRIES_MAX} items together"),
                context,
            ));
        }
        Ok(())
    }

    /// Defines a list; `announced` if the item says that it replaces one.
    pub(crate) fn define_list(&mut self, mut list: ListItem, announced: bool) -> Result<(), LoadError> {
        self.count_entries(list.items.len(), &list.context)?;
        let previous = self.lists.get(&list.name);
        list.redefined = previous
            .filter(|_| !announced)
            .and_then(|previous| previous.context.span());
        let previous = previous.map(|previous| previous.order);
        list.order = self.order(previous, &list.context)?;
        let name = Arc::clone(&list.name);
        match self.lists.get_mut(&name) {
            Some(previous) => *previous = list,
            None => self.lists.push(&name, list),
        }
        Ok(())
    }

    pub(crate) fn append_list(
        &mut self,
        name: &str,
        items: Vec<Word>,
        context: &Context,
    ) -> Result<(), LoadError> {
        const MISSING: &str =
            "List uses 'append' or 'override.items: append' but no list by that name already exists";
        self.count_entries(items.len(), context)?;
        let position = self.position();
        let previous = self.lists.get_mut(name).ok_or_else(|| wrong(MISSING, context))?;
        previous.items.extend(items);
        previous.order.visibility = position;
        Ok(())
    }

    /// Defines a macro; `announced` if the item says that it replaces one.
    pub(crate) fn define_macro(&mut self, mut item: MacroItem, announced: bool) -> Result<(), LoadError> {
        let previous = self.macros.get(&item.name);
        item.redefined = previous
            .filter(|_| !announced)
            .and_then(|previous| previous.context.span());
        let previous = previous.map(|previous| previous.order);
        item.order = self.order(previous, &item.context)?;
        let name = Arc::clone(&item.name);
        match self.macros.get_mut(&name) {
            Some(previous) => *previous = item,
            None => self.macros.push(&name, item),
        }
        Ok(())
    }

    pub(crate) fn append_macro(
        &mut self,
        name: &str,
        more: &Text,
        context: &Context,
    ) -> Result<(), LoadError> {
        const MISSING: &str =
            "Macro uses 'append' or 'override.condition: append' but no macro by that name already exists";
        let position = self.position();
        let previous = self.macros.get_mut(name).ok_or_else(|| wrong(MISSING, context))?;
        join(&mut previous.condition, more);
        previous.order.visibility = position;
        Ok(())
    }
}

/// Appends with one blank between.
fn join(text: &mut Text, more: &Text) {
    let place = more.locate(0..0);
    if let Some(place) = place {
        text.push_for(" ", place);
    }
    text.push_text(more);
}
