use super::{feed, *};

fn container(id: &str, name: &str) -> Fact {
    Fact::Container(Arc::new(ContainerFacts {
        id: id.into(),
        name: Some(name.into()),
        progress: Progress::Done,
        ..ContainerFacts::default()
    }))
}

fn pod(uid: &str) -> Fact {
    Fact::Pod(Arc::new(PodFacts {
        uid: uid.into(),
        ..PodFacts::default()
    }))
}

#[test]
fn facts_are_kept_of_what_was_asked_for() {
    let mut workloads = Workloads::new(2);
    workloads.take(container("a", "unasked"));
    assert!(workloads.container("a").is_none());
    assert!(workloads.want("a") && !workloads.want("a"));
    assert_eq!(workloads.container("a").unwrap().progress, Progress::Asked);
    workloads.take(container("a", "web"));
    assert_eq!(workloads.container("a").unwrap().name.as_deref(), Some("web"));
    workloads.want("b");
    workloads.give_up("b");
    assert_eq!(workloads.container("b").unwrap().progress, Progress::Done);
}

#[test]
fn full_tables_refuse_and_count() {
    let mut workloads = Workloads::new(2);
    for id in ["a", "b", "c"] {
        workloads.want(id);
        workloads.take(pod(id));
    }
    assert_eq!(workloads.len(), (2, 2));
    assert_eq!(workloads.refused, 2);
    workloads.take(Fact::PodGone("a".into()));
    workloads.retain(|id| id != "a");
    assert_eq!(workloads.len(), (1, 1));
    assert!(workloads.pod("b").is_some() && workloads.pod("a").is_none());
}

#[test]
fn a_full_channel_hands_the_fact_back() {
    let (sender, receiver) = feed::channel();
    for _ in 0..feed::FACTS_WAITING_MAX {
        sender.offer(pod("a")).unwrap();
    }
    assert!(matches!(*sender.offer(pod("b")).unwrap_err(), Fact::Pod(_)));
    assert_eq!(sender.refused(), 1);
    assert!(receiver.next().is_some());
    sender.offer(pod("b")).unwrap();
}
