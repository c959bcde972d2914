//! Looks up fields by the names that rules use.

use std::sync::LazyLock;

use hashbrown::HashMap;
use smol_str::SmolStr;

use super::{Argument, ArgumentKind, EventType, Field, FieldArg, FieldInfo, FieldRef, params};

/// Names of the table, built once.
static NAMES: LazyLock<HashMap<&'static str, Field, foldhash::fast::FixedState>> = LazyLock::new(|| {
    Field::ALL
        .iter()
        .map(|field| (field.info().name, *field))
        .collect()
});

/// The fields that a set of rules may use: the table, and fields that are added to it.
#[derive(Clone, Debug, Default)]
pub struct Catalogue {
    extra: Vec<&'static FieldInfo>,
}

/// Why a field name with its argument is not usable.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FieldError {
    /// No such field. The first words are Falco's, which tools look for.
    #[error("filter_check called with nonexistent field {0}")]
    Unknown(SmolStr),
    /// The field takes no argument, so that `field[x]` names no field.
    #[error("filter_check called with nonexistent field {0}: `{1}` takes no argument")]
    UnexpectedArgument(SmolStr, &'static str),
    /// The field needs an argument.
    #[error("field `{0}` needs an argument, as in `{0}[…]`")]
    MissingArgument(&'static str),
    /// The argument must be a number.
    #[error("field `{0}` takes a number as argument, not `{1}`")]
    NotAnIndex(&'static str, SmolStr),
    /// `evt.arg`/`evt.rawarg` of a parameter that no event has.
    #[error("unknown event argument {0}")]
    UnknownParameter(SmolStr),
    /// `evt.type.is.X` with an unknown event.
    #[error("unknown event type {0}")]
    UnknownEventType(SmolStr),
}

impl Catalogue {
    /// The table as it stands.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// This catalogue and one more field. A name that is already there keeps its first meaning.
    #[must_use]
    pub fn with(mut self, info: &'static FieldInfo) -> Self {
        self.extra.push(info);
        self
    }

    /// All fields, the table's first.
    pub fn iter(&self) -> impl Iterator<Item = Field> + '_ {
        Field::ALL
            .iter()
            .copied()
            .chain(self.extra.iter().map(|info| Field::Extra(info)))
    }

    /// The field of exactly this name, without an argument.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<Field> {
        NAMES.get(name).copied().or_else(|| {
            self.extra
                .iter()
                .find(|info| info.name == name)
                .map(|info| Field::Extra(info))
        })
    }

    /// Resolves a name as written (`proc.aname`, `evt.arg.flags`) with the argument in its brackets.
    pub fn resolve(&self, name: &str, argument: Option<&str>) -> Result<FieldRef, FieldError> {
        if let Some(field) = self.field(name) {
            return with_argument(field, name, argument);
        }
        if argument.is_none()
            && let Some((field, key)) = dotted_argument(name)
        {
            return with_argument(field, name, Some(key));
        }
        Err(FieldError::Unknown(SmolStr::from(spelled(name, argument))))
    }

    /// The name of the catalogue that is most like `name`, where one is near enough to be what was meant.
    #[must_use]
    pub fn nearest(&self, name: &str) -> Option<&'static str> {
        self.iter()
            .map(|field| field.info().name)
            .map(|known| (strsim::damerau_levenshtein(known, name), known))
            .min()
            .filter(|(distance, _)| *distance <= name.len().div_ceil(4))
            .map(|(_, known)| known)
    }
}

/// Splits `evt.arg.flags` into its field and argument.
fn dotted_argument(name: &str) -> Option<(Field, &str)> {
    let candidates = [
        Field::EvtArg,
        Field::EvtRawarg,
        Field::EvtTypeIs,
        Field::EvtAbspath,
        Field::ThreadCgroup,
    ];
    candidates.into_iter().find_map(|field| {
        let key = name.strip_prefix(field.info().name)?.strip_prefix('.')?;
        Some((field, key))
    })
}

