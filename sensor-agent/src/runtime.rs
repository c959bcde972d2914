//! What container runtimes have written about their containers.
//!
//! A runtime writes a container's description before it starts it, so who reads the files when the first process
//! appears has the facts in time, without asking anybody. One thread reads them ([`worker`]); nothing on the way of
//! an event waits for it but for a bounded time ([`pipeline::hold`](crate::pipeline)).
//!
//! Files are untrusted: each is read up to a bound, belongs to who may say so, and a parser makes of any bytes facts
//! or nothing. So are the answers of runtimes' sockets ([`socket`]), which are asked for what is in no file.

pub mod docker;
pub mod files;
pub mod oci;
pub mod places;
pub mod podman;
pub mod socket;
#[cfg(test)]
mod tests;
pub mod worker;

use crate::state::workload::{LABELS_MAX, Labels, TEXT_BYTES_MAX};

/// Text of a fact: none where it is empty, too long, or has control characters, which no name has.
fn sound(text: &str) -> Option<Box<str>> {
    let is_sound = !text.is_empty() && text.len() <= TEXT_BYTES_MAX && !text.chars().any(char::is_control);
    is_sound.then(|| text.into())
}

/// The same of a JSON value.
fn text(value: &serde_json::Value) -> Option<Box<str>> {
    sound(value.as_str()?)
}

/// Labels, as an object of texts.
fn labels(value: &serde_json::Value) -> Labels {
    let object = value.as_object().into_iter().flatten();
    sound_labels(object.filter_map(|(name, value)| Some((name, value.as_str()?))))
}

/// Labels with names, within bounds.
fn sound_labels<'a>(labels: impl Iterator<Item = (&'a String, impl AsRef<str>)>) -> Labels {
    labels
        .filter(|(name, _)| !name.is_empty() && name.len() <= TEXT_BYTES_MAX)
        .filter_map(|(name, value)| {
            let value = value.as_ref();
            (value.len() <= TEXT_BYTES_MAX).then(|| (name.as_str().into(), value.into()))
        })
        .take(LABELS_MAX)
        .collect()
}

/// The hexadecimal digits of `sha256:<digits>`.
fn without_algorithm(digest: &str) -> &str {
    digest.strip_prefix("sha256:").unwrap_or(digest)
}
