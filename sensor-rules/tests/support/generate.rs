//! Random conditions that check, and random events.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use sensor_rules::ast::{
    Call, CallArg, Check, Exception, Expr, FieldName, Literal, Modifier, Op, Operand, Right, Span,
};
use sensor_rules::transform::Transformer;

use crate::table_event::{Owned, TableEvent};

/// Few texts, so that comparisons hold often; among them what needs quotes and escapes.
const TEXTS: [&str; 14] = [
    "",
    "a",
    "A",
    "ab",
    "abc",
    "/a",
    "/a/b",
    "/a/b/c",
    "/ab",
    "a b",
    "x\\",
    "q\"'",
    "(a)",
    "\u{e9}=,\t",
];
const PATTERNS: [&str; 6] = ["*", "a*", "?b", "/a/*/c", "*b*", "A?"];
const TYPES: [&str; 4] = ["open", "openat", "execve", "close"];
const IPS: [&str; 3] = ["10.0.0.1", "10.0.0.2", "192.168.1.1"];

fn literal(text: impl Into<Vec<u8>>) -> Literal {
    Literal {
        bytes: text.into(),
        span: Span::default(),
    }
}

fn name(name: &str, argument: Option<&str>) -> Operand {
    Operand::Field(FieldName {
        name: name.into(),
        argument: argument.map(Into::into),
        span: Span::default(),
    })
}

fn call(transformer: Transformer, operand: Operand) -> Operand {
    Operand::Call(Call {
        transformer,
        args: vec![CallArg::Operand(operand)],
        index: None,
        span: Span::default(),
    })
}

fn check(left: Operand, op: Op, modifier: Option<Modifier>, right: Right) -> Expr {
    let (span, op_span) = (Span::default(), Span::default());
    Expr::Check(Box::new(Check {
        left,
        op,
        modifier,
        right,
        span,
        op_span,
    }))
}

fn text_operand() -> impl Strategy<Value = Operand> {
    let field = select(vec![
        ("proc.name", None),
        ("proc.pname", None),
        ("fd.name", None),
        ("proc.cmdline", None),
        ("proc.aname", Some("2")),
        ("proc.env", Some("A B")),
    ])
    .prop_map(|(field, argument)| name(field, argument));
    let transformers = select(vec![
        Transformer::ToLower,
        Transformer::ToUpper,
        Transformer::Basename,
    ]);
    prop_oneof![
        6 => field.clone(),
        1 => Just(name("proc.aname", None)),
        1 => (transformers, field).prop_map(|(transformer, field)| {
            let is_ancestor = matches!(&field, Operand::Field(field) if field.name == "proc.aname");
            call(transformer, if is_ancestor { name("proc.name", None) } else { field })
        }),
    ]
}

fn text_check() -> impl Strategy<Value = Expr> {
    let plain = select(vec![
        Op::Eq,
        Op::EqEq,
        Op::Ne,
        Op::Contains,
        Op::IContains,
        Op::StartsWith,
        Op::EndsWith,
    ]);
    let patterned = prop_oneof![
        (plain, select(&TEXTS[..]), vec(select(&TEXTS[..]), 0..4)),
        (
            select(vec![Op::Glob, Op::IGlob]),
            select(&PATTERNS[..]),
            vec(select(&PATTERNS[..]), 0..4)
        ),
    ];
    let modifier = option::of(select(&Modifier::ALL[..]));
    let lists = (
        select(vec![Op::In, Op::Intersects, Op::Pmatch]),
        vec(select(&TEXTS[..]), 0..5),
    );
    prop_oneof![
        6 => (text_operand(), patterned, modifier).prop_map(|(left, (op, text, texts), modifier)| match modifier {
            None => check(left, op, None, Right::Value(literal(text))),
            Some(_) => check(left, op, modifier, Right::List(texts.into_iter().map(literal).collect())),
        }),
        3 => (text_operand(), lists).prop_map(|(left, (op, texts))| {
            check(left, op, None, Right::List(texts.into_iter().map(literal).collect()))
        }),
        1 => text_operand().prop_map(|left| check(left, Op::Exists, None, Right::Nothing)),
        1 => (select(vec![Op::Eq, Op::Ne, Op::Contains, Op::StartsWith]), select(vec!["proc.name", "proc.pname"]))
            .prop_map(|(op, field)| {
                check(name("fd.name", None), op, None, Right::Operand(name(field, None)))
            }),
    ]
}

