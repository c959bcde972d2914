//! Ways around the name of a file: P01 to P22.

use std::{fs, os::unix::fs::MetadataExt as _};

use sensor_proto::v1::Detection;
use sensor_tests::values::Values as _;

use crate::agent::{Agent, Vault, agent, run, text};

/// Has the helper reach the secret by a way: the vault, the process's id, and what it printed.
fn reach(way: &str, more: &[&str]) -> (Vault, u32, String) {
    let vault = Vault::new();
    let mut arguments = vec![way, text(&vault.secret), text(&vault.place)];
    arguments.extend(more);
    let (pid, printed) = run("names", &arguments);
    (vault, pid, printed)
}

fn number(printed: &str) -> i64 {
    printed.split(' ').next_back().unwrap().parse().unwrap()
}

/// Reaches the secret by a way that opens it: the rule on its path must match, with the file's own name and inode,
/// beside the name that was given.
fn is_seen(agent: &Agent, way: &str, given: impl Fn(&Vault) -> String) -> Detection {
    let mut watch = agent.watch();
    let (vault, pid, printed) = reach(way, &[]);
    assert!(number(&printed) >= 0, "{way}: {printed}");
    let given = given(&vault);
    let found = watch.of("secret read", pid, |found| found.text("fd.nameraw") == given);
    assert_eq!(found.text("fd.name"), text(&vault.secret), "{way}");
    let inode = fs::metadata(&vault.secret).unwrap().ino();
    assert_eq!(found.number("fd.ino"), inode.cast_signed(), "{way}");
    assert_eq!(found.text("evt.res"), "SUCCESS", "{way}");
    found
}

fn in_place(name: &'static str) -> impl Fn(&Vault) -> String {
    move |vault| format!("{}/{name}", vault.place.display())
}

#[test]
fn p01_a_link_to_a_file() {
    let Some(agent) = agent() else { return };
    assert!(is_seen(&agent, "link-file", in_place("l")).is("path.mismatch"));
    // And the real one.
    let mut watch = agent.watch();
    let vault = Vault::new();
    let (pid, _) = run("names", &["link-file", "/etc/shadow", text(&vault.place)]);
    let found = watch.of("secret read", pid, |_| true);
    assert_eq!(found.text("fd.name"), "/etc/shadow");
    assert_eq!(found.text("fd.nameraw"), in_place("l")(&vault));
}

#[test]
fn p02_a_link_to_a_folder_and_two_dots() {
    let Some(agent) = agent() else { return };
    assert!(is_seen(&agent, "link-dotdot", in_place("l/../shadow")).is("path.mismatch"));
}

#[test]
fn p03_a_link_to_the_root() {
    let Some(agent) = agent() else { return };
    is_seen(&agent, "link-root", |vault| {
        format!("{}/r{}", vault.place.display(), vault.secret.display())
    });
}

#[test]
fn p04_a_second_name() {
    let Some(agent) = agent() else { return };
    let mut watch = agent.watch();
    let (vault, pid, _) = reach("hard-link", &[]);
    let found = watch.of("secret changed by name", pid, |_| true);
    assert_eq!(found.text("fs.path.source"), text(&vault.secret));
    assert_eq!(found.text("fs.path.target"), in_place("h")(&vault));

    // By a descriptor, the source's name is not resolved, and that is told.
    let mut watch = agent.watch();
    let (vault, pid, printed) = reach("hard-link-fd", &[]);
    assert!(number(&printed) >= 0, "{printed}");
    let found = watch.of("file by an unresolved name", pid, |_| true);
    assert!(found.text("fs.path.sourceraw").starts_with("/proc/self/fd/"));
    assert_eq!(found.text("fs.path.target"), in_place("h")(&vault));
    assert!(found.is("path.unresolved"));
}

#[test]
fn p06_another_root() {
    let Some(agent) = agent() else { return };
    is_seen(&agent, "chroot", |_| "/shadow".into());
}

#[test]
fn p07_by_way_of_proc() {
    let Some(agent) = agent() else { return };
    is_seen(&agent, "proc-root", |vault| {
        format!("/proc/{}/root{}", std::process::id(), vault.secret.display())
    });
    is_seen(&agent, "proc-cwd", |_| "/proc/self/cwd/shadow".into());
}

#[test]
fn p08_a_folder_that_was_open_before_the_agent_ran() {
    let Some(agent) = agent() else { return };
    let mut watch = agent.watch();
    let (pid, vault) = agent.tell_elder();
    let found = watch.of("secret read", pid, |_| true);
    assert_eq!(found.text("fd.name"), text(&vault.secret));
    assert_eq!(found.text("fd.nameraw"), "shadow");
    // And a folder that was opened since.
    assert!(!is_seen(&agent, "dirfd", |_| "shadow".into()).is("path.mismatch"));
}

