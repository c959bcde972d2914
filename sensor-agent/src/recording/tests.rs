mod files;
mod replays;
mod sample;

use std::sync::{Arc, Mutex};

use sensor_rules::{
    engine::RuleSet,
    load::{LoadOptions, Loader},
};

use super::{header::Header, reader::Reader};
use crate::{
    hub::Item,
    pipeline::publish::Outlet,
    recording::reader::Fault,
    replay::{Replay, Told},
    sink::{Encoder, Format},
};

/// Writes lines where a test finds them.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Outlet for Lines {
    fn publish(&mut self, item: &Item) {
        let mut lines = self.0.lock().unwrap();
        Encoder::new(Format::Json, false, "here").encode(item, &mut lines);
    }
}

fn rules(text: &str) -> Arc<RuleSet> {
    let mut loader = Loader::new(LoadOptions::default());
    loader.add_file("rules.yaml", text.as_bytes());
    Arc::new(loader.finish().rule_set.expect("the rules are sound"))
}

/// Replays a file with rules: the lines, what was told, and the fault.
fn replay(file: &[u8], rules: &Arc<RuleSet>) -> (String, Told, Option<Fault>) {
    let mut reader = Reader::new(file).unwrap();
    let lines = Lines::default();
    let header: Header = reader.header().clone();
    let mut replay = Replay::new(&header, Arc::clone(rules), Box::new(lines.clone()), true).unwrap();
    let fault = replay.run(&mut reader, |_| true).err();
    let told = replay.finish();
    let lines = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    (lines, told, fault)
}
