//! Names of files: the one that the kernel found, whatever way led there, beside the one that was given.

use std::{fs, os::unix::fs::symlink, path::Path, process::Command};

use sensor_proto::v1::Detection;
use sensor_tests::{helper, values::Values as _};

use crate::{
    agent::{agent, run_well},
    open::open,
};

fn assert_path(found: &Detection, real: &Path, given: &str) {
    assert_eq!(found.text("fd.name"), real.to_str().unwrap());
    assert_eq!(found.text("fd.nameraw"), given);
}

#[test]
fn links_and_dots_do_not_hide_a_file() {
    let Some(agent) = agent() else { return };
    let mut opens = agent.watch("open");
    let folder = tempfile::tempdir().unwrap();
    let real = folder.path().join("real");
    fs::create_dir_all(real.join("deeper")).unwrap();
    let file = real.join("e2e-file");
    fs::write(&file, "").unwrap();
    symlink(&file, folder.path().join("e2e-link")).unwrap();
    symlink("real/deeper", folder.path().join("way")).unwrap();
    for given in [
        "e2e-link",
        "way/../e2e-file",
        "real/deeper/.././/../real/e2e-file",
    ] {
        let given = folder.path().join(given);
        let (pid, result) = open("openat", &given, 0, 0);
        assert!(result >= 0, "{}: {result}", given.display());
        assert_path(&opens.of(pid, |_| true), &file, given.to_str().unwrap());
    }
    // The way through /proc has no name of its own at all.
    let given = format!("/proc/self/root{}", file.display());
    let (pid, _) = open("open", Path::new(&given), 0, 0);
    assert_path(&opens.of(pid, |_| true), &file, &given);
}

#[test]
fn relative_names_are_resolved_from_where_they_began() {
    let Some(agent) = agent() else { return };
    let mut opens = agent.watch("open");
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("inner")).unwrap();
    let file = folder.path().join("e2e-file");
    fs::write(&file, "").unwrap();
    let files = helper::path("files").unwrap();

    let mut from_cwd = Command::new(&files);
    let (pid, _) = run_well(from_cwd.args(["openat", "./e2e-file"]).current_dir(folder.path()));
    assert_path(&opens.of(pid, |_| true), &file, "./e2e-file");

    let mut from_dirfd = Command::new(&files);
    from_dirfd
        .args(["openat", "../e2e-file", "0", "0"])
        .arg(folder.path().join("inner"));
    let (pid, _) = run_well(&mut from_dirfd);
    let found = opens.of(pid, |detection| detection.text("fd.nameraw") == "../e2e-file");
    assert_path(&found, &file, "../e2e-file");
}

#[test]
fn a_changed_root_does_not_hide_a_file() {
    let Some(agent) = agent() else { return };
    let mut opens = agent.watch("open");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("e2e-file");
    fs::write(&file, "").unwrap();
    let mut command = Command::new(helper::path("files").unwrap());
    command.args(["chroot", "/e2e-file", "0", "0"]).arg(folder.path());
    let (pid, _) = run_well(&mut command);
    assert_path(&opens.of(pid, |_| true), &file, "/e2e-file");
}

#[test]
fn a_bind_mount_is_named_by_where_it_is_mounted() {
    let Some(agent) = agent() else { return };
    let mut opens = agent.watch("open");
    let folder = tempfile::tempdir().unwrap();
    let (from, to) = (folder.path().join("from"), folder.path().join("to"));
    fs::create_dir_all(from.join("inner")).unwrap();
    fs::create_dir(&to).unwrap();
    fs::write(from.join("inner/e2e-file"), "").unwrap();
    let mut command = Command::new("unshare");
    command.args([
        "--mount",
        "/bin/sh",
        "-c",
        "mount --bind \"$1/from\" \"$1/to\" && exec \"$0\" open \"$1/to/inner/e2e-file\"",
    ]);
    let (pid, _) = run_well(command.arg(helper::path("files").unwrap()).arg(folder.path()));
    let found = opens.of(pid, |detection| detection.text("proc.name") == "e2e-files");
    assert_path(
        &found,
        &to.join("inner/e2e-file"),
        to.join("inner/e2e-file").to_str().unwrap(),
    );
}

#[test]
fn a_deep_path_is_whole_and_a_deeper_one_is_said_to_be_cut() {
    let Some(agent) = agent() else { return };
    let mut opens = agent.watch("open");
    let folder = tempfile::tempdir_in("/tmp").unwrap();
    // With the folder's two and the file, 60 components and many more.
    for (depth, is_whole) in [(57, true), (300, false)] {
        let deep: std::path::PathBuf = (0..depth).map(|level| format!("d{level}")).collect();
        let deep = folder.path().join(deep);
        fs::create_dir_all(&deep).unwrap();
        let file = deep.join("e2e-file");
        fs::write(&file, "").unwrap();
        let (pid, result) = open("openat", &file, 0, 0);
        assert!(result >= 0, "{result}");
        let found = opens.of(pid, |_| true);
        assert_eq!(found.text("fd.nameraw"), file.to_str().unwrap());
        let told = found.text("fd.name");
        if is_whole {
            assert_eq!(told, file.to_str().unwrap());
            assert!(found.incomplete.is_empty(), "{:?}", found.incomplete);
        } else {
            assert!(told.ends_with("/d298/d299/e2e-file"), "{told}");
            assert!(told.matches('/').count() >= 60, "{told}");
            assert_eq!(found.incomplete, ["path: truncated"]);
        }
    }
}

#[test]
fn a_deleted_file_keeps_the_name_it_had() {
    let Some(agent) = agent() else { return };
    let mut opens = agent.watch("open");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("e2e-gone");
    fs::write(&file, "").unwrap();
    // Opened again by way of a descriptor when its name is gone.
    let script = "exec 9<\"$1\" && rm \"$1\" && exec \"$0\" openat /proc/self/fd/9";
    let mut command = Command::new("/bin/sh");
    let (pid, printed) = run_well(
        command
            .args(["-c", script])
            .arg(helper::path("files").unwrap())
            .arg(&file),
    );
    assert!(printed.trim().parse::<i64>().unwrap() >= 0, "{printed}");
    let found = opens.of(pid, |detection| detection.text("fd.nameraw") == "/proc/self/fd/9");
    assert!(
        found.text("fd.name").starts_with(file.to_str().unwrap()),
        "{}",
        found.text("fd.name")
    );
}
