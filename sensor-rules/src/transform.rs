//! Transformers: functions over values.

/// The functions that a condition or an output may apply to values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Transformer {
    /// ASCII letters in lower case.
    ToLower,
    /// ASCII letters in upper case.
    ToUpper,
    /// Decodes base64; no value where it does not decode.
    B64,
    /// What follows the last `/`.
    Basename,
    /// Bytes of text, elements of a list.
    Len,
    /// Elements of a list with a separator between them.
    Join,
    /// Texts one after another.
    Concat,
    /// The options of a command line.
    Getopt,
}

impl Transformer {
    /// All transformers.
    pub const ALL: [Self; 8] = [
        Self::ToLower,
        Self::ToUpper,
        Self::B64,
        Self::Basename,
        Self::Len,
        Self::Join,
        Self::Concat,
        Self::Getopt,
    ];

    /// How it is written.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ToLower => "tolower",
            Self::ToUpper => "toupper",
            Self::B64 => "b64",
            Self::Basename => "basename",
            Self::Len => "len",
            Self::Join => "join",
            Self::Concat => "concat",
            Self::Getopt => "getopt",
        }
    }
}
