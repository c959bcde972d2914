//! Laws of the language, over random conditions and events.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/generate.rs"]
mod generate;
#[path = "support/naive.rs"]
mod naive;
#[path = "support/table_event.rs"]
mod table_event;

use std::sync::Arc;

use generate::{condition, condition_with_exception, event};
use proptest::collection::vec;
use proptest::prelude::*;
use sensor_rules::ast::{Call, CallArg, Expr, Literal, MacroRef, Operand, Right, Span};
use sensor_rules::check::check;
use sensor_rules::compile::Program;
use sensor_rules::engine::{Rule, RuleMatching, RuleSet, RuleSetBuilder, Scratch};
use sensor_rules::event::Event;
use sensor_rules::field::Catalogue;
use sensor_rules::format::Output;
use sensor_rules::parse::{ParseOptions, parse_condition};
use sensor_rules::priority::Priority;
use table_event::TableEvent;

fn holds(expr: &Expr, event: &TableEvent) -> bool {
    let checked = check(expr, &Catalogue::new()).unwrap_or_else(|errors| panic!("{expr}: {errors:?}"));
    let holds = Program::new(&checked).matches(event, &mut Scratch::new());
    assert!(
        !holds || checked.event_types.contains(event.event_type()),
        "{expr}: not for {event:?}"
    );
    holds
}

fn rule_set(conditions: &[Expr], matching: RuleMatching) -> RuleSet {
    let mut builder = RuleSetBuilder::new(Catalogue::new(), matching);
    for (position, condition) in conditions.iter().enumerate() {
        let rule = Rule {
            name: position.to_string().into(),
            condition: condition.clone(),
            output: Output::default(),
            extra_fields: Vec::new(),
            priority: Priority::Debug,
            tags: Vec::new(),
            source: "syscall".into(),
            description: String::new(),
        };
        builder.add(rule).unwrap();
    }
    builder.build()
}

fn matches(rules: &RuleSet, event: &TableEvent, scratch: &mut Scratch) -> Vec<usize> {
    let mut ids = Vec::new();
    rules.evaluate(event, scratch, |id| ids.push(id.0 as usize));
    ids
}

/// Sets all places to the default, as generated conditions have them.
fn without_places(expr: &mut Expr) {
    match expr {
        Expr::And(children) | Expr::Or(children) => children.iter_mut().for_each(without_places),
        Expr::Not(child) => without_places(child),
        Expr::Macro(reference) => reference.span = Span::default(),
        Expr::Exception(exception) => without_places(&mut exception.body),
        Expr::Check(check) => {
            (check.span, check.op_span) = (Span::default(), Span::default());
            operand_without_places(&mut check.left);
            match &mut check.right {
                Right::Nothing => {}
                Right::Value(value) => value.span = Span::default(),
                Right::List(values) => values.iter_mut().for_each(|value| value.span = Span::default()),
                Right::Operand(operand) => operand_without_places(operand),
            }
        }
    }
}

fn operand_without_places(operand: &mut Operand) {
    match operand {
        Operand::Field(field) => field.span = Span::default(),
        Operand::Call(Call { args, span, .. }) => {
            *span = Span::default();
            args.iter_mut().for_each(arg_without_places);
        }
    }
}

fn arg_without_places(arg: &mut CallArg) {
    match arg {
        CallArg::Operand(operand) => operand_without_places(operand),
        CallArg::Text(Literal { span, .. }) | CallArg::Number(Literal { span, .. }) => {
            *span = Span::default();
        }
        CallArg::List(items, span) => {
            *span = Span::default();
            items.iter_mut().for_each(arg_without_places);
        }
    }
}

