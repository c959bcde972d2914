use std::num::NonZeroUsize;
use std::time::Duration;

use sensor_proto::v1::{Container, Filter, Priority};

use super::*;
use crate::metrics::Metrics;

fn hub(queue_items_max: usize, subscribers_max: usize) -> Arc<Hub> {
    let queue_items_max = NonZeroUsize::new(queue_items_max).unwrap();
    Hub::new(
        HubLimits {
            queue_items_max,
            subscribers_max,
        },
        Metrics::new().subscribers.clone(),
    )
}

fn everything() -> Request {
    Request {
        kind: SubscriberKind::Grpc,
        peer: String::new(),
        filter: CompiledFilter::default(),
    }
}

fn detection(id: usize) -> Item {
    Item::Detection(Arc::new(Detection {
        id: id.to_string(),
        ..Detection::default()
    }))
}

/// Shows items as a test wants to compare them.
fn show(item: &Item) -> String {
    match item {
        Item::Detection(detection) => detection.id.clone(),
        Item::Gap(gap) => format!("{}:{}:{}", gap.cause, gap.kind, gap.count),
        Item::HookRun { run, .. } => format!("run:{}", run.id),
        Item::RulesReload(_) => unreachable!("none was published"),
    }
}

async fn drain(subscription: &mut Subscription) -> Vec<String> {
    let mut shown = Vec::new();
    while let Some(item) = subscription.recv().await {
        shown.push(show(&item));
    }
    shown
}

#[tokio::test]
async fn a_gap_stands_where_items_are_missing() {
    let hub = hub(2, 8);
    let mut subscription = hub.subscribe(everything()).unwrap();
    for id in 0..5 {
        hub.publish(&detection(id));
    }
    assert_eq!(show(&subscription.recv().await.unwrap()), "0");
    hub.publish(&detection(5));
    assert_eq!(show(&subscription.recv().await.unwrap()), "1");
    hub.publish(&detection(6));
    hub.close();
    assert_eq!(
        drain(&mut subscription).await,
        ["subscriber_full:detection:3", "5", "subscriber_full:detection:1"],
        "2, 3 and 4 were dropped before 5, and 6 after it"
    );
    assert_eq!(hub.subscribers()[0].dropped, 4);
}

#[tokio::test]
async fn a_gap_needs_no_later_item_to_be_seen() {
    let hub = hub(1, 8);
    let mut subscription = hub.subscribe(everything()).unwrap();
    hub.publish(&detection(0));
    hub.publish(&Item::Gap(Arc::default()));
    let answers = Arc::new(Detection::default());
    hub.publish(&Item::HookRun {
        run: Arc::default(),
        answers,
    });
    let mut shown = Vec::new();
    for _ in 0..3 {
        shown.push(show(&subscription.recv().await.unwrap()));
    }
    assert_eq!(
        shown,
        ["0", "subscriber_full:gap:1", "subscriber_full:hook_run:1"]
    );
}

#[tokio::test]
async fn subscribers_are_independent() {
    let hub = hub(2, 8);
    let mut slow = hub.subscribe(everything()).unwrap();
    let filter = Filter {
        containers: vec!["0123456789ab".into()],
        ..Filter::default()
    };
    let request = Request {
        filter: filter.try_into().unwrap(),
        ..everything()
    };
    let mut picky = hub.subscribe(request).unwrap();
    for id in 0..6 {
        let id_of = if id % 2 == 0 {
            "0123456789abcdef"
        } else {
            "ffffffffffffffff"
        };
        let container = Some(Container {
            id: id_of.into(),
            ..Container::default()
        });
        let answers = Arc::new(Detection {
            id: id.to_string(),
            container,
            priority: Priority::Notice.into(),
            ..Detection::default()
        });
        hub.publish(&Item::Detection(Arc::clone(&answers)));
        if id == 2 {
            let run = HookRun {
                id: "answer".into(),
                ..HookRun::default()
            };
            assert_eq!(show(&picky.recv().await.unwrap()), "0");
            hub.publish(&Item::HookRun {
                run: Arc::new(run),
                answers,
            });
            assert_eq!(show(&picky.recv().await.unwrap()), "2");
        }
    }
    hub.close();
    assert_eq!(drain(&mut picky).await, ["run:answer", "4"]);
    assert_eq!(
        drain(&mut slow).await,
        [
            "0",
            "1",
            "subscriber_full:detection:4",
            "subscriber_full:hook_run:1"
        ]
    );
}

#[test]
fn places_are_limited_and_freed() {
    let hub = hub(1, 2);
    let first = hub.subscribe(everything()).unwrap();
    let _second = hub.subscribe(everything()).unwrap();
    assert_eq!(hub.subscribe(everything()).unwrap_err(), SubscribeError::Full(2));
    drop(first);
    let _third = hub.subscribe(everything()).unwrap();
    hub.close();
    assert_eq!(hub.subscribe(everything()).unwrap_err(), SubscribeError::Closed);
}

#[test]
fn a_thread_can_read_too_and_order_and_count_hold_under_load() {
    const ITEMS: usize = 20_000;
    let hub = hub(64, 2);
    let mut subscription = hub.subscribe(everything()).unwrap();
    let reader = std::thread::spawn(move || {
        let (mut items, mut seen, mut last, mut missed) = (VecDeque::new(), 0, None, 0);
        while subscription.recv_blocking(&mut items, NonZeroUsize::new(16).unwrap()) {
            for item in items.drain(..) {
                match item {
                    Item::Detection(detection) => {
                        let id: usize = detection.id.parse().unwrap();
                        let expected = last.map_or(0, |last: usize| last + 1) + std::mem::take(&mut missed);
                        assert_eq!(id, expected, "the gap before it has its exact size");
                        last = Some(id);
                        seen += 1;
                    }
                    Item::Gap(gap) => missed += usize::try_from(gap.count).unwrap(),
                    Item::HookRun { .. } | Item::RulesReload(_) => unreachable!("none was published"),
                }
            }
        }
        (seen, last.map_or(0, |last| last + 1) + missed)
    });
    for id in 0..ITEMS {
        hub.publish(&detection(id));
    }
    let dropped = usize::try_from(hub.subscribers()[0].dropped).unwrap();
    hub.close();
    let (seen, accounted) = reader.join().unwrap();
    assert_eq!(accounted, ITEMS);
    assert_eq!(seen + dropped, ITEMS);
}

#[tokio::test]
async fn a_waiting_task_is_woken() {
    let hub = hub(4, 2);
    let mut subscription = hub.subscribe(everything()).unwrap();
    let waiting = tokio::spawn(async move { subscription.recv().await.map(|item| show(&item)) });
    tokio::task::yield_now().await;
    hub.publish(&detection(1));
    let received = tokio::time::timeout(Duration::from_secs(10), waiting)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(received.as_deref(), Some("1"));
}
