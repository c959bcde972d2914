//! What subscribers get.

use sensor_proto::v1::{Filter, Priority};
use tonic::Code;

use crate::setup::{DEADLINE, Setup};

#[tokio::test]
async fn each_subscriber_gets_what_its_filter_lets_through() {
    let setup = Setup::new(64).await;
    let texts = |entry: &str| vec![entry.to_owned()];
    let table = [
        (Filter::default(), vec!["0", "1", "2", "3", "4", "5", "6"]),
        (
            Filter {
                rules: texts("Rule 1*"),
                ..Filter::default()
            },
            vec!["1"],
        ),
        (
            Filter {
                min_priority: Priority::Warning.into(),
                ..Filter::default()
            },
            vec!["0", "2", "4", "6"],
        ),
        (
            Filter {
                tags: texts("high"),
                ..Filter::default()
            },
            vec!["5", "6"],
        ),
        (
            Filter {
                containers: texts("0123456789ab"),
                ..Filter::default()
            },
            vec!["0", "3", "6"],
        ),
        (
            Filter {
                containers: texts("host"),
                tags: texts("low"),
                ..Filter::default()
            },
            vec!["1", "2", "4"],
        ),
    ];
    let mut streams = Vec::new();
    for (filter, expected) in table {
        streams.push((setup.subscribe(filter.clone()).await.unwrap(), filter, expected));
    }
    setup.wait_for_subscribers(streams.len()).await;
    for number in 0..7 {
        setup.publish(number);
    }
    let ending = tokio::spawn(setup.server.shutdown(DEADLINE));
    for (mut stream, filter, expected) in streams {
        assert_eq!(stream.rest().await, expected, "{filter:?}");
    }
    assert!(ending.await.unwrap());
}

#[tokio::test]
async fn a_slow_subscriber_learns_exactly_what_it_missed_and_others_miss_nothing() {
    const ITEMS: usize = 20_000;
    let setup = Setup::new(128).await;
    let mut slow = setup.subscribe(Filter::default()).await.unwrap();
    let mut quick = setup
        .subscribe(Filter {
            rules: vec!["Rule *00".into()],
            ..Filter::default()
        })
        .await
        .unwrap();
    setup.wait_for_subscribers(2).await;
    let reader = tokio::spawn(async move { quick.rest().await });
    for number in 0..ITEMS {
        setup.publish(number);
        if number % 1000 == 0 {
            // Lets the quick one's tasks run; the slow one reads nothing at all until the end.
            tokio::task::yield_now().await;
        }
    }
    let dropped: u64 = setup
        .hub
        .subscribers()
        .iter()
        .map(|subscriber| subscriber.dropped)
        .sum();
    let ending = tokio::spawn(setup.server.shutdown(DEADLINE));

    let (mut expected, mut missed) = (0, 0);
    for item in slow.rest().await {
        if let Some(count) = item.strip_prefix("subscriber_full:detection:") {
            let count: usize = count.parse().unwrap();
            expected += count;
            missed += count;
        } else {
            assert_eq!(
                item.parse::<usize>().unwrap(),
                expected,
                "each gap is where the items are missing"
            );
            expected += 1;
        }
    }
    assert_eq!(expected, ITEMS);
    assert!(missed > 0, "the subscriber was slow");
    assert_eq!(missed as u64, dropped);
    assert_eq!(
        reader.await.unwrap().len(),
        ITEMS / 100 - 1,
        "100, 200, ... 19900"
    );
    assert!(ending.await.unwrap());
}

#[tokio::test]
async fn a_wrong_filter_is_refused_with_the_field_and_the_way_out() {
    let setup = Setup::new(64).await;
    let table = [
        (
            Filter {
                containers: vec!["0123".into()],
                ..Filter::default()
            },
            "filter.containers[0] `0123` is too short",
        ),
        (
            Filter {
                min_priority: 99,
                ..Filter::default()
            },
            "filter.min_priority is 99",
        ),
        (
            Filter {
                rules: vec!["x".into(); 257],
                ..Filter::default()
            },
            "at most 256",
        ),
    ];
    for (filter, expected) in table {
        let status = setup.subscribe(filter).await.err().unwrap();
        assert_eq!(status.code(), Code::InvalidArgument);
        assert!(status.message().contains(expected), "{}", status.message());
    }
    assert_eq!(setup.hub.subscribers().len(), 0);
}

#[tokio::test]
async fn a_client_that_leaves_frees_its_place() {
    let setup = Setup::with(64, 2, |_, _| {}).await.unwrap();
    let first = setup.subscribe(Filter::default()).await.unwrap();
    let _second = setup.subscribe(Filter::default()).await.unwrap();
    let status = setup.subscribe(Filter::default()).await.err().unwrap();
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert!(
        status.message().contains("grpc.subscribers_max"),
        "{}",
        status.message()
    );
    drop(first);
    setup.wait_for_subscribers(1).await;
    let _third = setup.subscribe(Filter::default()).await.unwrap();
}
