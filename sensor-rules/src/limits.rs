//! Every bound of the language, with its reason.

/// Depth of nesting of a rule's condition, counted per parse function as Falco does.
pub const CONDITION_DEPTH_MAX: usize = 1000;

/// Depth of nesting of a condition that stands alone.
pub const FILTER_DEPTH_MAX: usize = 100;

/// Transformers inside transformers. Each takes several frames of the parser's stack.
pub const TRANSFORMER_DEPTH_MAX: usize = 32;

/// Bytes of a constant. Falco keeps constants in 256-byte buffers with a final NUL.
pub const CONSTANT_BYTES_MAX: usize = 255;

/// Event codes that a condition may cover before it is reported as too wide.
pub const EVENT_CODES_MAX: usize = 100;

/// Ancestors of a process that a field without an index looks at. The agent keeps fewer.
pub const ANCESTORS_MAX: u32 = 256;

/// Memory that one compiled regular expression may use.
pub const REGEX_BYTES_MAX: usize = 1 << 20;

/// Bytes that a list prints as in an output, as in Falco.
pub const OUTPUT_LIST_BYTES_MAX: usize = 1024;

/// Bytes of one rendered output. Longer text is cut.
pub const OUTPUT_BYTES_MAX: usize = 64 * 1024;

/// Bytes that the evaluator keeps of the values of one event. A value that does not fit any more has no value.
pub const EVENT_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Depth of a condition's tree after macros are put in. The evaluator recurses as deeply.
pub const EXPANDED_DEPTH_MAX: usize = 700;
