//! The law of the API server's answers, for the fuzz target `pod`.

use super::parse::{controller, pod, watch_event};
use super::split::{Shape, Splitter};

/// Cuts an answer into items, whole and byte by byte, and reads each.
pub(crate) fn answer(input: &[u8]) {
    for shape in [|| Shape::List, || Shape::Stream] {
        let mut whole = Vec::new();
        let mut splitter = Splitter::new(shape());
        let outcome = splitter.feed(input, |item| whole.push(item.to_vec()));
        let (mut pieces, mut slow) = (Vec::new(), Splitter::new(shape()));
        let one_by_one = input
            .chunks(1)
            .try_for_each(|byte| slow.feed(byte, |item| pieces.push(item.to_vec())));
        assert_eq!(outcome.is_ok(), one_by_one.is_ok(), "how it arrives says nothing");
        assert_eq!(whole, pieces);
        assert_eq!(splitter.envelope(), slow.envelope());
        assert_eq!(splitter.skipped, slow.skipped);
        for item in &whole {
            if let Ok(seen) = pod(item) {
                assert!(!seen.uid.is_empty(), "a pod without a uid is none");
            }
            let _ = watch_event(item);
            let _ = controller(item);
        }
    }
}
