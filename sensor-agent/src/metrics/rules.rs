//! What is counted of reading rules.

use std::sync::atomic::AtomicU64;

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReloadLabels {
    outcome: &'static str,
}

/// What who reads the rules counts.
#[derive(Debug, Clone, Default)]
pub struct RuleMetrics {
    reloads: Family<ReloadLabels, Counter>,
    enabled: Gauge<u64, AtomicU64>,
    generation: Gauge<u64, AtomicU64>,
    stale: Gauge<u64, AtomicU64>,
    reload_ns: Gauge<u64, AtomicU64>,
}

impl RuleMetrics {
    pub(super) fn register(&self, registry: &mut Registry) {
        for outcome in ["applied", "refused"] {
            self.reloads.get_or_create_owned(&ReloadLabels { outcome });
        }
        registry.register(
            "rules_reloads",
            "Times that rules were read anew while the sensor ran",
            self.reloads.clone(),
        );
        registry.register("rules_enabled", "Rules in use", self.enabled.clone());
        registry.register(
            "rules_generation",
            "Times that rules were taken into use, the first at the start",
            self.generation.clone(),
        );
        registry.register(
            "rules_stale",
            "1 while the newest rules are refused and former ones are in use",
            self.stale.clone(),
        );
        registry.register(
            "rules_reload_duration_nanoseconds",
            "From the last request to read rules anew until they were in use or refused",
            self.reload_ns.clone(),
        );
    }

    /// Rules are in use now: at the start, or after a reload.
    pub fn in_use(&self, enabled: u64, generation: u64) {
        self.enabled.set(enabled);
        self.generation.set(generation);
    }

    /// Rules were read anew.
    pub fn reloaded(&self, applied: bool, duration_ns: u64) {
        let outcome = if applied { "applied" } else { "refused" };
        self.reloads.get_or_create_owned(&ReloadLabels { outcome }).inc();
        self.stale.set(u64::from(!applied));
        self.reload_ns.set(duration_ns);
    }
}
