//! Falco's own cases for conditions.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a test fails by panicking and prints its figures")]

#[path = "support/cases.rs"]
mod cases;

use sensor_rules::parse::{ParseOptions, parse_condition};
use serde_json::Value;

fn text<'a>(case: &'a Value, key: &str) -> &'a str {
    case[key].as_str().unwrap_or_else(|| panic!("{key} is missing in {case}"))
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
    let Some(data) = cases::read("filter_parse.json") else { return };
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
                        wrong.push(format!("{shown:?} prints as {printed:?}, which parses to {again:?}"));
                    }
                }
                Err(_) => {}
            }
        }
    }
    cases::conclude("filter_parse", total, &wrong);
}
