use std::num::NonZeroUsize;
use std::time::Duration;

use sensor_proto::v1::Detection;

use super::*;
use crate::hub::HubLimits;
use crate::metrics::Metrics;
use crate::sink::Format;

const DEADLINE: Duration = Duration::from_secs(10);

struct Setup {
    folder: tempfile::TempDir,
    hub: Arc<Hub>,
    metrics: Arc<Metrics>,
    sinks: Sinks,
}

impl Setup {
    /// A hub with one sink to the file `name`.
    fn new(name: &str) -> Self {
        let metrics = Metrics::new();
        let limits = HubLimits {
            queue_items_max: NonZeroUsize::new(64).unwrap(),
            subscribers_max: 4,
        };
        let hub = Hub::new(limits, metrics.subscribers.clone());
        let mut setup = Self {
            folder: tempfile::tempdir().unwrap(),
            hub,
            metrics,
            sinks: Sinks::default(),
        };
        let encoder = Encoder::new(Format::Text, false, "node");
        let target = Target::File(setup.path(name));
        setup
            .sinks
            .start(&setup.hub, target, encoder, setup.metrics.sinks.clone())
            .unwrap();
        setup
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn publish(&self, output: &str) {
        self.hub.publish(&Item::Detection(Arc::new(Detection {
            output: output.into(),
            ..Detection::default()
        })));
    }

    fn finish(self) -> tempfile::TempDir {
        self.hub.close();
        assert_eq!(self.sinks.finish(DEADLINE), Vec::<&str>::new());
        self.folder
    }
}

fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !done() {
        assert!(Instant::now() < deadline, "{what} did not happen in time");
        std::thread::yield_now();
    }
}

#[test]
fn all_is_written_at_the_end() {
    let setup = Setup::new("out");
    for number in 0..50 {
        setup.publish(&number.to_string());
    }
    let folder = setup.finish();
    let text = std::fs::read_to_string(folder.path().join("out")).unwrap();
    assert_eq!(text.lines().count(), 50);
    assert!(text.ends_with("00:00:00.000000000: Debug 49\n"), "{text}");
}

#[test]
fn a_rotated_file_is_opened_anew() {
    let setup = Setup::new("out");
    setup.publish("before");
    let read = |name: &str| std::fs::read_to_string(setup.path(name)).unwrap_or_default();
    wait_until("the first line", || read("out").ends_with("before\n"));
    std::fs::rename(setup.path("out"), setup.path("out.1")).unwrap();
    setup.sinks.reopen();
    setup.publish("after");
    wait_until("the line in the new file", || read("out").ends_with("after\n"));
    assert_eq!(read("out.1").lines().count(), 1);
    setup.finish();
}

#[test]
fn a_cut_line_is_ended_before_the_next() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out");
    std::fs::write(&path, "{\"cut").unwrap();
    open(&path).unwrap().write_all(b"whole\n").unwrap();
    drop(open(&path).unwrap());
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "{\"cut\nwhole\n");
}

#[test]
fn a_failing_file_loses_counts_and_recovers() {
    let setup = Setup::new("out");
    // A folder in the file's place makes opening it fail, also for root.
    std::fs::remove_file(setup.path("out")).unwrap();
    std::fs::create_dir(setup.path("out")).unwrap();
    setup.sinks.reopen();
    setup.publish("lost");
    let failed = r#"sensor_sink_items_failed_total{sink="file"} 1"#;
    wait_until("the failure", || setup.metrics.render().unwrap().contains(failed));
    std::fs::remove_dir(setup.path("out")).unwrap();
    setup.publish("kept");
    let folder = setup.finish();
    let text = std::fs::read_to_string(folder.path().join("out")).unwrap();
    assert!(
        text.contains("Error Lost 1 items (kind=item cause=sink_failed)\n"),
        "{text}"
    );
    assert!(text.ends_with("Debug kept\n"), "{text}");
}

#[test]
fn a_file_that_cannot_be_opened_is_refused_with_its_path() {
    let setup = Setup::new("out");
    let mut sinks = Sinks::default();
    let target = Target::File(setup.path("missing/out"));
    let encoder = Encoder::new(Format::Json, false, "node");
    let error = sinks
        .start(&setup.hub, target, encoder, setup.metrics.sinks.clone())
        .unwrap_err();
    assert!(error.to_string().contains("missing/out"), "{error}");
    setup.finish();
}
