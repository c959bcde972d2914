//! Collectors: kernel objects in, a record out. None of them cares which hook called it.

pub(crate) mod connect;
pub(crate) mod denied;
pub(crate) mod dup;
pub(crate) mod exec;
pub(crate) mod exit;
pub(crate) mod fork;
pub(crate) mod identity;
pub(crate) mod io_uring;
pub(crate) mod open;
pub(crate) mod outcome;
pub(crate) mod path;
pub(crate) mod plain;
pub(crate) mod socket;
pub(crate) mod socket_call;
pub(crate) mod tasks;
pub(crate) mod text;