#[test]
fn p09_openat2_with_another_root() {
    let Some(agent) = agent() else { return };
    for (way, given) in [("openat2-root", "/shadow"), ("openat2-beneath", "shadow")] {
        assert_eq!(is_seen(&agent, way, |_| given.into()).text("evt.type"), "openat2");
    }
}

#[test]
fn p10_a_handle() {
    let Some(agent) = agent() else { return };
    let found = is_seen(&agent, "handle", |_| String::new());
    assert_eq!(found.text("evt.type"), "open_by_handle_at");
}

#[test]
fn p11_a_place_that_is_opened_again() {
    let Some(agent) = agent() else { return };
    let found = is_seen(&agent, "place", |_| "/proc/self/fd/3".into());
    assert!(found.is("path.mismatch"));
}

#[test]
fn p12_a_descriptor_of_another_process() {
    let Some(agent) = agent() else { return };
    // Taken: the call is told, and so is who opened the file.
    let mut watch = agent.watch();
    let (_, pid, printed) = reach("pidfd", &[]);
    let child = number(printed.split(' ').next().unwrap());
    assert!(number(&printed) >= 0, "{printed}");
    let taken = watch.of("descriptor taken", pid, |_| true);
    assert_eq!(taken.text("evt.arg.fd"), printed.split(' ').next_back().unwrap());
    let mut watch = agent.watch();
    let (_, _, printed) = reach("pidfd", &[]);
    let child_again = number(printed.split(' ').next().unwrap());
    assert_ne!(child, child_again);
    watch.of("secret read", child_again.try_into().unwrap(), |_| true);
    // Sent: only who opened it is told. That the receiver has it is a gap of every sensor, named in docs/evasion.md.
    let mut watch = agent.watch();
    let (_, _, printed) = reach("message", &[]);
    let child = number(printed.split(' ').next().unwrap());
    watch.of("secret read", child.try_into().unwrap(), |_| true);
}

#[test]
fn p13_deep_folders() {
    let Some(agent) = agent() else { return };
    for depth in [21_usize, 60, 65, 97, 129, 300] {
        let mut watch = agent.watch();
        let (vault, pid, printed) = reach("deep", &[&depth.to_string()]);
        assert!(number(&printed) >= 0, "{depth}: {printed}");
        let found = watch.of("opened by a helper", pid, |_| true);
        assert_eq!(found.text("fd.filename"), "shadow", "{depth}");
        let whole = format!("{}{}/shadow", vault.place.display(), "/d".repeat(depth));
        let told = found.text("fd.name");
        let is_whole = told == whole;
        // Whole, or said to be cut, with its end.
        assert_eq!(found.is("evt.truncated"), !is_whole, "{depth}: {told}");
        assert_eq!(is_whole, depth <= 60, "{depth}: {told}");
        if !is_whole {
            assert!(whole.ends_with(told.trim_start_matches("...")), "{depth}: {told}");
            assert_eq!(found.text("evt.incomplete"), "path: truncated", "{depth}");
        }
    }
}

#[test]
fn p14_long_paths() {
    let Some(agent) = agent() else { return };
    let name = "n".repeat(255);
    for depth in [14_usize, 40, 200] {
        let mut watch = agent.watch();
        let (vault, pid, printed) = reach("long", &[&depth.to_string(), &name]);
        assert!(number(&printed) >= 0, "{depth}: {printed}");
        let found = watch.of("opened by a helper", pid, |_| true);
        let whole = format!(
            "{}/{}shadow",
            vault.place.display(),
            format!("{name}/").repeat(depth)
        );
        let told = found.text("fd.name");
        assert!(
            told == whole || (found.is("evt.truncated") && told.contains(&name)),
            "{depth}: {told}"
        );
        if depth == 14 {
            assert_eq!(told, whole);
        }
    }
}

#[test]
fn p16_spaces_dots_and_slashes() {
    let Some(agent) = agent() else { return };
    let mut watch = agent.watch();
    let vault = Vault::new();
    let odd = vault.secret.parent().unwrap();
    let place = vault.place.display();
    // A folder whose name looks like the one above, and a name with a space at its end.
    fs::create_dir(vault.place.join(".. ")).unwrap();
    fs::write(vault.place.join(".. /e2e-x "), "").unwrap();
    for (given, expected) in [
        (
            format!("{}//./shadow", odd.display()),
            text(&vault.secret).to_owned(),
        ),
        (format!("{place}/.. /e2e-x "), format!("{place}/.. /e2e-x ")),
    ] {
        let secret = if given.ends_with(' ') {
            given.clone()
        } else {
            text(&vault.secret).to_owned()
        };
        let (pid, printed) = run("names", &["plain", &secret, text(&vault.place), &given]);
        assert!(number(&printed) >= 0, "{given}: {printed}");
        let found = watch.of("opened by a helper", pid, |found| {
            found.text("fd.nameraw") == given
        });
        assert_eq!(found.text("fd.name"), expected);
    }
}

