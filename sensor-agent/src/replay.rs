//! Runs rules over a recording, with the pipeline that runs live.
//!
//! The pipeline gets what it got then, in the same order, and so comes to the same detections with the same rules; only
//! their ids are others, derived from the recording, the event and the rule. Two replays of a recording tell the same,
//! byte for byte, as long as no table was full: what a full table forgets is left to chance (`Told::evicted`).

use std::{io::Read, sync::Arc};

use prometheus_client::metrics::counter::Counter;
use sensor_rules::engine::RuleSet;

use crate::{
    pipeline::{
        Look, Parts, Pipeline,
        costs::Costs,
        publish::{Ids, Outlet},
    },
    recording::{
        header::Header,
        item::{End, Input, ItemFault, Lost},
        reader::{Fault, Reader},
    },
    state::{State, seed::Seed},
    stats::Stats,
    view::{Context, EventTypes, UnknownEventType, View},
};

/// What was replayed.
#[derive(Debug, Default)]
pub struct Told {
    /// Records.
    pub records: u64,
    /// Records that were not understood.
    pub malformed: u64,
    /// Events that were matched.
    pub events: u64,
    /// Detections, by rule in the rules' order.
    pub detections: Vec<u64>,
    /// What rules have cost, where that was measured.
    pub costs: Option<Costs>,
    /// What is missing in the recording.
    pub lost: Lost,
    /// Entries that full tables have forgotten.
    pub evicted: u64,
    /// How the recording ended.
    pub end: Option<End>,
}

/// A replay on its way.
pub struct Replay {
    pipeline: Pipeline,
    stats: Arc<Stats>,
    counters: Vec<Counter>,
    processes_max: usize,
    /// What was there before, until all of it has been told.
    seed: Option<Seed>,
    records: u64,
    lost: Lost,
    end: Option<End>,
}

impl Replay {
    /// Prepares to run rules over a recording.
    ///
    /// # Errors
    /// A fault of the build: the rule language lacks an event type.
    pub fn new(
        header: &Header,
        rules: Arc<RuleSet>,
        outlet: Box<dyn Outlet>,
        with_costs: bool,
    ) -> Result<Self, UnknownEventType> {
        let stats = Arc::new(Stats::default());
        let counters: Vec<_> = rules.rules().iter().map(|_| Counter::default()).collect();
        let pipeline = Pipeline::new(Parts {
            state: State::new(header.limits()),
            context: Context {
                types: EventTypes::new()?,
                clock: header.clock(),
                hostname: header.hostname.as_str().into(),
                start_ns: header.start_ns,
            },
            outlet,
            ids: Ids::Derived(header.id_bytes()),
            costs: with_costs.then(|| Costs::new(rules.rules().len())),
            rules,
            stats: Arc::clone(&stats),
            rule_counters: counters.clone(),
            programs: header.programs,
            hold_ns: header.facts_wait_ns,
        });
        Ok(Self {
            pipeline,
            stats,
            counters,
            processes_max: header.processes_max,
            seed: Some(Seed::default()),
            records: 0,
            lost: Lost::default(),
            end: None,
        })
    }

    /// Has somebody look at one event, by its `evt.num`, as rules see it.
    pub fn look(&mut self, number: u64, at: impl FnMut(&View<'_>) + Send + 'static) {
        let at = Box::new(at);
        self.pipeline.set_look(Look { number, at });
    }

    /// Gives the pipeline all that the file holds, up to its end or to its first fault. `progress` is told how many bytes
    /// of the file have been taken, and ends the replay by `false`.
    ///
    /// # Errors
    /// The fault; what came before it has been taken.
    pub fn run<R: Read>(
        &mut self,
        reader: &mut Reader<R>,
        mut progress: impl FnMut(u64) -> bool,
    ) -> Result<(), Fault> {
        let done = loop {
            let at = reader.position();
            match reader.chunk() {
                Ok(Some((at, mut items))) => {
                    while let Some(item) = items.next() {
                        let begin = items.begin();
                        let taken = item
                            .and_then(|input| self.take(input).map_err(|what| ItemFault { at: begin, what }));
                        if let Err(source) = taken {
                            self.pipeline.finish();
                            return Err(Fault::Item { at, source });
                        }
                    }
                }
                Ok(None) if self.end.is_some() => break Ok(()),
                Ok(None) => break Err(Fault::NoEnd { at }),
                Err(fault) => break Err(fault),
            }
            if !progress(reader.position()) {
                break Ok(());
            }
        };
        self.pipeline.finish();
        done
    }

    /// Gives the pipeline one item.
    fn take(&mut self, input: Input<'_>) -> Result<(), &'static str> {
        if self.end.is_some() {
            return Err("it stands behind the mark of the end");
        }
        if let Some(seed) = &mut self.seed {
            match input {
                Input::Seeded(_) if seed.processes.len() >= self.processes_max => {
                    return Err("there are more processes than the tables take");
                }
                Input::Seeded(seeded) => seed.processes.push(*seeded),
                Input::Planted(host_mount_ns) => {
                    seed.host_mount_ns = host_mount_ns;
                    self.pipeline.plant(self.seed.take().unwrap_or_default());
                }
                _ => return Err("it stands before the processes that were there already"),
            }
            return Ok(());
        }
        match input {
            Input::Record(ring, bytes) => {
                self.records += 1;
                self.pipeline.handle(ring, bytes);
                // Whoever was asked then has answered then: the answers are in the recording.
                self.pipeline.take_wanted().for_each(drop);
                self.pipeline.take_lookups().for_each(drop);
            }
            Input::Now(now_ns) => self.pipeline.set_now(now_ns),
            Input::Idle(now_ns) => {
                self.pipeline.idle(now_ns);
                self.pipeline.take_wanted().for_each(drop);
                self.pipeline.take_lookups().for_each(drop);
            }
            Input::Tick(tick) => {
                self.pipeline.tick(&tick);
                self.pipeline.take_wanted().for_each(drop);
                self.pipeline.take_lookups().for_each(drop);
            }
            Input::Fact(fact) => self.pipeline.fact(fact),
            Input::Lost(lost) => {
                self.lost.records = self.lost.records.saturating_add(lost.records);
                self.lost.others = self.lost.others.saturating_add(lost.others);
                self.pipeline.tell_gap("recording", lost.records);
            }
            Input::End(end) => {
                self.lost = end.lost;
                self.end = Some(end);
            }
            Input::Seeded(_) | Input::Planted(_) => {
                return Err("the processes that were there already are told a second time");
            }
        }
        Ok(())
    }

    /// What was replayed.
    #[must_use]
    pub fn finish(self) -> Told {
        let malformed = sensor_common::kind::Ring::ALL.map(|ring| self.stats.malformed_of(ring));
        let (events, evicted) = (self.pipeline.events(), self.pipeline.evicted());
        Told {
            records: self.records,
            malformed: malformed.iter().sum(),
            events,
            detections: self.counters.iter().map(Counter::get).collect(),
            costs: self.pipeline.into_costs(),
            lost: self.lost,
            evicted,
            end: self.end,
        }
    }
}