fn other_check() -> impl Strategy<Value = Expr> {
    let orders = select(vec![Op::Eq, Op::Ne, Op::Lt, Op::Le, Op::Gt, Op::Ge]);
    let numbers = (select(vec!["fd.num", "evt.rawres"]), orders, -2..4_i64);
    let ends = (
        select(vec![Op::Eq, Op::Ne]),
        option::of(select(&Modifier::ALL[..])),
        vec(select(&IPS[..]), 1..4),
    );
    prop_oneof![
        numbers.prop_map(|(field, op, number)| {
            check(
                name(field, None),
                op,
                None,
                Right::Value(literal(number.to_string())),
            )
        }),
        (0..4_u64).prop_map(|length| {
            let left = call(Transformer::Len, name("fd.types", None));
            check(left, Op::Ge, None, Right::Value(literal(length.to_string())))
        }),
        any::<bool>().prop_map(|value| {
            check(
                name("evt.is_io", None),
                Op::Eq,
                None,
                Right::Value(literal(value.to_string())),
            )
        }),
        ends.prop_map(|(op, modifier, ips)| match modifier {
            None => check(name("fd.ip", None), op, None, Right::Value(literal(ips[0]))),
            Some(_) => {
                check(
                    name("fd.ip", None),
                    op,
                    modifier,
                    Right::List(ips.into_iter().map(literal).collect()),
                )
            }
        }),
        (
            select(vec![Op::Eq, Op::Ne]),
            select(vec!["10.0.0.0/8", "10.0.0.2/31", "0.0.0.0/0"])
        )
            .prop_map(|(op, net)| check(name("fd.net", None), op, None, Right::Value(literal(net)))),
        (
            select(vec![Op::In, Op::Intersects]),
            vec(select(&TEXTS[..4]), 0..3)
        )
            .prop_map(|(op, texts)| {
                check(
                    name("fd.types", None),
                    op,
                    None,
                    Right::List(texts.into_iter().map(literal).collect()),
                )
            }),
    ]
}

fn type_check() -> impl Strategy<Value = Expr> {
    prop_oneof![
        (select(vec![Op::Eq, Op::Ne, Op::StartsWith]), select(&TYPES[..])).prop_map(|(op, event_type)| {
            check(
                name("evt.type", None),
                op,
                None,
                Right::Value(literal(event_type)),
            )
        }),
        vec(select(&TYPES[..]), 0..3).prop_map(|types| {
            let types = types.into_iter().map(literal).collect();
            check(name("evt.type", None), Op::In, None, Right::List(types))
        }),
    ]
}

/// Any condition without macros.
pub(crate) fn condition() -> impl Strategy<Value = Expr> {
    let leaf = prop_oneof![4 => text_check(), 2 => other_check(), 2 => type_check()];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            3 => vec(inner.clone(), 2..5).prop_map(Expr::And),
            3 => vec(inner.clone(), 2..5).prop_map(Expr::Or),
            2 => inner.prop_map(|child| Expr::Not(Box::new(child))),
        ]
    })
}

/// A condition in which some part may be an exception.
pub(crate) fn condition_with_exception() -> impl Strategy<Value = Expr> {
    (condition(), condition(), any::<bool>()).prop_map(|(condition, body, allows_incomplete)| {
        let exception = Expr::Exception(Exception {
            name: "e".into(),
            body: Box::new(body),
            allows_incomplete,
        });
        Expr::And(vec![condition, Expr::Not(Box::new(exception))])
    })
}

fn text() -> impl Strategy<Value = Owned> {
    select(&TEXTS[..]).prop_map(|text| Owned::Text(text.as_bytes().to_vec()))
}

/// Any event; each field may be missing.
pub(crate) fn event() -> impl Strategy<Value = TableEvent> {
    let texts = [
        "proc.name",
        "proc.pname",
        "fd.name",
        "proc.cmdline",
        "proc.env[\"A B\"]",
    ];
    let ip = || option::of(select(&IPS[..]).prop_map(|ip| Owned::Ip(ip.parse().unwrap())));
    let numbers = (
        option::of(-2..4_i64),
        option::of(-2..4_i64),
        option::of(any::<bool>()),
    );
    (
        select(&TYPES[..]),
        vec(option::of(text()), texts.len()),
        numbers,
        (ip(), ip()),
        option::of(vec(text(), 0..3)),
        vec(text(), 0..4),
        vec(select(texts.to_vec()), 0..2),
    )
        .prop_map(
            move |(event_type, values, (num, rawres, is_io), (cip, sip), types, ancestors, cut)| {
                let mut event = TableEvent::new(event_type);
                let named = texts.into_iter().zip(values);
                let others = [
                    ("fd.num", num.map(Owned::Int)),
                    ("evt.rawres", rawres.map(Owned::Int)),
                    ("evt.is_io", is_io.map(Owned::Bool)),
                    ("fd.cip", cip),
                    ("fd.sip", sip),
                    ("fd.types", types.map(Owned::List)),
                    ("proc.aname[2]", ancestors.get(1).cloned()),
                ];
                for (field, value) in named.chain(others) {
                    event.values.extend(value.map(|value| (field.to_owned(), value)));
                }
                event.ancestors.insert("proc.aname".to_owned(), ancestors);
                event.incomplete = cut.into_iter().map(str::to_owned).collect();
                event
            },
        )
}
