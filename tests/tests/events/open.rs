//! Files that are opened, by every call that can.

use std::{
    fs,
    os::unix::{
        fs::{MetadataExt as _, PermissionsExt as _},
        process::CommandExt as _,
    },
    path::Path,
    process::Command,
};

use sensor_tests::{helper, values::Values as _};

use crate::agent::{agent, run_well};

/// `include/uapi/asm-generic/fcntl.h`
const O_WRONLY: u32 = 0o1;
const O_RDWR: u32 = 0o2;
const O_CREAT: u32 = 0o100;
const O_EXCL: u32 = 0o200;
const O_DIRECTORY: u32 = 0o200_000;

/// Has the helper open a file: its process id, and the call's result.
pub(crate) fn open(call: &str, path: &Path, flags: u32, mode: u32) -> (u32, i64) {
    let mut command = Command::new(helper::path("files").unwrap());
    command
        .arg(call)
        .arg(path)
        .args([flags.to_string(), mode.to_string()]);
    let (pid, printed) = run_well(&mut command);
    (pid, printed.trim().parse().unwrap())
}

#[test]
fn each_call_is_told_by_its_name_with_the_file_that_it_opened() {
    let Some(agent) = agent() else { return };
    let mut opens = agent.watch("open");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("e2e-file");
    fs::write(&file, "content").unwrap();
    let metadata = fs::metadata(&file).unwrap();
    for call in ["open", "openat", "openat2", "open_by_handle_at", "creat"] {
        let verb = if call == "open_by_handle_at" {
            "handle"
        } else {
            call
        };
        let (pid, result) = open(verb, &file, O_RDWR, 0);
        assert!(result >= 0, "{call}: {result}");
        let found = opens.of(pid, |detection| detection.text("evt.type") == call);
        assert_eq!(found.text("fd.name"), file.to_str().unwrap(), "{call}");
        let given = if call == "open_by_handle_at" {
            ""
        } else {
            file.to_str().unwrap()
        };
        assert_eq!(found.text("fd.nameraw"), given, "{call}");
        assert_eq!(
            found.text("fd.directory"),
            folder.path().to_str().unwrap(),
            "{call}"
        );
        assert_eq!(found.text("fd.filename"), "e2e-file", "{call}");
        assert_eq!(found.number("fd.num"), result, "{call}");
        assert_eq!(found.text("fd.type"), "file", "{call}");
        assert_eq!(found.number("fd.ino"), metadata.ino().cast_signed(), "{call}");
        assert_eq!(found.text("evt.res"), "SUCCESS", "{call}");
        assert!(found.is("evt.is_open_write"), "{call}");
        assert_eq!(found.is("evt.is_open_read"), call != "creat", "{call}");
        assert!(!found.is("evt.is_open_create"), "{call}: the file was there");
        assert_eq!(found.text("proc.name"), "e2e-files", "{call}");
        assert!(found.incomplete.is_empty(), "{call}: {:?}", found.incomplete);
        let told = found.file.unwrap();
        assert_eq!(
            (told.path.as_str(), told.inode),
            (file.to_str().unwrap(), metadata.ino()),
            "{call}"
        );
        // The kernel keeps 12 bits of a major number and 20 of a minor one.
        let (major, minor) = (
            rustix::fs::major(metadata.dev()),
            rustix::fs::minor(metadata.dev()),
        );
        assert_eq!(told.device, u64::from(major << 20 | minor), "{call}");
    }
}

#[test]
fn a_file_that_an_open_made_is_told_apart() {
    let Some(agent) = agent() else { return };
    let mut opens = agent.watch("open");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("e2e-new");
    for (call, flags) in [
        ("openat", O_CREAT | O_WRONLY | O_EXCL),
        ("open", O_CREAT | O_WRONLY),
        ("creat", 0),
    ] {
        for is_new in [true, false] {
            if !is_new && flags & O_EXCL != 0 {
                continue;
            }
            let (pid, result) = open(call, &file, flags, 0o640);
            assert!(result >= 0, "{call}: {result}");
            let found = opens.of(pid, |_| true);
            assert_eq!(found.is("evt.is_open_create"), is_new, "{call}");
            assert_eq!(
                found.text("evt.arg.flags").contains("O_F_CREATED"),
                is_new,
                "{call}"
            );
            assert!(
                found.text("evt.arg.flags").contains("O_CREAT"),
                "{}",
                found.text("evt.arg.flags")
            );
            assert_eq!(found.text("evt.arg.mode"), "0640", "{call}");
            assert!(
                found.is("evt.is_open_write") && !found.is("evt.is_open_read"),
                "{call}"
            );
        }
        fs::remove_file(&file).unwrap();
    }
}

#[test]
fn a_folder_is_told_as_one() {
    let Some(agent) = agent() else { return };
    let mut opens = agent.watch("open");
    let folder = tempfile::tempdir().unwrap();
    let (pid, _) = open("openat", folder.path(), O_DIRECTORY, 0);
    let found = opens.of(pid, |_| true);
    assert_eq!(found.text("fd.type"), "directory");
    assert!(found.is("evt.is_open_read") && !found.is("evt.is_open_write"));
}

#[test]
fn a_failed_open_says_why_and_what_was_asked_for() {
    let Some(agent) = agent() else { return };
    let mut opens = agent.watch("open");
    let folder = tempfile::tempdir().unwrap();
    let absent = folder.path().join("e2e-absent");
    for call in ["open", "openat", "openat2"] {
        let (pid, result) = open(call, &absent, 0, 0);
        assert_eq!(result, -2, "{call}");
        let found = opens.of(pid, |_| true);
        assert_eq!(found.text("evt.res"), "ENOENT", "{call}");
        assert_eq!(found.number("evt.rawres"), -2, "{call}");
        assert!(found.is("evt.failed"), "{call}");
        assert_eq!(found.text("fd.name"), absent.to_str().unwrap(), "{call}");
        assert_eq!(found.text("fd.nameraw"), absent.to_str().unwrap(), "{call}");
        assert_eq!(found.text("fd.ino"), "", "{call}: there is no file");
    }

    let secret = folder.path().join("e2e-secret");
    fs::write(&secret, "").unwrap();
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let mut command = Command::new(helper::path("files").unwrap());
    let (pid, printed) = run_well(command.arg("openat").arg(&secret).uid(65534));
    assert_eq!(printed.trim(), "-13");
    let found = opens.of(pid, |_| true);
    assert_eq!(found.text("evt.res"), "EACCES");
}

#[test]
fn odd_names_are_told_as_text() {
    use std::{ffi::OsStr, os::unix::ffi::OsStrExt as _};

    let Some(agent) = agent() else { return };
    let mut opens = agent.watch("open");
    let folder = tempfile::tempdir().unwrap();
    let cases: [(&[u8], &str); 3] = [
        (b"e2e-\xff\xc3(", "e2e-\u{fffd}\u{fffd}("),
        (b"e2e-\n\r\t\x1b[2J\x7f", "e2e-\n\r\t\u{1b}[2J\u{7f}"),
        (b"e2e-\"quoted\\", "e2e-\"quoted\\"),
    ];
    for (name, expected) in cases {
        let file = folder.path().join(OsStr::from_bytes(name));
        fs::write(&file, "").unwrap();
        let (pid, _) = open("openat", &file, 0, 0);
        let found = opens.of(pid, |_| true);
        let expected = format!("{}/{expected}", folder.path().display());
        let told = found.file.as_ref().unwrap();
        assert_eq!(told.path, expected);
        assert_eq!(told.path_given, expected);
    }
}
