//! Who somebody is, and what a program is, as the files of its own root tell: users and groups, what ids mean in a user
//! namespace, the hash of a program and the package that it belongs to.
//!
//! A root belongs to whoever is inside: its files may be links that lead out, pipes, devices, endless, changing, or on a
//! file system that never answers. So a file is opened below its root and nowhere else, is a plain one, and is read up
//! to a bound; the work is done by a [`hand`] that is left behind when it does not come back; and no event waits
//! for any of it but for the bounded time of [`pipeline::hold`](crate::pipeline).

pub mod accounts;
pub mod environment;
pub mod hand;
pub mod packages;
pub mod program;
pub mod programs;
pub mod root;
pub mod worker;
