//! Falco's own cases for conditions.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test fails by panicking and prints its figures"
)]

#[path = "support/cases.rs"]
mod cases;
#[path = "support/table_event.rs"]
mod table_event;

use sensor_rules::check::{Checked, check};
use sensor_rules::compile::Program;
use sensor_rules::engine::{Rule, RuleMatching, RuleSetBuilder, Scratch};
use sensor_rules::error::{ConditionError, WarningKind};
use sensor_rules::field::{Argument, Catalogue, Field, FieldFlag, FieldFlags, FieldInfo, FieldType};
use sensor_rules::format::Output;
use sensor_rules::parse::{ParseOptions, parse_condition};
use sensor_rules::priority::Priority;
use serde_json::Value;
use table_event::{Owned, TableEvent};

const fn field(name: &'static str, value_type: FieldType) -> FieldInfo {
    let (flags, argument) = (FieldFlags::NONE, Argument::None);
    FieldInfo {
        name,
        value_type,
        flags,
        argument,
        description: "a field of Falco's test doubles",
    }
}

/// The fields of Falco's test doubles.
static MOCK_FIELDS: [FieldInfo; 8] = [
    field("c.true", FieldType::Text),
    field("c.false", FieldType::Text),
    field("c.singlequote", FieldType::Text),
    field("c.doublequote", FieldType::Text),
    field("c.buffer", FieldType::Bytes),
    field("sample.is_open", FieldType::Uint64),
    field("sample.proc_name", FieldType::Text),
    field("sample.tick", FieldType::Text),
];

fn catalogue() -> Catalogue {
    MOCK_FIELDS.iter().fold(Catalogue::new(), Catalogue::with)
}

fn compiled(filter: &str) -> Result<Checked, Vec<ConditionError>> {
    let expr = parse_condition(filter, &ParseOptions::default()).map_err(|error| vec![error])?;
    check(&expr, &catalogue())
}

fn text<'a>(case: &'a Value, key: &str) -> &'a str {
    case[key]
        .as_str()
        .unwrap_or_else(|| panic!("{key} is missing in {case}"))
}

/// The texts of a parse case: as written, repeated, and with other white space.
fn variants(case: &Value) -> Vec<String> {
    if let Some(repeat) = case.get("filter_repeat") {
        let times = usize::try_from(repeat[1].as_u64().unwrap()).unwrap();
        return vec![repeat[0].as_str().unwrap().repeat(times)];
    }
    let filter = text(case, "filter");
    let mut texts = vec![filter.to_owned()];
    if case.get("ws_variants").is_some() {
        for blank in ["\t", "\n", "\r", "\r\n", "  ", " \t\n\r "] {
            texts.push(filter.replace(' ', blank));
        }
        texts.push(format!(" \t{filter}\n "));
    }
    texts
}

#[test]
fn parse() {
    let Some(data) = cases::read("filter_parse.json") else {
        return;
    };
    let (mut total, mut wrong) = (0, Vec::new());
    for case in data.as_array().unwrap() {
        for text in variants(case) {
            total += 1;
            let parsed = parse_condition(&text, &ParseOptions::default());
            let expected = case["ok"].as_bool().unwrap();
            let message = case.get("message").and_then(Value::as_str);
            let shown: String = text.chars().take(120).collect();
            match parsed {
                Ok(_) if !expected => wrong.push(format!("{shown:?} parses")),
                Err(error) if expected => wrong.push(format!("{shown:?}: {error}")),
                Err(error) if message.is_some_and(|message| !error.message.contains(message)) => {
                    wrong.push(format!("{shown:?}: {error}, not {message:?}"));
                }
                Ok(expr) => {
                    let printed = expr.to_string();
                    let again = parse_condition(&printed, &ParseOptions::RULE).map(|expr| expr.to_string());
                    if again.as_deref() != Ok(&printed) {
                        wrong.push(format!(
                            "{shown:?} prints as {printed:?}, which parses to {again:?}"
                        ));
                    }
                }
                Err(_) => {}
            }
        }
    }
    cases::conclude("filter_parse", total, &wrong);
}

#[test]
fn compile() {
    let Some(data) = cases::read("filter_compile.json") else {
        return;
    };
    let mut wrong = Vec::new();
    for case in data.as_array().unwrap() {
        let filter = text(case, "filter");
        let expected = case["ok"].as_bool().unwrap();
        match compiled(filter) {
            Ok(_) if !expected => wrong.push(format!("{filter} compiles")),
            Err(errors) if expected => wrong.push(format!("{filter}: {errors:?}")),
            Ok(checked) => {
                let advice = |kind: &WarningKind| !matches!(kind, WarningKind::DeprecatedField(_));
                let found = checked
                    .warnings
                    .iter()
                    .filter(|warning| advice(&warning.kind))
                    .count();
                let wanted = case.get("warnings").and_then(Value::as_u64);
                if wanted.is_some_and(|wanted| wanted != found as u64) {
                    wrong.push(format!(
                        "{filter}: {wanted:?} warnings wanted, {:?}",
                        checked.warnings
                    ));
                }
            }
            Err(_) => {}
        }
    }
    cases::conclude("filter_compile", data.as_array().unwrap().len(), &wrong);
}

