//! Rules whose `action` is `deny` or `kill`: from a condition to tests that the kernel makes itself.
//!
//! A condition is taken only when the tests hold exactly where it does. Anything else is refused with the part
//! that is in the way: a kernel that denies more than the rule says breaks workloads, and one that denies less
//! is a promise not kept.

mod atom;
mod paths;

use std::sync::Arc;

use sensor_common::enforce::{DENY_RULES_MAX, DENY_TESTS_MAX, DenyTest, operations};
use sensor_rules::ast::Expr;

use self::paths::PathSet;
pub use self::paths::{PathPattern, entries};

/// A rule that denies or kills.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DenyRule {
    /// Its name.
    pub name: String,
    /// It matches where one of these does.
    pub tests: Vec<PathTest>,
}

/// A test, with the paths that it is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathTest {
    /// What the kernel compares with numbers.
    pub test: DenyTest,
    /// Of a program, for a test about such.
    pub programs: Vec<PathPattern>,
    /// Of a file, for a test about such.
    pub files: Vec<PathPattern>,
}

/// Why a rule cannot deny.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum EnforceError {
    /// The action is none of ours.
    #[error("rule `{rule}`: action `{action}` is not known: write deny or kill, or leave the key out")]
    Action {
        /// The rule.
        rule: String,
        /// What stands there.
        action: String,
    },
    /// Part of the condition is not decided in the kernel.
    #[error("rule `{rule}` cannot {action}: the kernel does not decide `{part}` exactly: {why}")]
    Inexact {
        /// The rule.
        rule: String,
        /// `deny` or `kill`.
        action: String,
        /// The sub-expression that is in the way.
        part: String,
        /// Why, and what to do.
        why: &'static str,
    },
    /// More than the kernel side has room for.
    #[error(
        "rule `{0}` cannot be enforced: the rules that deny or kill need more than {DENY_TESTS_MAX} tests or {DENY_RULES_MAX} rules"
    )]
    TooMany(String),
}

/// One way to match, in the making.
#[derive(Clone)]
struct Way {
    test: DenyTest,
    /// The program that is started, where that matters.
    programs: Option<PathSet>,
    /// The file that is opened, where that matters.
    files: Option<PathSet>,
}

/// Each operation there is.
const ANY_OPERATION: u32 = u32::MAX;
/// No operation: it stays where nothing has been said of `evt.type`.
const UNTYPED: u32 = 1 << 27;

/// Ways to open a file that a condition names, as bits while it is looked at. They become one operation: the hook sees
/// the file, not the call.
mod opens {
    pub(super) const OPEN: u32 = 1 << 28;
    pub(super) const OPENAT: u32 = 1 << 29;
    pub(super) const OPENAT2: u32 = 1 << 30;
    pub(super) const ALL: u32 = OPEN | OPENAT | OPENAT2;
}

impl Way {
    fn any() -> Self {
        Self {
            test: DenyTest {
                operations: ANY_OPERATION,
                port_max: u32::from(u16::MAX),
                ..DenyTest::default()
            },
            programs: None,
            files: None,
        }
    }

    fn with(change: impl FnOnce(&mut DenyTest)) -> Self {
        let mut way = Self::any();
        change(&mut way.test);
        way
    }
}

/// Prepares one rule, after `before` others with `tests_before` tests.
///
/// # Errors
/// When the action is not known, the kernel does not decide the condition exactly, or there is no room.
pub fn prepare(
    name: &str,
    action: &str,
    condition: &Arc<Expr>,
    before: usize,
    tests_before: usize,
) -> Result<DenyRule, EnforceError> {
    let kills = match action {
        "deny" => 0,
        "kill" => 1,
        _ => {
            return Err(EnforceError::Action {
                rule: name.into(),
                action: action.into(),
            });
        }
    };
    let refusal = |refusal| match refusal {
        Refusal::Part(part, why) => EnforceError::Inexact {
            rule: name.into(),
            action: action.into(),
            part,
            why,
        },
        Refusal::TooMany => EnforceError::TooMany(name.into()),
    };
    let ways = ways(condition).map_err(refusal)?;
    let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    let mut tests = Vec::new();
    for way in ways {
        let Some(mut test) = finish(way, condition).map_err(refusal)? else {
            continue;
        };
        test.test.rule = number(before);
        test.test.number = number(tests_before + tests.len());
        test.test.kills = kills;
        tests.push(test);
    }
    if before >= DENY_RULES_MAX as usize || tests_before + tests.len() > DENY_TESTS_MAX as usize {
        return Err(EnforceError::TooMany(name.into()));
    }
    Ok(DenyRule {
        name: name.into(),
        tests,
    })
}