fn not(expr: &Expr) -> Expr {
    Expr::Not(Box::new(expr.clone()))
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(192) })]

    #[test]
    fn what_is_printed_parses_to_the_same(expr in condition()) {
        let mut parsed = parse_condition(&expr.to_string(), &ParseOptions::RULE).unwrap();
        without_places(&mut parsed);
        prop_assert_eq!(parsed, expr);
    }

    #[test]
    fn laid_out_by_fmt_it_means_the_same(
        expr in condition(),
        breaks in vec(proptest::sample::select(vec!["", "  ", "\n    ", "\n\n        ", " \t\n      "]), 1..20),
    ) {
        let (printed, mut breaks) = (expr.to_string(), breaks.into_iter().cycle());
        let parts = printed.split_inclusive(" and ").flat_map(|part| part.split_inclusive(" or "));
        let condition: String = parts.flat_map(|part| [part, breaks.next().unwrap_or_default()]).collect();
        let text = format!("- macro: m\n  condition: >\n    {}\n", condition.trim_end());
        let formatted = sensor_rules::fmt::format(&text).unwrap();
        let (_, condition) = formatted.split_once(">\n").unwrap();
        let parsed = parse_condition(condition, &ParseOptions::RULE).unwrap();
        prop_assert_eq!(parsed.to_string(), printed);
    }

    #[test]
    fn the_compiled_form_agrees_with_the_interpreter(
        expr in condition_with_exception(), events in vec(event(), 1..6),
    ) {
        for event in &events {
            prop_assert_eq!(holds(&expr, event), naive::holds(&expr, event), "{} {:?}", expr, event);
        }
    }

    #[test]
    fn a_rule_set_agrees_with_the_interpreter(
        conditions in vec(condition(), 1..40), events in vec(event(), 1..8),
    ) {
        let (all, first) = (rule_set(&conditions, RuleMatching::All), rule_set(&conditions, RuleMatching::First));
        let mut scratch = Scratch::new();
        for event in &events {
            let expected: Vec<_> =
                (0..conditions.len()).filter(|at| naive::holds(&conditions[*at], event)).collect();
            prop_assert_eq!(&matches(&first, event, &mut scratch), &expected[..expected.len().min(1)]);
            prop_assert_eq!(matches(&all, event, &mut scratch), expected);
        }
    }

    #[test]
    fn negation_obeys_de_morgan(a in condition(), b in condition(), event in event()) {
        let and = Expr::And(vec![a.clone(), b.clone()]);
        let or = Expr::Or(vec![a.clone(), b.clone()]);
        prop_assert_eq!(holds(&not(&and), &event), holds(&Expr::Or(vec![not(&a), not(&b)]), &event));
        prop_assert_eq!(holds(&not(&or), &event), holds(&Expr::And(vec![not(&a), not(&b)]), &event));
        prop_assert_eq!(holds(&not(&not(&a)), &event), holds(&a, &event));
    }

    #[test]
    fn a_macro_means_what_its_condition_does(a in condition(), b in condition(), event in event()) {
        let body = Some(Arc::new(a.clone()));
        let reference = || Expr::Macro(MacroRef { name: "m".into(), span: Span::default(), body: body.clone() });
        let plain = Expr::Or(vec![Expr::And(vec![a.clone(), b.clone()]), not(&a)]);
        let with_macro = Expr::Or(vec![Expr::And(vec![reference(), b]), not(&reference())]);
        prop_assert_eq!(holds(&with_macro, &event), holds(&plain, &event));
    }

    #[test]
    fn any_text_parses_or_is_refused(text in "\\PC{0,60}") {
        let _ = parse_condition(&text, &ParseOptions::RULE);
        let _ = Output::parse(&text, &Catalogue::new());
    }

    #[test]
    fn text_of_the_language_parses_or_is_refused(
        words in vec(proptest::sample::select(vec![
            "proc.name", "fd.num", "evt.arg", "[", "]", "(", ")", " ", "=", "!=", "in", "and", "or", "not", "oneof",
            "exists", "tolower(", "val(", "\"", "'", "\\", ",", "<", "%", "5", "é", "\u{8}", "getopt(", "*",
        ]), 0..24),
    ) {
        let text = words.concat();
        if let Ok(expr) = parse_condition(&text, &ParseOptions::RULE) {
            let printed = expr.to_string();
            prop_assert_eq!(parse_condition(&printed, &ParseOptions::RULE).unwrap().to_string(), printed);
            let _ = check(&expr, &Catalogue::new());
        }
        let _ = Output::parse(&text, &Catalogue::new());
    }
}
