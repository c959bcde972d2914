//! Rule sets: matching, specialisation, the index, exceptions.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/table_event.rs"]
mod table_event;

use std::sync::Arc;

use sensor_rules::ast::{Exception, Expr, MacroRef, Span};
use sensor_rules::check::check;
use sensor_rules::engine::{Rule, RuleMatching, RuleSet, RuleSetBuilder, Scratch};
use sensor_rules::error::{ErrorKind, WarningKind};
use sensor_rules::field::{Catalogue, EventType, EventTypeSet, Field, FieldRef};
use sensor_rules::format::Output;
use sensor_rules::parse::{ParseOptions, parse_condition};
use sensor_rules::priority::Priority;
use table_event::{Owned, TableEvent};

fn parsed(text: &str) -> Expr {
    parse_condition(text, &ParseOptions::RULE).unwrap()
}

fn rule(name: &str, condition: Expr) -> Rule {
    Rule {
        name: name.into(),
        condition,
        output: Output::parse("%proc.pname", &Catalogue::new()).unwrap(),
        extra_fields: Vec::new(),
        priority: Priority::Notice,
        tags: Vec::new(),
        source: "syscall".into(),
        description: String::new(),
    }
}

fn rule_set(conditions: impl IntoIterator<Item = Expr>, matching: RuleMatching) -> RuleSet {
    let mut builder = RuleSetBuilder::new(Catalogue::new(), matching);
    for (position, condition) in conditions.into_iter().enumerate() {
        builder.add(rule(&position.to_string(), condition)).unwrap();
    }
    builder.build()
}

fn matches(rules: &RuleSet, event: &TableEvent) -> Vec<u32> {
    let mut ids = Vec::new();
    rules.evaluate(event, &mut Scratch::new(), |id| ids.push(id.0));
    ids
}

fn types(names: &[&str]) -> EventTypeSet {
    names
        .iter()
        .map(|name| EventType::from_name(name).unwrap())
        .collect()
}

#[test]
fn first_and_all_follow_the_order_of_definition() {
    let conditions = [
        "proc.name=b",
        "evt.type=open",
        "proc.name=a",
        "evt.type in (open, close)",
    ];
    let event = TableEvent::new("open").with_text("proc.name", "a");
    let set = |matching| rule_set(conditions.map(parsed), matching);
    assert_eq!(matches(&set(RuleMatching::All), &event), [1, 2, 3]);
    assert_eq!(matches(&set(RuleMatching::First), &event), [1]);
}

#[test]
fn event_types_follow_from_conditions() {
    let all = EventTypeSet::all();
    let open = types(&["open"]);
    let cases = [
        ("evt.type=open", open),
        ("evt.type!=open", open.complement()),
        ("not evt.type=open", open.complement()),
        ("evt.type in (open, close)", types(&["open", "close"])),
        ("evt.type=open and proc.name=a", open),
        ("evt.type=open or proc.name=a", all),
        ("not (evt.type=open and proc.name=a)", all),
        ("not (evt.type=open or proc.name=a)", open.complement()),
        ("evt.type=open and evt.type=close", EventTypeSet::EMPTY),
        ("evt.type in ()", EventTypeSet::EMPTY),
        ("evt.type.is.open=1", open),
        ("evt.type startswith unlink", types(&["unlink", "unlinkat"])),
        ("evt.type = oneof (open, close)", types(&["open", "close"])),
        ("evt.num=0", EventTypeSet::EMPTY),
        ("evt.num>=0", all),
        ("evt.num<1 or evt.type=open", open),
        ("evt.type=open and evt.num=5", open),
        ("evt.dir=< and evt.type=open", open),
    ];
    for (condition, expected) in cases {
        let checked = check(&parsed(condition), &Catalogue::new()).unwrap();
        assert_eq!(checked.event_types, expected, "{condition}");
    }
    let wide = |condition| {
        check(&parsed(condition), &Catalogue::new())
            .unwrap()
            .is_too_wide()
    };
    assert!(wide("proc.name=a") && wide("evt.type!=open") && !wide("evt.type in (open, openat, execve)"));
}

