//! Lints about items: unused, replaced unawares, exceptions that are too wide.

use super::Lint;
use crate::load::context::Context;
use crate::load::exception::field_words;
use crate::load::info::Loaded;
use crate::load::source::Span;

/// Fields that hold a process's name, which the process chooses.
pub(super) const NAME_FIELDS: &[&str] = &[
    "proc.name",
    "proc.pname",
    "proc.aname",
    "proc.exe",
    "proc.pexe",
    "proc.aexe",
    "proc.sname",
    "proc.vpgid.name",
    "proc.sid.name",
];

pub(super) fn lint(loaded: &Loaded, lints: &mut Vec<Lint>) {
    let collector = &loaded.collector;
    for (item, info) in collector.macros.iter().zip(&loaded.macros) {
        unused(
            info.used,
            "macro",
            "unused-macro",
            &item.name,
            &item.context,
            lints,
        );
        shadowed(
            loaded,
            item.redefined,
            ("macro", "condition", "shadowed-macro"),
            &item.name,
            &item.context,
            lints,
        );
    }
    for (item, info) in collector.lists.iter().zip(&loaded.lists) {
        unused(info.used, "list", "unused-list", &item.name, &item.context, lints);
        shadowed(
            loaded,
            item.redefined,
            ("list", "items", "shadowed-list"),
            &item.name,
            &item.context,
            lints,
        );
    }
    for rule in collector.rules.iter() {
        for exception in &rule.exceptions {
            let fields = field_words(exception);
            let only_names = fields.iter().all(|field| NAME_FIELDS.contains(&&*field.text));
            if fields.is_empty() || !only_names || exception.values.is_empty() {
                continue;
            }
            let names: Vec<_> = fields.iter().map(|field| format!("`{}`", field.text)).collect();
            lints.push(Lint {
                id: "exception-too-wide",
                message: format!(
                    "exception `{}` looks at {} only",
                    exception.name,
                    names.join(" and ")
                ),
                span: exception.context.span(),
                help: Some(
                    "add a field that says what the process does or where it lies, such as `proc.exepath`"
                        .to_owned(),
                ),
                item: format!("rule {:?}", rule.name),
            });
        }
    }
}

fn unused(used: bool, kind: &str, id: &'static str, name: &str, context: &Context, lints: &mut Vec<Lint>) {
    if !used {
        lints.push(Lint {
            id,
            message: format!("{kind} `{name}` is not used"),
            span: context.span(),
            help: None,
            item: format!("{kind} {name:?}"),
        });
    }
}

fn shadowed(
    loaded: &Loaded,
    earlier: Option<Span>,
    (kind, key, id): (&str, &str, &'static str),
    name: &str,
    context: &Context,
    lints: &mut Vec<Lint>,
) {
    let Some(earlier) = earlier else { return };
    let line = loaded.sources.line_column(earlier).line;
    let file = loaded.sources.name(earlier.file);
    lints.push(Lint {
        id,
        message: format!("{kind} `{name}` replaces the one at {file}:{line}"),
        span: context.span(),
        help: Some(format!(
            "if this is meant, add `override: {{{key}: replace}}`; else use another name"
        )),
        item: format!("{kind} {name:?}"),
    });
}
