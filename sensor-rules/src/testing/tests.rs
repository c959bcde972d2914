use std::fmt::Write;

use super::*;
use crate::engine::RuleMatching;
use crate::event::Event;
use crate::explain::Part;
use crate::field::{Field, FieldRef};
use crate::load::{LoadOptions, Loader};

const RULES: &str = "
- rule: Outer
  desc: d
  condition: evt.type = connect and fd.ip = 1.2.3.4 and (proc.aname = sshd or proc.tty > 0)
  output: o
  priority: INFO
- rule: Inner
  desc: d
  condition: evt.type = connect and fd.sport = 22
  output: o
  priority: INFO
";

const TESTS: &str = "
- rule: Outer
  event: {evt.type: connect, fd.sip: 1.2.3.4, proc.name: x, fd.sport: 80}
  ancestors: [{proc.name: sh}, {proc.name: sshd}]
  cases:
    - name: by an ancestor
      expect: [Outer]
    - name: the client's end
      change: {fd.sip: 5.6.7.8, fd.cip: 1.2.3.4}
      expect: [Outer]
    - name: no ancestor
      ancestors: []
      expect: []
    - name: both
      change: {fd.sport: 22}
      expect: [Outer, Inner]
    - name: no address
      change: {fd.sip: null}
      expect: []
";

fn rules() -> RuleSet {
    let mut loader = Loader::new(LoadOptions {
        rule_matching: RuleMatching::All,
        ..LoadOptions::default()
    });
    let result = loader.add_file("rules.yaml", RULES.as_bytes());
    assert!(result.is_ok(), "{:?}", result.errors);
    loader.finish().rule_set.unwrap()
}

fn parse(text: &str) -> Result<TestFile, TestFileError> {
    TestFile::parse("x.test.yaml", text.as_bytes(), &Catalogue::new())
}

#[test]
fn cases_pass_and_cover() {
    let report = run(&[parse(TESTS).unwrap()], &rules(), &Catalogue::new()).unwrap();
    let failures: Vec<_> = report.failures().map(ToString::to_string).collect();
    assert!(failures.is_empty(), "{failures:?}");
    let [outer, inner] = &report.coverage[..] else {
        panic!("two rules")
    };
    assert_eq!((outer.positives, outer.near_misses), (3, 2));
    assert_eq!((inner.positives, inner.near_misses), (0, 0));
    let texts = |parts: Vec<&Part>| parts.iter().map(|part| part.text.clone()).collect::<Vec<_>>();
    assert_eq!(texts(outer.never_true().collect()), ["proc.tty > 0"]);
    assert_eq!(texts(outer.never_false().collect()), ["evt.type = connect"]);
    assert_eq!(texts(outer.never_deciding().collect()), ["evt.type = connect"]);
    let conjuncts: Vec<_> = outer.parts().iter().filter(|part| part.is_conjunct).collect();
    assert_eq!(texts(conjuncts), ["evt.type = connect", "fd.ip = 1.2.3.4", "or"]);
}

#[test]
fn a_wrong_expectation_fails_and_says_how() {
    let text = TESTS.replace("expect: [Outer, Inner]", "expect: [Other]");
    let report = run(&[parse(&text).unwrap()], &rules(), &Catalogue::new()).unwrap();
    assert!(!report.passed());
    let failures: Vec<_> = report.failures().map(ToString::to_string).collect();
    assert_eq!(
        failures,
        [concat!(
            "x.test.yaml:14: Outer: both: FAILED\n  expected, but did not match: [\"Other\"]\n",
            "  matched, but was not expected: [\"Outer\", \"Inner\"]"
        )]
    );
}

#[test]
fn a_case_of_no_rule_fails() {
    let text = "- {rule: Gone, event: {evt.type: open}, cases: [{name: n, expect: []}]}";
    let report = run(&[parse(text).unwrap()], &rules(), &Catalogue::new()).unwrap();
    assert_eq!(report.failures().count(), 1);
}

