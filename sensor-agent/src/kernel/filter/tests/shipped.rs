//! The rule files that we have, and many generated rules: their filters are loaded.

use std::path::{Path, PathBuf};

use super::*;

/// Rules of these files and folders.
fn load_files(paths: &[PathBuf]) -> RuleSet {
    let files = crate::rules::files(paths).unwrap();
    let loaded = crate::rules::read(&files, LoadOptions::default());
    loaded.rule_set.expect("the rules load")
}

/// Loads each filter, and returns how many programs were needed at most, and whether anything was left undecided for
/// want of room.
fn load_all(rig: &kernel::Rig, demands: &[Demand]) -> (usize, bool) {
    let mut most = 0;
    let mut is_weakened = false;
    for (kind, place) in asked() {
        let (hook, maps) = rig.of(place);
        let load = |formulas: &[Formula]| load(formulas, kind, place, maps, hook);
        let made = smallest_that_fits(demands, kind, place, &types(), load);
        let made = made.unwrap_or_else(|error| panic!("{kind:?} {place:?}: {error}"));
        if let Some((_, about)) = made {
            most = most.max(about.parts);
            is_weakened |= about.constants_max.is_some();
        }
    }
    (most, is_weakened)
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

#[test]
fn the_filters_of_our_rules_are_accepted_whole() {
    let Some(rig) = kernel::Rig::new() else { return };
    let rules = load_files(&[root().join("rules")]);
    assert_eq!(load_all(&rig, rules.demands()), (1, false));
}

/// Rules that have nothing in common but their form: paths, names, networks, arguments.
fn generated(count: usize) -> RuleSet {
    let conditions: Vec<_> = (0..count)
        .map(|number| match number % 6 {
            0 => format!("evt.type in (open, openat) and fd.name startswith /srv/app{number}/data and proc.name=app{number}"),
            1 => format!("evt.type=openat and evt.is_open_write=true and fd.filename=secret-{number}.key"),
            2 => format!("evt.type=connect and fd.sip=10.{}.{}.7 and fd.sport={}", number / 250, number % 250, 1024 + number),
            3 => format!("evt.type in (unlink, unlinkat) and fs.path.name contains /cache{number}/"),
            4 => format!("evt.type=openat and fd.name glob /home/u{number}/*/work{number}.c"),
            _ => format!("evt.type in (rename, renameat2) and fs.path.source pmatch (/opt/tool{number}) and fs.path.target endswith .bak{number}"),
        })
        .collect();
    rules(&conditions)
}

#[test]
fn the_filters_of_a_thousand_rules_are_accepted() {
    let Some(rig) = kernel::Rig::new() else { return };
    let (parts, is_weakened) = load_all(&rig, generated(1000).demands());
    assert!(
        parts > 1 && parts <= PARTS_MAX as usize && !is_weakened,
        "{parts}"
    );
}

#[test]
fn what_does_not_fit_into_a_program_is_split_and_then_weakened() {
    let rules = generated(1000);
    let tried = std::cell::RefCell::new(Vec::new());
    // A kernel with room for so many tests a program.
    let with_room = |room: usize| {
        tried.borrow_mut().clear();
        smallest_that_fits(
            rules.demands(),
            Kind::Open,
            Place::Exit(Stage::Late),
            &types(),
            |formulas| {
                tried.borrow_mut().push(formulas.len());
                let cost = formulas.iter().map(Formula::cost).max().unwrap_or(0);
                if cost > room {
                    return Err(AsmError::TooFar(cost).into());
                }
                Ok((formulas.to_vec(), cost))
            },
        )
    };
    let whole = plan::plan(rules.demands(), Kind::Open, Place::Exit(Stage::Late), &types()).unwrap();
    let (formulas, about) = with_room(whole.cost() / 2).unwrap().unwrap();
    assert_eq!((formulas.len(), about.parts, about.constants_max), (3, 3, None));
    assert_eq!(*tried.borrow(), [1, 3]);
    // No room for anything is an error, so that the slot stays empty, and nothing is left out.
    assert!(with_room(0).is_err());
}
