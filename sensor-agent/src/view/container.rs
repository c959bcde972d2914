//! `container.*`, as far as the cgroup tells.

use sensor_rules::{event::Value, field::Field};

use super::{View, text};

/// What Falco calls the container of a process outside containers.
const HOST: &[u8] = b"host";

impl View<'_> {
    pub(super) fn container_value(&self, field: Field) -> Option<Value<'_>> {
        let container = self.container();
        if container.is_none() && self.cgroup.is_none() {
            return None;
        }
        match field {
            Field::ContainerId => Some(Value::Text(
                container.map_or(HOST, |container| container.short_id().as_bytes()),
            )),
            Field::ContainerFullId => Some(Value::Text(
                container.map_or(HOST, |container| container.id.as_bytes()),
            )),
            Field::ContainerName if container.is_none() => Some(Value::Text(HOST)),
            Field::ContainerType => container.map_or(Some(Value::Text(HOST)), |container| {
                text(container.runtime.as_bytes())
            }),
            _ => None,
        }
    }
}
