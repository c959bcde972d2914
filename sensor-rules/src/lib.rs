//! The Falco rule language.
#![forbid(unsafe_code)]
