//! A case's resources and steps as lines for the helper `actor`.

use std::fmt::Write as _;

use serde_json::Value;

use crate::case::Case;

/// How an argument of a call is given to the helper.
#[derive(Clone, Copy)]
enum Argument {
    /// A number, flags, or what another step or resource has; and what it is when nothing is said.
    Number(&'static str, Option<&'static str>),
    /// A text.
    Text(&'static str),
    /// A path that the call makes.
    Made(&'static str),
    /// `struct open_how`, and its size.
    How(&'static str),
    /// A socket's address, and its length.
    Address(&'static str),
    /// The length of a text, or what is said.
    Length(&'static str, &'static str),
}

use Argument::{Address, How, Length, Made, Number, Text};

const HERE: Option<&str> = Some("-100");
const ZERO: Option<&str> = Some("0");

/// Every call that the format knows: its number on x86-64, and its arguments in their order.
const CALLS: [(&str, u32, &[Argument]); 18] = [
    (
        "read",
        0,
        &[Number("fd", None), Text("buffer"), Length("len", "buffer")],
    ),
    (
        "write",
        1,
        &[Number("fd", None), Text("buffer"), Length("len", "buffer")],
    ),
    (
        "open",
        2,
        &[Made("pathname"), Number("flags", ZERO), Number("mode", ZERO)],
    ),
    (
        "openat",
        257,
        &[
            Number("dirFd", HERE),
            Made("pathname"),
            Number("flags", ZERO),
            Number("mode", ZERO),
        ],
    ),
    (
        "openat2",
        437,
        &[Number("dirFd", HERE), Made("pathname"), How("how")],
    ),
    ("link", 86, &[Text("oldPath"), Made("newPath")]),
    (
        "linkat",
        265,
        &[
            Number("oldDirFd", HERE),
            Text("oldPath"),
            Number("newDirFd", HERE),
            Made("newPath"),
            Number("flags", ZERO),
        ],
    ),
    ("symlink", 88, &[Text("target"), Made("linkPath")]),
    (
        "symlinkat",
        266,
        &[Text("target"), Number("newDirFd", HERE), Made("linkPath")],
    ),
    ("dup", 32, &[Number("oldFd", None)]),
    ("dup2", 33, &[Number("oldFd", None), Number("newFd", None)]),
    (
        "dup3",
        292,
        &[
            Number("oldFd", None),
            Number("newFd", None),
            Number("flags", ZERO),
        ],
    ),
    (
        "socket",
        41,
        &[
            Number("domain", None),
            Number("type", None),
            Number("protocol", ZERO),
        ],
    ),
    ("connect", 42, &[Number("fd", None), Address("address")]),
    (
        "sendto",
        44,
        &[
            Number("fd", None),
            Text("buf"),
            Length("len", "buf"),
            Number("flags", ZERO),
            Address("address"),
        ],
    ),
    ("kill", 62, &[Number("pid", None), Number("sig", None)]),
    (
        "init_module",
        175,
        &[
            Text("moduleImage"),
            Length("len", "moduleImage"),
            Text("paramValues"),
        ],
    ),
    (
        "finit_module",
        313,
        &[Number("fd", None), Text("paramValues"), Number("flags", ZERO)],
    ),
];

/// A word that may hold any byte.
fn word(text: &str) -> String {
    let mut word = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '%' | '\t' | '\n' => write!(word, "%{:02x}", u32::from(character)).unwrap(),
            _ => word.push(character),
        }
    }
    word
}

/// One line.
pub(crate) fn line(words: &[&str]) -> String {
    let words: Vec<_> = words.iter().map(|text| word(text)).collect();
    words.join("\t") + "\n"
}

/// A value by its key, whatever the case of its letters.
fn get<'a>(value: &'a Value, key: &str) -> Option<&'a Value> {
    let mut entries = value.as_object()?.iter();
    entries
        .find(|(name, _)| name.eq_ignore_ascii_case(key))
        .map(|(_, value)| value)
}