#[test]
fn p20_another_file_takes_its_place() {
    let Some(agent) = agent() else { return };
    for (way, call) in [("rename", "rename"), ("exchange", "renameat2")] {
        let mut watch = agent.watch();
        let (vault, pid, printed) = reach(way, &[]);
        assert_eq!(printed, "0", "{way}");
        let found = watch.of("secret changed by name", pid, |_| true);
        assert_eq!(found.text("evt.type"), call);
        assert_eq!(found.text("fs.path.target"), text(&vault.secret), "{way}");
        assert_eq!(found.text("fs.path.source"), in_place("new")(&vault), "{way}");
    }
}

#[test]
fn p21_a_change_without_an_open_for_writing() {
    let Some(agent) = agent() else { return };
    for call in ["truncate", "setxattr", "chmod"] {
        let mut watch = agent.watch();
        let (vault, pid, printed) = reach("change", &[call]);
        assert_eq!(printed, "0", "{call}");
        let found = watch.of("secret changed by name", pid, |_| true);
        assert_eq!(found.text("evt.type"), call);
        assert_eq!(found.text("fs.path.name"), text(&vault.secret), "{call}");
    }
    // All others need a descriptor that is open for writing, and its open is told.
    for call in [
        "ftruncate",
        "fallocate",
        "sendfile",
        "copy_file_range",
        "splice",
        "mmap",
    ] {
        let mut watch = agent.watch();
        let (vault, pid, printed) = reach("change", &[call]);
        assert_eq!(printed, "0", "{call}");
        let found = watch.of("secret opened for writing", pid, |_| true);
        assert_eq!(found.text("fd.name"), text(&vault.secret), "{call}");
    }
    // Even where it was open to be read only.
    let mut watch = agent.watch();
    let (vault, pid, printed) = reach("reopen", &[]);
    assert!(number(&printed) >= 0, "{printed}");
    let found = watch.of("secret opened for writing", pid, |_| true);
    assert_eq!(found.text("fd.name"), text(&vault.secret));
    assert_eq!(found.text("fd.nameraw"), "/proc/self/fd/3");
}

#[test]
fn p22_a_device_of_ones_own() {
    let Some(agent) = agent() else { return };
    let mut watch = agent.watch();
    let (vault, pid, printed) = reach("block", &[]);
    let found = watch.of("device", pid, |_| true);
    assert_eq!(found.text("evt.arg.path"), in_place("e2e-disk")(&vault));
    let mode = found.text("evt.arg.mode");
    assert!(mode.contains("S_IFBLK"), "{mode}");
    // This machine's root may not do everything: what it may not is told all the same.
    let told = |result: i64| match result {
        -1 => "EPERM",
        -2 => "ENOENT",
        _ => "SUCCESS",
    };
    let (first, then) = printed.split_once(' ').unwrap();
    assert_eq!(found.text("evt.res"), told(first.parse().unwrap()));
    let found = watch.of("opened by a helper", pid, |_| true);
    assert_eq!(found.text("fd.name"), in_place("e2e-disk")(&vault));
    assert_eq!(found.text("evt.res"), told(then.parse().unwrap()));
}

/// P05, C04: what is mounted where, by the old call and the new ones.
#[test]
fn p05_c04_a_folder_is_shown_elsewhere() {
    let Some(agent) = agent() else { return };
    for (way, call, is_file) in [
        ("bind-folder", "mount", false),
        ("bind-file", "mount", true),
        ("bind-by-descriptors", "open_tree", false),
    ] {
        let mut watch = agent.watch();
        let (vault, pid, printed) = reach(way, &[]);
        assert!(number(&printed) >= 0, "{way}: {printed}");
        let folder = vault.secret.parent().unwrap();
        let from = if is_file {
            text(&vault.secret)
        } else {
            text(folder)
        };
        let found = watch.of("mount", pid, |found| {
            found.text("evt.type") == call && !found.text("evt.arg.flags").contains("MS_PRIVATE")
        });
        assert_eq!(found.text("evt.res"), "SUCCESS", "{way}");
        let told = if call == "mount" {
            found.text("evt.arg.dev")
        } else {
            found.text("evt.arg.path")
        };
        assert_eq!(told, from, "{way}");
        if call == "open_tree" {
            let moved = watch.of("mount", pid, |found| found.text("evt.type") == "move_mount");
            assert_eq!(moved.text("fs.path.target"), in_place("m")(&vault));
        }
    }
}
