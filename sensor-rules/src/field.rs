//! The one catalogue of fields: what a rule may name, its type, its argument and its meaning.
//!
//! Checking, evaluation, output formatting, documentation and the agent all read this table; nothing else in the
//! project lists fields. Falco's names, types and flags are kept, so that its rules mean the same here.
//!
//! Start with [`Field`] (the id the agent matches on), [`FieldRef`] (a field with its argument) and [`Catalogue`]
//! (looks names up).

mod catalogue;
mod event_names;
mod event_type;
mod params;
mod service;
mod table;

use std::fmt;

use smol_str::SmolStr;

pub use crate::event_set::EventTypeSet;
pub use catalogue::{Catalogue, FieldError};
pub use event_type::EventType;
pub(crate) use service::service_port;
pub use table::Field;

/// What the catalogue knows of one field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FieldInfo {
    /// Falco's name, without an argument: `proc.name`.
    pub name: &'static str,
    /// The type of its value.
    pub value_type: FieldType,
    /// Where and how it may be used.
    pub flags: FieldFlags,
    /// The argument that it takes.
    pub argument: Argument,
    /// What it means, in one line.
    pub description: &'static str,
}

/// Type of a field's value. Several types share a representation in [`crate::event::Value`]; they differ in which
/// constants they accept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(
    missing_docs,
    reason = "the variants are Falco's type names, listed by `name`"
)]
pub enum FieldType {
    Bool,
    Int16,
    Int32,
    Int64,
    Uint8,
    Uint16,
    Uint32,
    Uint64,
    Double,
    RelTime,
    AbsTime,
    Port,
    Text,
    Bytes,
    IpAddr,
    IpNet,
    /// Depends on the argument (`evt.rawarg`); see [`FieldRef::value_type`].
    Dynamic,
    /// Has no operator: it can only be printed (socket addresses and tuples, lists of descriptors).
    Raw,
}

impl FieldType {
    /// Falco's name of the type: `CHARBUF` for text.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Bool => "BOOL",
            Self::Int16 => "INT16",
            Self::Int32 => "INT32",
            Self::Int64 => "INT64",
            Self::Uint8 => "UINT8",
            Self::Uint16 => "UINT16",
            Self::Uint32 => "UINT32",
            Self::Uint64 => "UINT64",
            Self::Double => "DOUBLE",
            Self::RelTime => "RELTIME",
            Self::AbsTime => "ABSTIME",
            Self::Port => "PORT",
            Self::Text => "CHARBUF",
            Self::Bytes => "BYTEBUF",
            Self::IpAddr => "IPADDR",
            Self::IpNet => "IPNET",
            Self::Dynamic => "DYN",
            Self::Raw => "RAW",
        }
    }

    /// Whether values are numbers that have an order.
    #[must_use]
    pub const fn is_number(self) -> bool {
        matches!(
            self,
            Self::Int16
                | Self::Int32
                | Self::Int64
                | Self::Uint8
                | Self::Uint16
                | Self::Uint32
                | Self::Uint64
                | Self::Double
                | Self::RelTime
                | Self::AbsTime
                | Self::Port
        )
    }
}

/// One way in which a field is special.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FieldFlag {
    /// The value is a list.
    List = 1,
    /// Kept for old rules only; a rule that uses it gets a warning.
    Deprecated = 2,
    /// May stand in conditions, not in outputs.
    FilterOnly = 4,
    /// May stand in outputs, not in conditions.
    PrintOnly = 8,
    /// Neither: known by name only.
    TableOnly = 16,
    /// May not stand right of an operator.
    NoRhs = 32,
    /// May not be given to a transformer.
    NoTransform = 64,
    /// Part of `append_output`'s suggested fields.
    Suggested = 128,
    /// Printed as nine digits with leading zeros (the fraction of a second).
    Padded = 256,
    /// One of our own, which Falco does not know.
    Own = 512,
}

/// The set of a field's [`FieldFlag`]s.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct FieldFlags(u16);

impl FieldFlags {
    /// No flag.
    pub const NONE: Self = Self(0);

    /// This set and `flag`.
    #[must_use]
    pub const fn with(self, flag: FieldFlag) -> Self {
        Self(self.0 | flag as u16)
    }

    /// Whether `flag` is in the set.
    #[must_use]
    pub const fn has(self, flag: FieldFlag) -> bool {
        self.0 & flag as u16 != 0
    }
}

/// Whether a field takes an argument, and of which kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Argument {
    /// Takes none.
    None,
    /// May have one.
    Optional(ArgumentKind),
    /// Must have one.
    Required(ArgumentKind),
}

/// What an argument may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ArgumentKind {
    /// A name, or any text.
    Name,
    /// A decimal number.
    Index,
    /// A number is an index, anything else a name.
    NameOrIndex,
}

