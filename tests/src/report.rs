//! What a test has to say although it passes: past the test program's capture, so that it is seen.

use std::{fmt::Display, io::Write as _};

/// Says why something was not tested.
pub fn skip(why: impl Display) {
    note(format_args!("skip: {why}"));
}

/// Says what was measured.
pub fn note(text: impl Display) {
    // Nothing can be done about a standard error that is closed.
    let _ = writeln!(std::io::stderr(), "{text}");
}