#[test]
fn a_rule_set_knows_its_types_and_fields() {
    let set = rule_set(
        [
            "evt.type=open and fd.net=10.0.0.0/8",
            "evt.type=close and proc.aname=a",
        ]
        .map(parsed),
        RuleMatching::All,
    );
    assert_eq!(set.event_types(), types(&["open", "close"]));
    let plain = FieldRef::plain;
    let expected = [
        Field::EvtType,
        Field::FdCip,
        Field::FdSip,
        Field::ProcAname,
        Field::ProcPname,
    ]
    .map(plain);
    assert_eq!(set.fields(), expected);
}

/// Rules of many shapes, so that every kind of look-up has some.
fn many(count: usize) -> Vec<String> {
    (0..count)
        .map(|n| match n % 6 {
            0 => format!("evt.type=open and proc.name=name{n} and fd.num>0"),
            1 => format!("evt.type=open and (fd.name startswith /dir{n}/ or proc.name in (x, name{n}))"),
            2 => format!("proc.cmdline contains part{n} and evt.type in (open, close)"),
            3 => format!("evt.type=open and not proc.name=name0 and fd.name endswith .end{n}"),
            4 => format!(
                "evt.type=open and proc.name=name{} and fd.name contains /dir",
                n % 12
            ),
            _ => format!("evt.type=open and fd.num={n}"),
        })
        .collect()
}

#[test]
fn the_index_finds_what_one_rule_at_a_time_finds() {
    let conditions = many(600);
    let set = rule_set(
        conditions.iter().map(|condition| parsed(condition)),
        RuleMatching::All,
    );
    let singles: Vec<_> = conditions
        .iter()
        .map(|condition| rule_set([parsed(condition)], RuleMatching::All))
        .collect();
    let base = || TableEvent::new("open").with("fd.num", Owned::Int(5));
    let events = [
        base()
            .with_text("proc.name", "name6")
            .with_text("fd.name", "/dir7/x"),
        base()
            .with_text("proc.name", "x")
            .with_text("fd.name", "/dir1/file.end9"),
        base()
            .with_text("proc.cmdline", "a part8 part80 part602")
            .with_text("fd.name", "/dir13/.end3"),
        base(),
        TableEvent::new("close").with_text("proc.cmdline", "part14"),
        TableEvent::new("execve").with_text("proc.name", "name6"),
    ];
    for event in &events {
        let expected: Vec<_> = (0..600)
            .filter(|n| !matches(&singles[*n as usize], event).is_empty())
            .collect();
        assert_eq!(matches(&set, event), expected, "{event:?}");
    }
    assert!(
        events[..5].iter().all(|event| !matches(&set, event).is_empty()),
        "each event finds something"
    );
}

#[test]
fn an_exception_does_not_hold_where_a_value_is_incomplete() {
    let exception = |body: &str| {
        let exception = Exception {
            name: "known".into(),
            body: Box::new(parsed(body)),
            allows_incomplete: false,
        };
        Expr::Not(Box::new(Expr::Exception(exception)))
    };
    let condition = Expr::And(vec![
        parsed("evt.type=open"),
        exception("proc.name=a and fd.name startswith /tmp"),
        exception("proc.name=b"),
    ]);
    let set = rule_set([condition], RuleMatching::All);
    let event = |name: &str, incomplete: &[&str]| {
        let mut event = TableEvent::new("open")
            .with_text("proc.name", name)
            .with_text("fd.name", "/tmp/x");
        event.incomplete = incomplete.iter().map(|&field| field.to_owned()).collect();
        event
    };
    assert!(matches(&set, &event("a", &[])).is_empty());
    assert!(matches(&set, &event("b", &["fd.name"])).is_empty());
    assert_eq!(matches(&set, &event("a", &["fd.name"])), [0]);
    assert_eq!(matches(&set, &event("c", &[])), [0]);
}

#[test]
fn one_scratch_serves_any_number_of_sets() {
    let first = rule_set(
        ["proc.name=a", "proc.name=a or fd.name=b"].map(parsed),
        RuleMatching::All,
    );
    let second = rule_set(["fd.name=a"].map(parsed), RuleMatching::All);
    let event = TableEvent::new("open")
        .with_text("proc.name", "a")
        .with_text("fd.name", "b");
    let mut scratch = Scratch::new();
    for _ in 0..3 {
        let (mut found, mut others) = (0, 0);
        first.evaluate(&event, &mut scratch, |_| found += 1);
        second.evaluate(&event, &mut scratch, |_| others += 1);
        assert_eq!((found, others), (2, 0));
    }
}