/// The argument of a field, as it is asked of the agent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum FieldArg {
    /// `proc.name`
    #[default]
    None,
    /// `proc.aname[2]`
    Index(u32),
    /// `proc.env[HOME]`, `evt.arg.flags`
    Key(SmolStr),
}

/// A field with its argument: what the evaluator asks the agent for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FieldRef {
    /// Which field.
    pub field: Field,
    /// Its argument.
    pub arg: FieldArg,
}

impl FieldRef {
    /// The field without an argument.
    #[must_use]
    pub const fn plain(field: Field) -> Self {
        Self {
            field,
            arg: FieldArg::None,
        }
    }

    /// The field of ancestor `index` (1 is the parent), or of element `index`.
    #[must_use]
    pub const fn indexed(field: Field, index: u32) -> Self {
        Self {
            field,
            arg: FieldArg::Index(index),
        }
    }

    /// The type of its value, which for `evt.rawarg` depends on the argument.
    #[must_use]
    pub fn value_type(&self) -> FieldType {
        match (self.field.info().value_type, &self.arg) {
            (FieldType::Dynamic, FieldArg::Key(name)) => {
                params::parameter_type(name).unwrap_or(FieldType::Raw)
            }
            (FieldType::Dynamic, _) => FieldType::Raw,
            (known, _) => known,
        }
    }

    /// Whether its value is a list. One element of a list field (`fd.types[0]`) is none.
    #[must_use]
    pub fn is_list(&self) -> bool {
        self.field.info().flags.has(FieldFlag::List) && !matches!(self.arg, FieldArg::Index(_))
    }
}

impl fmt::Display for FieldRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.field.info().name;
        match &self.arg {
            FieldArg::None => f.write_str(name),
            FieldArg::Index(index) => write!(f, "{name}[{index}]"),
            FieldArg::Key(key) if self.field.has_dotted_argument() => write!(f, "{name}.{key}"),
            FieldArg::Key(key) => {
                f.write_str(name)?;
                crate::ast::write_argument(f, key)
            }
        }
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.info().name)
    }
}

impl Field {
    /// Whether the argument may follow a dot: `evt.arg.flags`, `evt.type.is.open`.
    #[must_use]
    pub const fn has_dotted_argument(self) -> bool {
        matches!(
            self,
            Self::EvtArg | Self::EvtRawarg | Self::EvtTypeIs | Self::EvtAbspath | Self::ThreadCgroup
        )
    }

    /// Whether the field, without an index, stands for every ancestor of the process, of which any may match.
    #[must_use]
    pub const fn is_ancestry(self) -> bool {
        matches!(
            self,
            Self::ProcAname
                | Self::ProcAexe
                | Self::ProcAexepath
                | Self::ProcAcmdline
                | Self::ProcAenv
                | Self::ProcApid
        )
    }

    /// The two fields of which either may match, for fields that stand for both endpoints of a socket.
    #[must_use]
    pub const fn endpoints(self) -> Option<(Self, Self)> {
        match self {
            Self::FdIp | Self::FdNet => Some((Self::FdCip, Self::FdSip)),
            Self::FdPort | Self::FdProto => Some((Self::FdCport, Self::FdSport)),
            _ => None,
        }
    }

    /// The field that is asked of the agent in place of this one: a network field tests an address.
    #[must_use]
    pub const fn asked_as(self) -> Self {
        match self {
            Self::FdCnet => Self::FdCip,
            Self::FdSnet => Self::FdSip,
            Self::FdLnet => Self::FdLip,
            Self::FdRnet => Self::FdRip,
            other => other,
        }
    }
}

/// Turns the table into [`Field`] and its [`FieldInfo`]s.
macro_rules! fields {
    ($($variant:ident $name:literal $type:ident [$($flag:ident)*] $argument:ident $(($kind:ident))? $description:literal;)*) => {
        use super::{Argument, FieldFlag, FieldFlags, FieldInfo, FieldType};

        /// Id of a field of the catalogue.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Field {
            $(#[doc = concat!("`", $name, "`: ", $description)] $variant,)*
            /// A field that is added to the catalogue at run time: a test's, or one that the configuration defines.
            Extra(&'static FieldInfo),
        }

        impl Field {
            /// Every field of the table, in its order.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// What the catalogue knows of it.
            #[must_use]
            pub const fn info(self) -> &'static FieldInfo {
                match self {
                    $(Self::$variant => const {
                        &FieldInfo {
                            name: $name,
                            value_type: FieldType::$type,
                            flags: FieldFlags::NONE$(.with(FieldFlag::$flag))*,
                            argument: Argument::$argument $((super::ArgumentKind::$kind))?,
                            description: $description,
                        }
                    },)*
                    Self::Extra(info) => info,
                }
            }
        }
    };
}
use fields;
