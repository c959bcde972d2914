//! Recordings, whole and in pieces.

use std::{
    io::Read,
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

use sensor_common::LAYOUT_VERSION;
use sensor_rules::{
    engine::RuleSet,
    load::{LoadOptions, Loader},
};

use crate::{
    hub::Item,
    pipeline::publish::Outlet,
    recording::{
        chunk,
        header::Header,
        item::{self, Input, Items},
        reader::Reader,
    },
    replay::Replay,
    sink::{Encoder, Format},
    state::programs::When,
};

/// Longer inputs only take longer.
const INPUT_BYTES_MAX: usize = 256 * 1024;

/// Rules that look at much of every event.
const RULES: &str = "
- rule: Everything
  desc: each event
  condition: evt.num >= 0
  output: '%evt.time %evt.type %evt.args %fd.name %fd.sip %fs.path.name %proc.cmdline %proc.aname[2] %proc.aexepath[3]
    %proc.duration %user.name %container.name %k8s.pod.labels'
  priority: INFO
- rule: Some
  desc: some events
  condition: (evt.type = execve and proc.aname = sh) or (fd.directory startswith /etc and not proc.name in (cat, dog))
  output: '%proc.exeline %container.id'
  priority: INFO
";

/// A recording, and the items of one: it is replayed or says why not, and twice the same.
///
/// # Panics
/// Where the crate breaks one of these laws.
pub fn recording(input: &[u8]) {
    if input.len() > INPUT_BYTES_MAX {
        return;
    }
    for file in [input.to_vec(), file_of(input)] {
        let (first, second) = (replay(&*file), replay(&*file));
        assert_eq!(first, second, "two replays differ");
    }
}

/// A sound file with these items. Records have this sensor's layout, so that the corpus outlives a change of it.
fn file_of(input: &[u8]) -> Vec<u8> {
    let mut items = Vec::new();
    for item in Items::new(input).flatten() {
        let mut record = Vec::new();
        let item = match item {
            Input::Record(ring, bytes) => {
                record.extend_from_slice(bytes);
                if let Some(version) = record.get_mut(4) {
                    *version = LAYOUT_VERSION;
                }
                Input::Record(ring, &record)
            }
            other => other,
        };
        // What was read fits.
        let _ = item::encode(&item, &mut items);
    }
    let mut file = Vec::new();
    let header = Header {
        id: "0".repeat(32),
        sensor: String::new(),
        layout: LAYOUT_VERSION,
        kernel: String::new(),
        machine: String::new(),
        hostname: "there".into(),
        start_ns: 1,
        clock_offset_ns: 1,
        events: Vec::new(),
        degraded: Vec::new(),
        processes_max: 1 << 16,
        exited_keep_ns: 1_000_000_000,
        cgroups_max: 1 << 16,
        facts_wait_ns: 250_000_000,
        programs: When::default(),
    };
    let written = header
        .write(&mut file)
        .and_then(|_| chunk::write(&mut file, 0, &items, &mut Vec::new()));
    assert!(written.is_ok(), "writing to memory does not fail");
    file
}

/// The lines and the fault of a replay.
fn replay(file: impl Read) -> Option<(Vec<u8>, String)> {
    let mut reader = match Reader::new(file) {
        Ok(reader) => reader,
        Err(error) => return Some((Vec::new(), error.to_string())),
    };
    let header = reader.header().clone();
    let lines = Lines::default();
    let mut replay = Replay::new(&header, rules(), Box::new(lines.clone()), false).ok()?;
    let fault = replay.run(&mut reader, |_| true).err();
    // What full tables forget is left to chance.
    if replay.finish().evicted > 0 {
        return None;
    }
    let lines = std::mem::take(&mut *lines.0.lock().unwrap_or_else(PoisonError::into_inner));
    Some((lines, fault.map_or_else(String::new, |fault| fault.to_string())))
}

fn rules() -> Arc<RuleSet> {
    static SET: OnceLock<Arc<RuleSet>> = OnceLock::new();
    let load = || {
        let mut loader = Loader::new(LoadOptions::default());
        loader.add_file("rules.yaml", RULES.as_bytes());
        let set = loader.finish().rule_set;
        Arc::new(set.unwrap_or_else(|| crate::rules::Rules::none().set))
    };
    Arc::clone(SET.get_or_init(load))
}

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Outlet for Lines {
    fn publish(&mut self, item: &Item) {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Encoder::new(Format::Json, false, "there").encode(item, &mut lines);
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_rules_load() {
        assert_eq!(super::rules().rules().len(), 2);
    }
}
