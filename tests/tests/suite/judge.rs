//! Compares what was told with what had to be.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread::JoinHandle,
    time::Duration,
};

use sensor_proto::v1::{Detection, Priority, subscribe_response::Item};
use sensor_tests::{
    client::Client,
    values::Values as _,
    wait::{self, DEADLINE},
};
use serde_json::Value;

use crate::{
    case::{Case, Expected},
    perform::Performed,
    place::Ready,
};

/// Collects detections.
pub(crate) struct Judge {
    found: Arc<Mutex<Vec<Detection>>>,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Judge {
    /// Subscribes, and returns when that is done.
    pub(crate) fn start(client: Arc<Client>) -> Self {
        let found = Arc::new(Mutex::new(Vec::new()));
        let over = Arc::new(AtomicBool::new(false));
        let (ready, subscribed) = mpsc::sync_channel(1);
        let thread = std::thread::spawn({
            let (found, over) = (Arc::clone(&found), Arc::clone(&over));
            move || {
                let mut stream = client.subscribe(None).unwrap();
                ready.send(()).unwrap();
                while !over.load(Ordering::Relaxed) {
                    if let Some(Item::Detection(detection)) = stream.next(Duration::from_millis(100)).unwrap()
                    {
                        found.lock().unwrap().push(detection);
                    }
                }
            }
        });
        subscribed.recv().unwrap();
        Self {
            found,
            over,
            thread: Some(thread),
        }
    }

    /// What is wrong, a line for each case.
    pub(crate) fn compare(&self, performed: &[(&Ready<'_>, Performed)]) -> Vec<String> {
        let faults = || {
            let found = self.found.lock().unwrap();
            let faults: Vec<_> = performed
                .iter()
                .filter_map(|(ready, done)| Some((ready.case, done, fault(ready.case, done, &found)?)))
                .map(|(case, done, fault)| {
                    let (index, name, rule) = (case.index, &case.name, &case.rule);
                    format!("{index} {name} ({rule}): {fault}; {:?}", done.said)
                })
                .collect();
            faults
        };
        // The last detections may be on their way.
        wait::until(DEADLINE / 2, || faults().is_empty().then_some(()));
        faults()
    }
}

impl Judge {
    /// Of each rule that was told, the fields of its output for which no detection of it had a value.
    pub(crate) fn unfilled(&self) -> BTreeMap<String, BTreeSet<String>> {
        let mut of_rules: BTreeMap<String, BTreeMap<String, bool>> = BTreeMap::new();
        for detection in self.found.lock().unwrap().iter() {
            let fields = of_rules.entry(detection.rule.clone()).or_default();
            for field in detection.output_fields.keys() {
                *fields.entry(field.clone()).or_default() |= !detection.text(field).is_empty();
            }
        }
        let unfilled = |fields: BTreeMap<String, bool>| {
            let empty = fields.into_iter().filter(|(_, is_filled)| !is_filled);
            empty.map(|(field, _)| field).collect()
        };
        of_rules
            .into_iter()
            .map(|(rule, fields)| (rule, unfilled(fields)))
            .collect()
    }
}

impl Drop for Judge {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// What is wrong with a case; `None` when one of its processes' detections is as it must be.
fn fault(case: &Case, done: &Performed, found: &[Detection]) -> Option<String> {
    let is_ours = |detection: &&Detection| {
        let process = detection.process.as_ref();
        process.is_some_and(|process| done.pids.contains(&process.pid) || done.pids.contains(&process.tid))
    };
    let ours: Vec<_> = found.iter().filter(is_ours).collect();
    let of_rule: Vec<_> = ours
        .iter()
        .filter(|detection| detection.rule == case.rule)
        .collect();
    if of_rule.is_empty() {
        let others: Vec<_> = ours.iter().map(|detection| detection.rule.as_str()).collect();
        return Some(format!("no detection of the rule; others: {others:?}"));
    }
    let faults: Vec<_> = of_rule
        .iter()
        .map(|detection| differences(&case.expected, detection))
        .collect();
    if faults.iter().any(Vec::is_empty) {
        return None;
    }
    faults.into_iter().next().map(|fault| fault.join(", "))
}

fn differences(expected: &Expected, detection: &Detection) -> Vec<String> {
    let priority = detection
        .priority()
        .as_str_name()
        .trim_start_matches("PRIORITY_")
        .to_lowercase();
    let is_priority = |said: &str| {
        said.eq_ignore_ascii_case(&priority)
            || (said == "info" && detection.priority() == Priority::Informational)
    };
    let mut faults = Vec::new();
    if let Some(said) = expected.priority.as_ref().filter(|said| !is_priority(said)) {
        faults.push(format!("priority {priority}, not {said}"));
    }
    if let Some(said) = expected.source.as_ref().filter(|said| **said != detection.source) {
        faults.push(format!("source {}, not {said}", detection.source));
    }
    if let Some(said) = expected
        .hostname
        .as_ref()
        .filter(|said| **said != detection.hostname)
    {
        faults.push(format!("hostname {}, not {said}", detection.hostname));
    }
    if let Some(said) = expected
        .output
        .as_ref()
        .filter(|said| !detection.output.contains(said.as_str()))
    {
        faults.push(format!("output {:?} without {said:?}", detection.output));
    }
    for (field, said) in &expected.fields {
        let said = match said {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let is = detection.text(field);
        if is != said {
            faults.push(format!("{field} is {is:?}, not {said:?}"));
        }
    }
    faults
}
