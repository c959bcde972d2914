//! Matching, and what leaves: detections, and detections told again once their facts have come.

use std::sync::Arc;

use sensor_common::kind::Ring;
use sensor_proto::v1;
use sha2::{Digest as _, Sha256};

use super::{
    Pipeline,
    hold::{Record, Told},
};
use crate::{
    detection,
    event::Event,
    hub::{Hub, Item},
    view::View,
};

/// Where detections go.
pub trait Outlet: Send {
    /// Takes an item. Never blocks for long.
    fn publish(&mut self, item: &Item);
}

impl Outlet for Arc<Hub> {
    fn publish(&mut self, item: &Item) {
        Hub::publish(self, item);
    }
}

/// How detections are named.
#[derive(Clone, Copy, Debug)]
pub enum Ids {
    /// By the time and chance: UUID version 7.
    Random,
    /// By the recording that they come from, the event's number and the rule: UUID version 8, the same each time.
    Derived([u8; 16]),
}

impl Ids {
    /// The id of the detection of a rule in an event.
    fn of(self, number: u64, rule: &str) -> String {
        let id = match self {
            Self::Random => uuid::Uuid::now_v7(),
            Self::Derived(recording) => {
                let digest = Sha256::new()
                    .chain_update(recording)
                    .chain_update(number.to_le_bytes())
                    .chain_update(rule)
                    .finalize();
                let bytes = std::array::from_fn(|index| digest[index]);
                uuid::Builder::from_custom_bytes(bytes).into_uuid()
            }
        };
        id.to_string()
    }
}

impl Pipeline {
    /// Tells of a loss that happened outside.
    pub fn tell_gap(&mut self, cause: &str, count: u64) {
        let time = detection::timestamp(self.context.clock.epoch_ns(self.now_ns));
        let gap = v1::Gap {
            time: Some(time),
            cause: cause.into(),
            count,
            ..v1::Gap::default()
        };
        self.outlet.publish(&Item::Gap(Arc::new(gap)));
    }

    /// Matches an event and publishes what was found.
    pub(super) fn evaluate(&mut self, event: &Event<'_>, ring: Ring, bytes: &[u8], number: u64) {
        let view = View::new(event, &self.state, &self.context, number);
        if let Some(look) = &mut self.look
            && look.number == number
        {
            (look.at)(&view);
        }
        let (scratch, matched) = (&mut self.scratch, &mut self.matched);
        match &mut self.costs {
            None => self.rules.evaluate(&view, scratch, |rule| matched.push(rule)),
            Some(costs) => self
                .rules
                .evaluate_observed(&view, scratch, |rule| matched.push(rule), costs),
        }
        let is_pending = !self.matched.is_empty() && view.is_pending();
        let mut told = Vec::new();
        for id in self.matched.drain(..) {
            let Some(rule) = self.rules.rule(id) else { continue };
            let named = self.ids.of(number, &rule.name);
            if is_pending {
                told.push((id, named.clone()));
            }
            let detection = detection::build(&view, rule, named, &mut self.scratch);
            if let Some(counter) = self.rule_counters.get(id.0 as usize) {
                counter.inc();
            }
            self.outlet.publish(&Item::Detection(detection));
        }
        if is_pending {
            let record = Record {
                needs: view.needs(),
                ring,
                bytes: bytes.into(),
                number,
            };
            self.hold.keep(Told {
                record,
                detections: told,
            });
        }
        if let Some(inventory) = &mut self.inventory {
            inventory.note(&view);
        }
        // Counted last: who sees the count can rely on the detection being out.
        if let Some(cgroup) = &view.cgroup {
            cgroup.count(event.kind());
        }
        self.stats.delivered(event.kind());
    }

    /// Tells detections again whose facts have come: the same ids, now with them.
    pub(super) fn complete(&mut self, told: &Told) {
        let Ok(event) = Event::decode(&told.record.bytes) else {
            return;
        };
        let view = View::new(&event, &self.state, &self.context, told.record.number);
        for (id, named) in &told.detections {
            let Some(rule) = self.rules.rule(*id) else {
                continue;
            };
            let mut detection =
                Arc::unwrap_or_clone(detection::build(&view, rule, named.clone(), &mut self.scratch));
            detection.update = true;
            self.outlet.publish(&Item::Detection(Arc::new(detection)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_derived_from_recording_event_and_rule() {
        let of = |recording, number, rule| Ids::Derived([recording; 16]).of(number, rule);
        let id = of(1, 2, "a");
        assert_eq!(uuid::Uuid::parse_str(&id).unwrap().get_version_num(), 8);
        assert_eq!(id, of(1, 2, "a"));
        for other in [of(2, 2, "a"), of(1, 3, "a"), of(1, 2, "b")] {
            assert_ne!(id, other);
        }
        assert_ne!(Ids::Random.of(1, "a"), Ids::Random.of(1, "a"));
    }
}
