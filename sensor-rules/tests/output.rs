//! Output formats, as tables.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/table_event.rs"]
mod table_event;

use sensor_rules::engine::Scratch;
use sensor_rules::field::Catalogue;
use sensor_rules::format::{Output, OutputValue};
use table_event::{Owned, TableEvent};

fn event() -> TableEvent {
    let text = |text: &str| Owned::Text(text.as_bytes().to_vec());
    let mut event = TableEvent::new("execve")
        .with_text("proc.name", "Cat")
        .with_text("proc.aname[2]", "bash")
        .with_text("evt.arg.flags", "A|B")
        .with("proc.cmdline", Owned::Text(b"cat\n\x1b[2J\xff\"x\"".to_vec()))
        .with("evt.buffer", Owned::Bytes(b"ab\x00\xffc".to_vec()))
        .with("fd.num", Owned::Int(-3))
        .with("evt.rawtime.ns", Owned::Int(42))
        .with("evt.is_io", Owned::Bool(true))
        .with("fd.sip", Owned::Ip("10.0.0.1".parse().unwrap()))
        .with("fd.types", Owned::List(vec![text("file"), text("ipv4")]));
    event.ancestors.insert(
        "proc.aname".to_owned(),
        vec![text("sh"), text("bash"), text("init")],
    );
    event
}

fn rendered(format: &str) -> String {
    let mut text = String::new();
    Output::parse(format, &Catalogue::new())
        .unwrap()
        .render(&event(), &mut text, &mut Scratch::new());
    text
}

#[test]
fn values_are_rendered_as_falco_does() {
    let cases = [
        ("", ""),
        ("plain", "plain"),
        ("*%proc.name", "Cat"),
        ("(%proc.name)", "(Cat)"),
        ("%proc.name.", "Cat."),
        ("%proc.namex", "Catx"),
        ("%evt.type/%evt.dir", "execve/<"),
        ("p=%proc.aname[2] q=%proc.aname[9]", "p=bash q=<NA>"),
        ("%proc.aname", "(sh,bash,init)"),
        ("%evt.arg.flags %evt.arg[flags]", "A|B A|B"),
        ("%proc.pname", "<NA>"),
        ("%tolower(proc.name)|%toupper(proc.pname)", "cat|<NA>"),
        ("%join(\"-\", (proc.name, fd.num))", "Cat--3"),
        ("%proc.cmdline", "cat\n\u{1b}[2J\u{fffd}\"x\""),
        ("%evt.buffer", "ab..c"),
        (
            "%fd.num %evt.is_io %fd.sip %fd.types",
            "-3 true 10.0.0.1 (file,ipv4)",
        ),
        ("%evt.rawtime.ns", "000000042"),
        ("[%5proc.name][%2proc.name][%6proc.pname]", "[Cat  ][Ca][<NA>  ]"),
    ];
    for (format, expected) in cases {
        assert_eq!(rendered(format), expected, "{format}");
    }
}

#[test]
fn unknown_tokens_are_refused_with_their_place() {
    let cases = [
        (
            "a %not_a_real_field",
            2,
            "invalid formatting token not_a_real_field",
            true,
        ),
        ("%proc.nobody x", 0, "invalid formatting token proc.nobody", true),
        ("100%", 3, "a field must follow '%'", true),
        ("%%proc.name", 0, "invalid formatting token", true),
        ("%evt.arg", 0, "invalid formatting token evt.arg", true),
        ("x %fd.ip", 2, "can stand in conditions only", false),
        ("%tolower(fd.num)", 0, "transformer 'tolower' takes", false),
        (
            "%toupper(proc.name)[x]",
            0,
            "does not support field arguments",
            false,
        ),
    ];
    for (format, offset, message, is_unknown_filter) in cases {
        let error = Output::parse(format, &Catalogue::new()).unwrap_err();
        assert!(error.message.contains(message), "{format}: {error}");
        assert_eq!(
            (error.offset, error.is_unknown_filter),
            (offset, is_unknown_filter),
            "{format}: {error}"
        );
    }
}

#[test]
fn fields_have_keys_and_typed_values() {
    let format =
        "%proc.aname[2] %tolower(proc.name) %fd.num %proc.pname %fd.types %fd.sip %proc.cmdline %fd.num";
    let output = Output::parse(format, &Catalogue::new()).unwrap();
    let mut scratch = Scratch::new();
    let found: Vec<_> = output
        .fields()
        .iter()
        .map(|field| (field.key.as_str(), output.value(field, &event(), &mut scratch)))
        .collect();
    let text = |text: &str| OutputValue::Text(text.to_owned());
    let expected = [
        ("proc.aname[2]", text("bash")),
        ("tolower(proc.name)", text("cat")),
        ("proc.name", text("Cat")),
        ("fd.num", OutputValue::Int(-3)),
        ("proc.pname", OutputValue::Null),
        ("fd.types", OutputValue::List(vec![text("file"), text("ipv4")])),
        ("fd.sip", text("10.0.0.1")),
        ("proc.cmdline", text("cat\n\u{1b}[2J\u{fffd}\"x\"")),
    ];
    assert_eq!(found, expected);
}

#[test]
fn output_is_bounded() {
    let format = "%65535proc.name".repeat(3);
    assert_eq!(rendered(&format).len(), sensor_rules::limits::OUTPUT_BYTES_MAX);
    assert_eq!(
        Output::parse("%evt.dir %evt.dir", &Catalogue::new())
            .unwrap()
            .deprecated_fields(),
        ["evt.dir"]
    );
}
