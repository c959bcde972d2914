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
    assert!(matches!(
        *sender.offer(pod("b")).unwrap_err().unwrap(),
        Fact::Pod(_)
    ));
    assert_eq!(sender.refused(), 1);
    assert!(receiver.next().is_some());
    sender.offer(pod("b")).unwrap();
}

/// What a socket tells comes on top of what files tell, whichever is newer, and is not lost when files change.
#[test]
fn sockets_fill_what_files_leave_open() {
    let mut workloads = Workloads::new(2);
    workloads.want("a");
    workloads.take(container("a", "web"));
    let told = |label: &str| {
        Fact::Told(Arc::new(ContainerFacts {
            id: "a".into(),
            name: Some("as the socket has it".into()),
            labels: [(label.into(), "yes".into())].into(),
            ..ContainerFacts::default()
        }))
    };
    workloads.take(Fact::Missing("a".into(), Some("slow")));
    assert_eq!(workloads.container("a").unwrap().missing, Some("slow"));
    workloads.take(told("first"));
    workloads.take(container("a", "shop"));
    let facts = workloads.container("a").unwrap();
    assert_eq!((facts.name.as_deref(), facts.missing), (Some("shop"), None));
    assert!(facts.labels.contains_key("first"));
    workloads.take(Fact::Told(Arc::new(ContainerFacts {
        id: "nobody asked".into(),
        ..ContainerFacts::default()
    })));
    assert!(workloads.container("nobody asked").is_none());
}