fn reference(name: &str, body: Option<Arc<Expr>>) -> Expr {
    Expr::Macro(MacroRef {
        name: name.into(),
        span: Span::default(),
        body,
    })
}

#[test]
fn macros_that_double_do_not_explode() {
    let mut body = Arc::new(parsed("proc.name=a and evt.dir=<"));
    for level in 0..120 {
        let twice = |n| reference(&format!("m{level}_{n}"), Some(Arc::clone(&body)));
        body = Arc::new(Expr::Or(vec![
            Expr::And(vec![twice(0), parsed(&format!("fd.num={level}"))]),
            Expr::And(vec![twice(1), parsed(&format!("fd.num!={level}"))]),
        ]));
    }
    let expr = reference("top", Some(body));
    let checked = check(&expr, &Catalogue::new()).unwrap();
    assert_eq!(checked.warnings.len(), 1, "a deprecated field is reported once");
    let event = TableEvent::new("open")
        .with_text("proc.name", "a")
        .with("fd.num", Owned::Int(7));
    assert_eq!(matches(&rule_set([expr], RuleMatching::All), &event), [0]);
}

#[test]
fn nesting_is_bounded_with_macros_too() {
    let mut expr = parsed("proc.name=a");
    for _ in 0..300 {
        expr = Expr::Not(Box::new(reference(
            "m",
            Some(Arc::new(Expr::Not(Box::new(expr)))),
        )));
    }
    let errors = check(&expr, &Catalogue::new()).unwrap_err();
    assert_eq!(
        errors.iter().map(|error| error.kind).collect::<Vec<_>>(),
        [ErrorKind::Depth]
    );
}

#[test]
fn the_deepest_condition_that_is_taken_is_evaluated() {
    let mut text = String::from("proc.name=a");
    for _ in 0..190 {
        text = format!("fd.num=1 and not (fd.num=2 or {text})");
    }
    let expr = parsed(&text);
    let event = TableEvent::new("open")
        .with_text("proc.name", "a")
        .with("fd.num", Owned::Int(1));
    assert_eq!(matches(&rule_set([expr], RuleMatching::All), &event), [0]);
}

#[test]
fn hostile_nesting_is_refused_not_overflowed() {
    for part in ["(", "not(", "not ", "a and (", "b64(", "join(\"\",("] {
        let error = parse_condition(&part.repeat(100_000), &ParseOptions::RULE).unwrap_err();
        let expected = if part == "not " {
            ErrorKind::Syntax
        } else {
            ErrorKind::Depth
        };
        assert_eq!(error.kind, expected, "{part}");
    }
}

#[test]
fn all_faults_are_reported_at_once_with_their_places() {
    let text = "proc.nmae=a and evt.type=opne and fd.num contains 1 and foo and fd.sip=1.2.3";
    let expr = parsed(text);
    let errors = check(&expr, &Catalogue::new()).unwrap_err();
    let found: Vec<_> = errors
        .iter()
        .map(|error| (error.kind, &text[error.span.start..error.span.end]))
        .collect();
    let expected = [
        (ErrorKind::UnknownField, "proc.nmae"),
        (ErrorKind::UnknownEventType, "opne"),
        (ErrorKind::Operator, "contains"),
        (ErrorKind::UndefinedMacro, "foo"),
        (ErrorKind::Constant, "1.2.3"),
    ];
    assert_eq!(found, expected);
    assert!(
        errors[0].message.contains("did you mean 'proc.name'"),
        "{}",
        errors[0]
    );
    assert!(
        errors[1].message.starts_with("unknown event type opne"),
        "{}",
        errors[1]
    );
    assert_eq!(errors.iter().filter(|error| error.is_unknown_filter()).count(), 2);
}

#[test]
fn findings_inside_macros_name_the_macro() {
    let inner = Arc::new(parsed("evt.dir=< and proc.name=proc.pname"));
    let expr = Expr::And(vec![
        reference("m", Some(Arc::clone(&inner))),
        reference("m", Some(inner)),
    ]);
    let checked = check(&expr, &Catalogue::new()).unwrap();
    let found: Vec<_> = checked
        .warnings
        .iter()
        .map(|w| (w.kind.clone(), w.in_macro.as_deref()))
        .collect();
    let expected = [
        (WarningKind::DeprecatedField("evt.dir"), Some("m")),
        (WarningKind::LooksLikeField, Some("m")),
    ];
    assert_eq!(found, expected);
}