#[test]
fn faults_have_their_place() {
    for (text, expected) in [
        (
            TESTS.replace("fd.sport: 22", "fd.sport: ssh"),
            "x.test.yaml:15:26: `ssh` is no value for `fd.sport`, which is of type PORT",
        ),
        (
            TESTS.replace("fd.sport: 22", "fd.sprot: 22"),
            "x.test.yaml:15:26: filter_check called with nonexistent field fd.sprot",
        ),
        (
            TESTS.replace("fd.sport: 22", "fd.ip: 1.1.1.1"),
            "x.test.yaml:15:23: `fd.ip` stands for several fields; give those instead: that of the client and that of the server",
        ),
        (
            TESTS.replace("fd.sport: 22", "fd.snet: 1.1.1.1"),
            "x.test.yaml:15:25: `fd.snet` stands for several fields; give those instead: fd.sip",
        ),
        (
            TESTS.replace("evt.type: connect", "evt.type: conect"),
            "x.test.yaml:3:21: no event is of type `conect`",
        ),
        (
            "- {rule: R, cases: [{name: n, expect: []}]}".to_owned(),
            "x.test.yaml:1:28: the event has no `evt.type`",
        ),
    ] {
        assert_eq!(parse(&text).unwrap_err().to_string(), expected);
    }
    let unknown = parse(&TESTS.replace("change: {fd.sport: 22}", "chnge: {}")).unwrap_err();
    assert_eq!(
        (unknown.line, unknown.message.contains("chnge")),
        (15, true),
        "{unknown}"
    );
}

#[test]
fn hostile_files_are_errors() {
    let mut bomb = "- &a0 [x]\n".to_owned();
    for level in 1..40 {
        let below = level - 1;
        writeln!(bomb, "- &a{level} [*a{below}, *a{below}]").unwrap();
    }
    let deep = "[".repeat(100_000);
    for text in [
        "\0",
        "x",
        "- x",
        "rule: x",
        &bomb,
        &deep,
        "- {rule: R, cases: [], cases: []}",
    ] {
        let shown: String = text.chars().take(20).collect();
        assert!(parse(text).is_err(), "{shown:?}");
    }
    assert!(TestFile::parse("x", b"\xff", &Catalogue::new()).is_err());
}

#[test]
fn values_follow_from_others() {
    let text = "- {rule: R, event: {evt.type: connect, proc.pname: sh, proc.name: '7', fd.rip: '::1'}, cases: [{name: n, expect: []}]}";
    let event = parse(text).unwrap().cases.remove(0).event;
    let show = |field: FieldRef| {
        event
            .value(&field, &mut Vec::new())
            .map(|value| format!("{value:?}"))
    };
    assert_eq!(event.ancestor_count(), 1);
    assert_eq!(
        show(FieldRef::indexed(Field::ProcAname, 1)),
        show(FieldRef::plain(Field::ProcPname))
    );
    assert_eq!(
        show(FieldRef::indexed(Field::ProcAname, 0)),
        show(FieldRef::plain(Field::ProcName))
    );
    assert_eq!(show(FieldRef::plain(Field::FdSip)), Some("Ip(::1)".to_owned()));
    assert_eq!(show(FieldRef::indexed(Field::ProcAname, 2)), None);
}

#[test]
fn an_event_stands_alone_in_yaml_and_in_json() {
    let catalogue = Catalogue::new();
    let yaml =
        "event: {evt.type: connect, fd.sport: 22}\nancestors: [{proc.name: sh}]\nincomplete: [fd.name]\n";
    let json = r#"{"event": {"evt.type": "connect", "fd.sport": 22}, "ancestors": [{"proc.name": "sh"}], "incomplete": ["fd.name"]}"#;
    for text in [yaml, json] {
        let event = parse_event("e", text.as_bytes(), &catalogue).unwrap();
        let port = FieldRef::plain(Field::FdSport);
        assert_eq!(
            format!("{:?}", event.value(&port, &mut Vec::new())),
            "Some(Uint(22))"
        );
        assert_eq!(event.ancestor_count(), 1);
        assert!(event.is_incomplete(&FieldRef::plain(Field::FdName)));
    }
    let error = parse_event("e.yaml", b"event: {evt.type: connect, fd.sport: x}", &catalogue).unwrap_err();
    assert_eq!(
        error.to_string(),
        "e.yaml:1:38: `x` is no value for `fd.sport`, which is of type PORT"
    );
    assert!(parse_event("e.yaml", b"evnt: {}", &catalogue).is_err());
}