/// The way as a test; `None` when nothing can satisfy it.
fn finish(way: Way, condition: &Expr) -> Result<Option<PathTest>, Refusal> {
    let Way {
        mut test,
        programs,
        files,
    } = way;
    let all = |why| Err(refused(condition, why));
    if test.operations & UNTYPED != 0 {
        return all(
            "each way to match it must demand an evt.type: connect, bind, execve, execveat, or the calls that open",
        );
    }
    match test.operations & opens::ALL {
        0 => {}
        opens::ALL => test.operations |= operations::OPEN,
        _ => {
            return all(
                "where a file is opened the kernel does not tell by which call: demand evt.type in (open, openat, openat2)",
            );
        }
    }
    test.operations &= !opens::ALL;
    // What is said of an address holds for nothing else, and so for a file.
    let is_about_address = test.mask_high | test.mask_low != 0
        || test.port_min > 0
        || test.port_max < u32::from(u16::MAX)
        || test.protocol != 0;
    if is_about_address {
        test.operations &= operations::CONNECT | operations::BIND;
    }
    if files.is_some() || test.access != 0 {
        test.operations &= operations::OPEN;
    }
    let starts = operations::EXECVE | operations::EXECVEAT;
    if programs.is_some() && test.operations & !starts != 0 {
        return all("proc.exepath is decided where a program is started, of no other event");
    }
    let list = |paths: Option<PathSet>| paths.map(PathSet::into_patterns);
    let (programs, files) = (list(programs), list(files));
    test.has_paths = u32::from(programs.is_some() || files.is_some());
    let holds_nothing = |paths: &Option<Vec<PathPattern>>| paths.as_ref().is_some_and(Vec::is_empty);
    if test.operations == 0 || holds_nothing(&programs) || holds_nothing(&files) {
        return Ok(None);
    }
    Ok(Some(PathTest {
        test,
        programs: programs.unwrap_or_default(),
        files: files.unwrap_or_default(),
    }))
}

enum Refusal {
    Part(String, &'static str),
    TooMany,
}

fn ways(expr: &Expr) -> Result<Vec<Way>, Refusal> {
    match expr {
        Expr::And(parts) => {
            let mut all = vec![Way::any()];
            for part in parts {
                let of_part = ways(part)?;
                let both = |first: &Way| {
                    of_part
                        .iter()
                        .filter_map(|second| meet(first, second))
                        .collect::<Vec<_>>()
                };
                all = all.iter().flat_map(both).collect();
                if all.len() > DENY_TESTS_MAX as usize {
                    return Err(Refusal::TooMany);
                }
            }
            Ok(all)
        }
        Expr::Or(parts) => {
            let mut all = Vec::new();
            for part in parts {
                all.extend(ways(part)?);
            }
            Ok(all)
        }
        Expr::Macro(reference) => match &reference.body {
            Some(body) => ways(body),
            None => Err(refused(expr, "the macro is not known")),
        },
        Expr::Check(check) => atom::ways(check),
        Expr::Not(_) => Err(refused(expr, "write what is denied, not what is left out")),
        Expr::Exception(_) => Err(refused(
            expr,
            "an exception looks at more than the connection: name what is denied in the condition",
        )),
    }
}

fn refused(expr: &Expr, why: &'static str) -> Refusal {
    Refusal::Part(expr.to_string(), why)
}

/// What both ways demand; `None` when nothing can satisfy both.
fn meet(first: &Way, second: &Way) -> Option<Way> {
    let (a, b) = (&first.test, &second.test);
    let mut test = *a;
    // Masks are prefixes: the longer one decides, if the shorter agrees on its bits.
    let common = (a.mask_high & b.mask_high, a.mask_low & b.mask_low);
    if a.address_high & common.0 != b.address_high & common.0
        || a.address_low & common.1 != b.address_low & common.1
    {
        return None;
    }
    if (b.mask_high, b.mask_low) > (a.mask_high, a.mask_low) {
        (test.address_high, test.address_low) = (b.address_high, b.address_low);
        (test.mask_high, test.mask_low) = (b.mask_high, b.mask_low);
    }
    test.port_min = a.port_min.max(b.port_min);
    test.port_max = a.port_max.min(b.port_max);
    test.operations = a.operations & b.operations;
    if test.port_min > test.port_max || test.operations == 0 {
        return None;
    }
    test.protocol = either(a.protocol != 0, a.protocol, b.protocol != 0, b.protocol)?;
    test.uid = either(a.has_uid != 0, a.uid, b.has_uid != 0, b.uid)?;
    test.has_uid = a.has_uid | b.has_uid;
    test.access = a.access | b.access;
    Some(Way {
        test,
        programs: PathSet::both(first.programs.as_ref(), second.programs.as_ref()),
        files: PathSet::both(first.files.as_ref(), second.files.as_ref()),
    })
}

fn either(has_a: bool, a: u32, has_b: bool, b: u32) -> Option<u32> {
    match (has_a, has_b) {
        (true, true) if a != b => None,
        (true, _) => Some(a),
        (false, _) => Some(b),
    }
}

#[cfg(test)]
mod tests;