fn with_argument(field: Field, name: &str, argument: Option<&str>) -> Result<FieldRef, FieldError> {
    let info = field.info();
    let kind = match (info.argument, argument) {
        (Argument::None | Argument::Optional(_), None) => return Ok(FieldRef::plain(field)),
        (Argument::Required(_), None) => return Err(FieldError::MissingArgument(info.name)),
        (Argument::None, Some(_)) => {
            return Err(FieldError::UnexpectedArgument(
                SmolStr::from(spelled(name, argument)),
                info.name,
            ));
        }
        (Argument::Optional(kind) | Argument::Required(kind), Some(_)) => kind,
    };
    let text = argument.unwrap_or_default();
    let arg = match (kind, text.parse::<u32>()) {
        (ArgumentKind::Index | ArgumentKind::NameOrIndex, Ok(index)) => FieldArg::Index(index),
        (ArgumentKind::Index, Err(_)) => return Err(FieldError::NotAnIndex(info.name, text.into())),
        (ArgumentKind::Name | ArgumentKind::NameOrIndex, _) => FieldArg::Key(text.into()),
    };
    check_key(field, &arg)?;
    Ok(FieldRef { field, arg })
}

/// Names of event parameters and events are a closed set; any other argument is free text.
fn check_key(field: Field, arg: &FieldArg) -> Result<(), FieldError> {
    let FieldArg::Key(key) = arg else { return Ok(()) };
    match field {
        Field::EvtArg | Field::EvtRawarg if params::parameter_type(key).is_none() => {
            Err(FieldError::UnknownParameter(key.clone()))
        }
        Field::EvtTypeIs if EventType::from_name(key).is_none() => {
            Err(FieldError::UnknownEventType(key.clone()))
        }
        Field::EvtAbspath if key != "src" && key != "dst" => {
            Err(FieldError::Unknown(SmolStr::from(format!("evt.abspath.{key}"))))
        }
        _ => Ok(()),
    }
}

fn spelled(name: &str, argument: Option<&str>) -> String {
    argument.map_or_else(|| name.to_owned(), |argument| format!("{name}[{argument}]"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_unique_and_found() {
        assert_eq!(NAMES.len(), Field::ALL.len());
        let catalogue = Catalogue::new();
        for field in Field::ALL {
            assert_eq!(catalogue.field(field.info().name), Some(*field));
        }
    }

    #[test]
    fn names_resolve_with_their_arguments() {
        let catalogue = Catalogue::new();
        let key = |field, key: &str| {
            Ok(FieldRef {
                field,
                arg: FieldArg::Key(key.into()),
            })
        };
        let cases = [
            ("proc.name", None, Ok(FieldRef::plain(Field::ProcName))),
            ("proc.aname", None, Ok(FieldRef::plain(Field::ProcAname))),
            (
                "proc.aname",
                Some("2"),
                Ok(FieldRef::indexed(Field::ProcAname, 2)),
            ),
            (
                "proc.aname",
                Some("x"),
                Err(FieldError::NotAnIndex("proc.aname", "x".into())),
            ),
            ("evt.arg.flags", None, key(Field::EvtArg, "flags")),
            ("evt.arg", Some("flags"), key(Field::EvtArg, "flags")),
            ("evt.arg", Some("1"), Ok(FieldRef::indexed(Field::EvtArg, 1))),
            (
                "evt.arg.nope",
                None,
                Err(FieldError::UnknownParameter("nope".into())),
            ),
            ("evt.arg", None, Err(FieldError::MissingArgument("evt.arg"))),
            ("evt.type.is.open", None, key(Field::EvtTypeIs, "open")),
            (
                "evt.type.is.opne",
                None,
                Err(FieldError::UnknownEventType("opne".into())),
            ),
            ("evt.abspath.src", None, key(Field::EvtAbspath, "src")),
            ("proc.env", Some("A B"), key(Field::ProcEnv, "A B")),
            (
                "proc.nobody",
                None,
                Err(FieldError::Unknown("proc.nobody".into())),
            ),
            (
                "proc.pid",
                Some("1"),
                Err(FieldError::UnexpectedArgument("proc.pid[1]".into(), "proc.pid")),
            ),
        ];
        for (name, argument, expected) in cases {
            assert_eq!(catalogue.resolve(name, argument), expected, "{name} {argument:?}");
        }
    }

    #[test]
    fn the_nearest_name_is_suggested() {
        let catalogue = Catalogue::new();
        for (name, expected) in [
            ("proc.nmae", Some("proc.name")),
            ("fd.nam", Some("fd.name")),
            ("a.b", None),
        ] {
            assert_eq!(catalogue.nearest(name), expected, "{name}");
        }
    }
}
