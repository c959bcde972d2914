//! Calls about names and identities.

use std::process::Command;

use sensor_proto::v1::Detection;
use sensor_tests::{helper, values::Values as _};

use crate::agent::{agent, run_well};

#[test]
fn calls_about_names_and_identities_are_told_with_both_names_and_new_ids() {
    let Some(agent) = agent() else { return };
    let mut names = agent.watch("name");
    // What the critical ring carries comes before what the other carries.
    let mut critical = agent.watch("name");
    let mut identities = agent.watch("identity");
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (pid, printed) = run_well(Command::new(helper::path("calls").unwrap()).arg(folder.path()));
    assert!(printed.contains("rename 0\n"), "{printed}");
    let is = |event_type: &'static str| move |found: &Detection| found.text("evt.type") == event_type;

    let found = names.of(pid, is("rename"));
    assert_eq!(found.text("evt.arg.oldpath"), at("file"));
    assert_eq!(found.text("evt.arg.newpath"), at("moved"));
    assert_eq!(found.text("fs.path.source"), at("file"));
    assert_eq!(found.text("fs.path.target"), at("moved"));
    assert!(
        found.is("path.unresolved"),
        "links behind the folder are not resolved"
    );
    assert_eq!(names.of(pid, is("link")).text("evt.arg.newpath"), at("second"));
    let found = names.of(pid, is("symlink"));
    assert_eq!(found.text("evt.arg.target"), "/etc/shadow");
    assert_eq!(found.text("evt.arg.linkpath"), at("soft"));
    let found = names.of(pid, is("chmod"));
    assert_eq!(found.text("evt.arg.filename"), at("moved"));
    assert!(found.text("evt.arg.mode").contains("S_ISUID"));
    // Falco knows this one only by its number.
    assert_eq!(
        names.of(pid, is("fchmodat2")).text("evt.arg.mode"),
        "S_IWUSR|S_IRUSR"
    );
    assert_eq!(names.of(pid, is("truncate")).text("fs.path.name"), at("moved"));
    assert_eq!(
        names.of(pid, is("renameat2")).text("evt.arg.flags"),
        "RENAME_EXCHANGE"
    );
    for (call, name) in [("mkdir", "folder"), ("rmdir", "folder"), ("unlink", "second")] {
        assert_eq!(names.of(pid, is(call)).text("evt.arg.path"), at(name), "{call}");
    }
    assert!(
        critical
            .of(pid, is("mknod"))
            .text("evt.arg.mode")
            .contains("S_IFIFO")
    );
    let found = critical.of(pid, is("memfd_create"));
    assert_eq!(found.text("evt.arg.name"), "e2e-memory");
    assert_eq!(found.text("fd.name"), "/memfd:e2e-memory");
    let found = names.of(pid, is("execfailed"));
    assert_eq!(found.text("evt.res"), "ENOENT");
    assert!(found.text("evt.arg.filename").ends_with("/./absent"));
    let found = critical.of(pid, is("mount"));
    assert_eq!(found.text("fs.path.target"), folder.path().to_str().unwrap());
    assert_eq!(found.text("evt.arg.flags"), "MS_NOSUID");

    assert_eq!(identities.of(pid, is("kill")).text("evt.arg.sig"), "SIGCONT");
    assert_eq!(
        identities.of(pid, is("prctl")).text("evt.arg.option"),
        "PR_SET_NAME"
    );
    assert_eq!(
        identities.of(pid, is("unshare")).text("evt.arg.flags"),
        "CLONE_NEWNS"
    );
    // The effective id follows at once, though the real one is still root's.
    let found = identities.of(pid, is("setresuid"));
    assert_eq!(found.text("evt.arg.euid"), "nobody");
    assert_eq!(found.number("user.uid"), 65534);
    let found = identities.of(pid, is("setuid"));
    assert_eq!(found.text("evt.arg.uid"), "root");
}
