//! What the kernel leaves out, because no rule asks for it.

use std::time::Duration;

use super::{Prepared, RunError};
use crate::{
    kernel::{attach::Probes, filter::Installed},
    selftest::Secret,
    view::EventTypes,
};

/// Puts what the rules, and the self-test, demand of events into the kernel.
pub(super) fn set_filters(
    probes: &mut Probes,
    prepared: &Prepared,
    secret: Option<&Secret>,
    types: &EventTypes,
) -> Result<(), RunError> {
    probes.demand_also(secret.map_or_else(Vec::new, Secret::demands));
    let demands = prepared
        .config
        .kernel
        .filter
        .then(|| prepared.rules.set.demands());
    tell_filters(&probes.set_filters(demands, types)?);
    Ok(())
}

/// Says what of the rules runs in the kernel.
fn tell_filters(installed: &[Installed]) {
    let total = |of: fn(&Installed) -> usize| installed.iter().map(of).sum::<usize>();
    for filter in installed {
        tracing::debug!(
            kind = filter.kind.name(),
            place = filter.place.name(),
            parts = filter.parts,
            instructions = filter.instructions,
            constants_max = filter.constants_max,
            load_us = u64::try_from(filter.load_time.as_micros()).unwrap_or(u64::MAX),
            "a filter runs in the kernel"
        );
    }
    if !installed.is_empty() {
        let load_time: Duration = installed.iter().map(|filter| filter.load_time).sum();
        tracing::info!(
            filters = installed.len(),
            programs = total(|filter| filter.parts),
            instructions = total(|filter| filter.instructions),
            load_ms = u64::try_from(load_time.as_millis()).unwrap_or(u64::MAX),
            "rules run in the kernel"
        );
    }
}
