//! Reads which versions of the engine and of plugins a file requires.

use super::Reader;
use crate::load::collect::PluginRequirement;
use crate::load::context::{Context, ItemType};
use crate::load::decode::{Item, invalid};
use crate::load::result::LoadError;
use crate::load::version::{Version, parse_engine_version};
use crate::load::yaml::{Kind, Node};

const ENGINE_VERSION_KEYS: &[&str] = &["required_engine_version"];
const PLUGIN_VERSIONS_KEYS: &[&str] = &["required_plugin_versions"];

impl Reader<'_> {
    pub(super) fn engine_version(&mut self, node: &Node, file: &Context) -> Result<(), LoadError> {
        let item = self.start(node, ItemType::RequiredEngineVersion, file);
        self.unknown_keys(&item, ENGINE_VERSION_KEYS);
        let text = item.string("required_engine_version")?;
        let Some(version) = parse_engine_version(&text) else {
            let message = format!(
                "Unable to parse engine version '{text}' as a semver string. Expected \"x.y.z\" semver format."
            );
            return Err(invalid(message, &item.context));
        };
        self.collector.require_engine(version, &item.context)
    }

    pub(super) fn plugin_versions(&mut self, node: &Node, file: &Context) -> Result<(), LoadError> {
        let item = self.start(node, ItemType::RequiredPluginVersions, file);
        self.unknown_keys(&item, PLUGIN_VERSIONS_KEYS);
        let Some(value) = node.get("required_plugin_versions") else {
            return Ok(());
        };
        let context = file.node(value, ItemType::RequiredPluginVersions, "");
        let Kind::Sequence(entries) = &value.kind else {
            return Err(invalid(
                "Value of required_plugin_versions must be a sequence",
                &context,
            ));
        };
        for entry in entries {
            if let Err(error) = self.plugin_version(entry, &context) {
                self.result.error(error);
            }
        }
        Ok(())
    }

    fn plugin_version(&mut self, entry: &Node, parent: &Context) -> Result<(), LoadError> {
        let item_type = ItemType::RequiredPluginVersionsEntry;
        let mut alternatives = Vec::new();
        let item = self.requirement(
            entry,
            item_type,
            parent,
            "Plugin version must be a mapping",
            &mut alternatives,
        )?;
        if let Some(others) = entry.get("alternatives") {
            let Kind::Sequence(others) = &others.kind else {
                let message = "Value of plugin version alternatives must be a sequence";
                return Err(invalid(message, &item.context));
            };
            for other in others {
                let item_type = ItemType::RequiredPluginVersionsAlternative;
                let message = "Plugin version alternative must be a mapping";
                self.requirement(other, item_type, &item.context, message, &mut alternatives)?;
            }
        }
        self.collector.require_plugin(alternatives, &item.context)
    }

    /// Reads a name and a version.
    fn requirement<'n>(
        &self,
        node: &'n Node,
        item_type: ItemType,
        parent: &Context,
        not_a_mapping: &str,
        out: &mut Vec<PluginRequirement>,
    ) -> Result<Item<'n>, LoadError>
    where
        Self: 'n,
    {
        let item = self.start(node, item_type, parent);
        if !node.is_mapping() {
            return Err(invalid(not_a_mapping, &item.context));
        }
        let name = item.string("name")?;
        let item = item.named(item_type, &name, parent);
        let text = item.string("version")?;
        out.push(PluginRequirement {
            name,
            version: Version::parse(&text),
            text,
        });
        Ok(item)
    }
}
