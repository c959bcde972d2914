//! What container runtimes have written about their containers.
//!
//! A runtime writes a container's description before it starts it, so who reads the files when the first process
//! appears has the facts in time, without asking anybody. One thread reads them ([`worker`]); nothing on the way of
//! an event waits for it but for a bounded time ([`pipeline::hold`](crate::pipeline)).
//!
//! Files are untrusted: each is read up to a bound, belongs to who may say so, and a parser makes of any bytes facts
//! or nothing.

pub mod docker;
pub mod files;
pub mod oci;
pub mod places;
pub mod podman;
#[cfg(test)]
mod tests;
pub mod worker;

use crate::state::workload::{LABELS_MAX, Labels, TEXT_BYTES_MAX};

/// Text of a fact: none where it is empty, too long, or has control characters, which no name has.
fn text(value: &serde_json::Value) -> Option<Box<str>> {
    let text = value.as_str()?;
    let is_sound = !text.is_empty() && text.len() <= TEXT_BYTES_MAX && !text.chars().any(char::is_control);
    is_sound.then(|| text.into())
}

/// Labels, as an object of texts.
fn labels(value: &serde_json::Value) -> Labels {
    let Some(object) = value.as_object() else {
        return Labels::new();
    };
    object
        .iter()
        .filter(|(name, _)| !name.is_empty() && name.len() <= TEXT_BYTES_MAX)
        .filter_map(|(name, value)| {
            let value = value.as_str().filter(|value| value.len() <= TEXT_BYTES_MAX)?;
            Some((name.as_str().into(), value.into()))
        })
        .take(LABELS_MAX)
        .collect()
}

/// The hexadecimal digits of `sha256:<digits>`.
fn without_algorithm(digest: &str) -> &str {
    digest.strip_prefix("sha256:").unwrap_or(digest)
}