#[test]
fn catalogue_is_falcos() {
    let Some(data) = cases::read("field_catalogue.json") else {
        return;
    };
    let catalogue = Catalogue::new();
    let mut wrong = Vec::new();
    for case in data.as_array().unwrap() {
        let name = text(case, "name");
        let found = catalogue.field(name).map(|field| field.info().value_type.name());
        if found != case["type"].as_str() {
            wrong.push(format!("{name}: {} wanted, {found:?}", case["type"]));
        }
    }
    let ours = Field::ALL
        .iter()
        .filter(|field| field.info().flags.has(FieldFlag::Own));
    let total = data.as_array().unwrap().len();
    assert_eq!(
        Field::ALL.len() - ours.count(),
        total,
        "fields that are not marked as ours"
    );
    cases::conclude("field_catalogue", total, &wrong);
}

#[test]
fn event_table_is_falcos() {
    let Some(data) = cases::read("event_table.json") else {
        return;
    };
    let catalogue = Catalogue::new();
    let mut wrong = Vec::new();
    for case in data.as_array().unwrap() {
        let name = text(case, "name");
        if name != "NA" && sensor_rules::field::EventType::from_name(name).is_none() {
            wrong.push(format!("event {name}"));
        }
        for parameter in case["params"].as_array().unwrap() {
            let field = format!("evt.arg.{}", parameter[0].as_str().unwrap());
            if catalogue.resolve(&field, None).is_err() {
                wrong.push(field);
            }
        }
    }
    cases::conclude("event_table", data.as_array().unwrap().len(), &wrong);
}

/// Whether the condition holds, asked of one compiled condition and of a rule set; they must agree.
fn holds(filter: &str, event: &TableEvent) -> Result<bool, String> {
    let checked = compiled(filter).map_err(|errors| format!("{errors:?}"))?;
    let mut scratch = Scratch::new();
    let alone = Program::new(&checked).matches(event, &mut scratch);
    let mut builder = RuleSetBuilder::new(catalogue(), RuleMatching::All);
    let rule = Rule {
        name: "rule".into(),
        condition: parse_condition(filter, &ParseOptions::default()).unwrap(),
        output: Output::parse("", &catalogue()).unwrap(),
        extra_fields: Vec::new(),
        priority: Priority::Debug,
        tags: Vec::new(),
        source: "syscall".into(),
        description: String::new(),
    };
    builder.add(rule).unwrap();
    let mut matches = 0;
    builder.build().evaluate(event, &mut scratch, |_| matches += 1);
    if alone == (matches == 1) {
        Ok(alone)
    } else {
        Err(format!("alone {alone}, as a rule {matches} matches"))
    }
}

#[test]
fn boolean_algebra() {
    let Some(data) = cases::read("filter_bool.json") else {
        return;
    };
    let event = TableEvent::new("open")
        .with_text("c.true", "1")
        .with_text("c.false", "0")
        .with_text("c.singlequote", "hello 'quoted'")
        .with_text("c.doublequote", "hello \"quoted\"");
    let mut wrong = Vec::new();
    for case in data.as_array().unwrap() {
        let (filter, expected) = (text(case, "filter"), case["expect"].as_bool().unwrap());
        let found = holds(filter, &event);
        if found != Ok(expected) {
            wrong.push(format!("{filter}: {found:?}, not {expected}"));
        }
    }
    cases::conclude("filter_bool", data.as_array().unwrap().len(), &wrong);
}

/// Text of a fixture: each character is one byte.
fn bytes(value: &Value) -> Vec<u8> {
    value
        .as_str()
        .unwrap()
        .chars()
        .map(|byte| u8::try_from(u32::from(byte)).unwrap())
        .collect()
}

fn owned(kind: &str, value: &Value) -> Owned {
    match kind {
        "str" => Owned::Text(bytes(value)),
        "bytes" => Owned::Bytes(bytes(value)),
        "int" => Owned::Int(value.as_i64().unwrap()),
        "uint" => Owned::Uint(value.as_u64().unwrap()),
        "ip" => Owned::Ip(value.as_str().unwrap().parse().unwrap()),
        "list" | "anc" => Owned::List(
            value
                .as_array()
                .unwrap()
                .iter()
                .map(|item| owned("str", item))
                .collect(),
        ),
        other => panic!("unknown type {other} of a fixture"),
    }
}

fn fixture(data: &Value) -> TableEvent {
    let fields = data["fields"].as_object().unwrap();
    let mut event = TableEvent::new(
        fields
            .get("evt.type")
            .map_or("read", |value| value[1].as_str().unwrap()),
    );
    for (name, value) in fields {
        let kind = value[0].as_str().unwrap();
        // Fields of both ends of a socket are asked for as the two ends, which the fixtures name too.
        if value[1].is_null() || matches!(kind, "ipany" | "netany") {
            continue;
        }
        match owned(kind, &value[1]) {
            Owned::List(items) if kind == "anc" => {
                event.ancestors.insert(name.clone(), items);
            }
            value => {
                event.values.insert(name.clone(), value);
            }
        }
    }
    event
}

#[test]
fn evaluation() {
    let Some(data) = cases::read("filter_eval.json") else {
        return;
    };
    let cases = data["cases"].as_array().unwrap();
    let mut wrong = Vec::new();
    for case in cases {
        let event = fixture(&data["fixtures"][text(case, "fixture")]);
        let filter = text(case, "filter");
        let found = holds(filter, &event);
        let is_right = match case["expect"].as_bool() {
            Some(expected) => found == Ok(expected),
            None => found.is_err(),
        };
        if !is_right {
            wrong.push(format!(
                "{} {filter}: {found:?}, not {}",
                case["fixture"], case["expect"]
            ));
        }
    }
    cases::conclude("filter_eval", cases.len(), &wrong);
}
