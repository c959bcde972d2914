//! Every bound of the loader, with its reason.
//!
//! A rule file is untrusted: it may come from a `ConfigMap` that a tenant can write. Each bound is far
//! above what any real rule set needs (Falco's own two files are 130 KB, 90 rules, 400 list items) and
//! low enough that a hostile file costs seconds and megabytes, not a node.

/// Bytes in one file.
pub(crate) const FILE_BYTES_MAX: usize = 16 << 20;
/// Bytes of all files of one load.
pub(crate) const LOAD_BYTES_MAX: usize = 64 << 20;
/// Files in one load. Everything is compiled after each.
pub(crate) const FILES_MAX: usize = 256;
/// YAML nodes in one file; an alias counts as every node it stands for, so alias bombs end here.
pub(crate) const NODES_MAX: u32 = 1_000_000;
/// Nested YAML collections. The deepest legal value, an exception's list of lists, needs six.
pub(crate) const DEPTH_MAX: usize = 64;
/// Lists, macros and rules that one load may define.
pub(crate) const ITEMS_MAX: usize = 100_000;
/// Entries of all lists together, after lists inside lists are replaced.
pub(crate) const LIST_ENTRIES_MAX: usize = 2_000_000;
/// Bytes of all lists together, written out.
pub(crate) const LIST_BYTES_MAX: usize = 64 << 20;
/// Bytes of one condition after its exceptions and lists are written out.
pub(crate) const CONDITION_BYTES_MAX: usize = 16 << 20;
/// Bytes of all conditions of one compilation after their lists are written out.
pub(crate) const EXPANDED_BYTES_MAX: usize = 128 << 20;
/// List items written into all conditions of one compilation. Each becomes a value of some 80 bytes.
pub(crate) const EXPANDED_ITEMS_MAX: usize = 4_000_000;
/// Nodes of one condition after its macros are put in.
pub(crate) const CONDITION_NODES_MAX: usize = 1_000_000;
/// Nodes of all conditions of one compilation after their macros are put in.
pub(crate) const EXPANDED_NODES_MAX: usize = 8_000_000;
/// Levels of one condition's tree, macros included. Everything that walks a tree recurses, so this bounds the
/// stack; one text alone can have some 600 levels ([`crate::limits::CONDITION_DEPTH_MAX`]).
pub(crate) const TREE_DEPTH_MAX: usize = 1000;
/// Macros inside macros while they are resolved, for the same reason.
pub(crate) const MACRO_DEPTH_MAX: usize = 200;
/// Errors kept for one file; what follows is usually the same mistake again.
pub(crate) const ERRORS_MAX: usize = 1000;
/// Warnings kept for one file.
pub(crate) const WARNINGS_MAX: usize = 10_000;