fn text(value: Option<&Value>) -> Option<String> {
    match value? {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// `resource.field` of `${ resource.field }`.
fn binding(text: &str) -> Option<&str> {
    let inner = text.trim().strip_prefix("${")?.strip_suffix('}')?;
    Some(inner.trim())
}

/// The lines of the case's last process: before, resources, steps, after.
pub(crate) fn body(
    case: &Case,
    unix_socket: &str,
    mut process: impl FnMut(&Value) -> Result<String, String>,
) -> Result<String, String> {
    let mut body = String::new();
    if let Some(before) = &case.before {
        body.push_str(&line(&["before", before]));
    }
    if let Some(after) = &case.after {
        body.push_str(&line(&["after", after]));
    }
    for resource in &case.resources {
        let kind = text(get(resource, "type")).unwrap_or_default();
        let name = text(get(resource, "name")).unwrap_or_default();
        let of = |key: &str, default: &str| text(get(resource, key)).unwrap_or_else(|| default.to_owned());
        let made = match kind.as_str() {
            "fd" => match of("subtype", "").as_str() {
                "file" => line(&["file", &name, &of("filePath", "/tmp/e2e-suite-file")]),
                "directory" => line(&["directory", &name, &of("dirPath", "/tmp/e2e-suite-directory")]),
                "memfd" => line(&["memfd", &name, &of("fileName", "test"), &of("flags", "0")]),
                subtype @ ("event" | "eventpoll" | "inotify" | "signalfd" | "pipe") => {
                    line(&[subtype, &name, &of("initVal", "0"), &of("flags", "0")])
                }
                other => return Err(format!("descriptors of the kind {other:?} are not known")),
            },
            "clientServer" => line(&[
                "clientServer",
                &name,
                &of("l4Proto", ""),
                &of("address", unix_socket),
            ]),
            "process" => process(resource)?,
            other => return Err(format!("resources of the kind {other:?} are not known")),
        };
        body.push_str(&made);
    }
    for (number, step) in case.steps.iter().enumerate() {
        body.push_str(&call(step, &case.steps[..number])?);
    }
    Ok(body)
}

/// A step's line.
fn call(step: &Value, earlier: &[Value]) -> Result<String, String> {
    if step["type"] != "syscall" {
        return Err(format!("steps of the kind {} are not known", step["type"]));
    }
    let name = text(get(step, "syscall")).unwrap_or_default();
    let Some((_, number, arguments)) = CALLS.iter().find(|(known, ..)| *known == name) else {
        return Err(format!("the call {name:?} is not known"));
    };
    let args = &step["args"];
    // What an earlier step was given can be given again.
    let given = |key: &str| {
        let said = text(get(args, key))?;
        let Some((source, field)) = binding(&said).and_then(|bound| bound.split_once('.')) else {
            return Some(said);
        };
        let step = earlier.iter().find(|step| step["name"] == source);
        Some(
            step.and_then(|step| text(get(&step["args"], field)))
                .unwrap_or(said),
        )
    };
    let numeric =
        |said: String| binding(&said).map_or_else(|| format!("n:{said}"), |bound| format!("b:{bound}"));
    let mut words = vec![
        "call".to_owned(),
        text(get(step, "name")).unwrap_or_default(),
        number.to_string(),
    ];
    for argument in *arguments {
        match argument {
            Number(key, default) => {
                let said = given(key).or(default.map(str::to_owned));
                words.push(numeric(said.ok_or_else(|| format!("{name} without {key}"))?));
            }
            Text(key) => words.push(format!("s:{}", given(key).unwrap_or_default())),
            Made(key) => words.push(format!(
                "o:{}",
                given(key).ok_or_else(|| format!("{name} without {key}"))?
            )),
            How(key) => {
                let of = |part: &str| text(get(&args[*key], part)).unwrap_or_else(|| "0".into());
                words.push(format!("h:{}:{}:{}", of("flags"), of("mode"), of("resolve")));
                words.push("n:24".into());
            }
            Length(key, of) => match given(key) {
                Some(said) => words.push(numeric(said)),
                None => words.push(format!("n:{}", given(of).unwrap_or_default().len())),
            },
            Address(key) => {
                let said = given(key).ok_or_else(|| format!("{name} without {key}"))?;
                words.push(format!("a:{said}"));
                words.push(format!("l:{said}"));
            }
        }
    }
    // A buffer to read into.
    if name == "read" {
        words[4] = format!("m:{}", given("len").unwrap_or_else(|| "4096".into()));
        if given("len").is_none() {
            words[5] = "n:4096".into();
        }
    }
    Ok(line(&words.iter().map(String::as_str).collect::<Vec<_>>()))
}
