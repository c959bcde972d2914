//! Programs that start.

use std::{
    fs,
    os::unix::{
        ffi::OsStrExt as _,
        fs::{MetadataExt as _, PermissionsExt as _},
        process::CommandExt as _,
    },
    process::Command,
};

use sensor_proto::v1::Detection;
use sensor_tests::values::Values as _;

use crate::agent::{agent, process, run, run_well};

/// The exec by which a program of this path started.
fn starts(path: &str) -> impl Fn(&Detection) -> bool {
    move |detection| detection.text("proc.exepath") == path
}

#[test]
fn an_exec_tells_who_runs_what_from_where() {
    let Some(agent) = agent() else { return };
    let mut execs = agent.watch("exec");
    let folder = tempfile::tempdir().unwrap();
    let link = folder.path().join("called-by-this-name");
    std::os::unix::fs::symlink("/usr/bin/true", &link).unwrap();
    let (pid, _) = run_well(
        Command::new(&link)
            .args(["one", "two words", ""])
            .current_dir(folder.path()),
    );

    let found = execs.of(pid, starts("/usr/bin/true"));
    let text = |field| found.text(field);
    assert_eq!(text("evt.type"), "execve");
    assert_eq!(text("evt.arg.filename"), link.to_str().unwrap());
    assert_eq!(text("proc.exe"), link.to_str().unwrap());
    // The kernel names a process after the name that it was called by, cut to 15 bytes.
    assert_eq!(text("proc.name"), "called-by-this-");
    assert_eq!(text("proc.cmdline"), "called-by-this- one two words ");
    assert_eq!(text("proc.args"), "one two words ");
    assert_eq!(text("proc.exeline"), format!("{} one two words ", link.display()));
    assert_eq!(found.number("proc.cmdnargs"), 3);
    assert_eq!(text("proc.cwd"), format!("{}/", folder.path().display()));
    assert_eq!(found.number("proc.pid"), i64::from(pid));
    assert_eq!(found.number("proc.vpid"), i64::from(pid));
    assert_eq!(found.number("proc.ppid"), i64::from(std::process::id()));
    let test_program = fs::read_link("/proc/self/exe").unwrap();
    assert_eq!(text("proc.pexepath"), test_program.to_str().unwrap());
    assert_eq!(
        found.number("proc.exe_ino"),
        fs::metadata("/usr/bin/true").unwrap().ino().cast_signed()
    );
    assert_eq!(text("container.id"), "host");
    assert!(!found.is("proc.is_exe_from_memfd"));
    assert!(found.incomplete.is_empty(), "{:?}", found.incomplete);
    let process = found.process.as_ref().unwrap();
    assert_eq!(process.cwd, folder.path().to_str().unwrap());
    assert_eq!(process.ancestors[0].pid, std::process::id());
}

#[test]
fn a_script_is_told_with_its_interpreter() {
    let Some(agent) = agent() else { return };
    let mut execs = agent.watch("exec");
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("e2e-script");
    fs::write(&script, "#!/bin/sh -e\nexit 0\n").unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    let (pid, _) = run_well(Command::new(&script).arg("argument"));

    let shell = fs::canonicalize("/bin/sh").unwrap();
    let found = execs.of(pid, starts(shell.to_str().unwrap()));
    assert_eq!(found.text("evt.arg.filename"), script.to_str().unwrap());
    assert_eq!(found.text("proc.name"), "e2e-script");
    assert_eq!(
        found.text("proc.exeline"),
        format!("/bin/sh -e {} argument", script.display())
    );
}

#[test]
fn a_long_argv_keeps_its_head_and_its_tail() {
    let Some(agent) = agent() else { return };
    let mut execs = agent.watch("exec");
    let filler = "x".repeat(60_000);
    let (pid, _) = run_well(Command::new("/usr/bin/true").args(["first", &filler, "last"]));
    let found = execs.of(pid, starts("/usr/bin/true"));
    let args = found.text("proc.args");
    assert!(args.starts_with("first xxx"), "{args}");
    assert!(args.ends_with("xxx last"), "{args}");
    assert!((4_000..6_000).contains(&args.len()), "{}", args.len());
    let whole = "/usr/bin/true\0first\0\0last\0".len() + filler.len();
    let note = format!("proc.cmdline: truncated, {whole} bytes in all");
    assert_eq!(found.incomplete, [note]);
}

#[test]
fn an_argv_that_just_fits_is_whole_and_not_called_cut() {
    let Some(agent) = agent() else { return };
    let mut execs = agent.watch("exec");
    let filler = "0123456789".repeat(450);
    let (pid, _) = run_well(Command::new("/usr/bin/true").args([&filler, "last"]));
    let found = execs.of(pid, starts("/usr/bin/true"));
    assert_eq!(found.text("proc.args"), format!("{filler} last"));
    assert!(found.incomplete.is_empty(), "{:?}", found.incomplete);
}

#[test]
fn arguments_that_are_not_text_arrive_as_valid_text() {
    let Some(agent) = agent() else { return };
    let mut execs = agent.watch("exec");
    let odd = std::ffi::OsStr::from_bytes(b"\xff\xfe\x1b[31m\n\"\\");
    let (pid, _) = run_well(Command::new("/usr/bin/true").arg(odd));
    let found = execs.of(pid, starts("/usr/bin/true"));
    let cmdline = &found.process.as_ref().unwrap().cmdline;
    assert_eq!(cmdline, "true \u{fffd}\u{fffd}\u{1b}[31m\n\"\\");
    assert!(
        found.text("proc.cmdline").starts_with("true "),
        "{}",
        found.text("proc.cmdline")
    );
}

#[test]
fn an_exec_tells_the_new_users_ids_and_capabilities() {
    let Some(agent) = agent() else { return };
    let mut execs = agent.watch("exec");
    let (pid, _) = run_well(Command::new("/usr/bin/true").uid(65534).gid(12345));
    let found = execs.of(pid, starts("/usr/bin/true"));
    assert_eq!(found.text("user.uid"), "65534");
    assert_eq!(found.text("user.name"), "nobody");
    assert_eq!(found.text("group.gid"), "12345");
    assert_eq!(found.text("thread.cap_effective"), "");
    assert_eq!(found.text("thread.cap_permitted"), "");
    assert!(!found.is("proc.is_exe_writable"));
    assert_eq!(found.process.unwrap().uid, 65534);

    let (pid, _) = run_well(&mut Command::new("/usr/bin/true"));
    let found = execs.of(pid, starts("/usr/bin/true"));
    assert_eq!(found.text("user.name"), "root");
    assert!(
        found
            .text("thread.cap_effective")
            .split(' ')
            .any(|name| name == "CAP_SYS_ADMIN")
    );
    assert!(found.is("proc.is_exe_writable"));

    let mut ambient = Command::new("setpriv");
    ambient.args([
        "--reuid=65534",
        "--clear-groups",
        "--inh-caps=-all,+net_raw",
        "--ambient-caps=-all,+net_raw",
    ]);
    let (pid, _) = run_well(ambient.arg("/usr/bin/true"));
    let found = execs.of(pid, starts("/usr/bin/true"));
    for set in [
        "thread.cap_effective",
        "thread.cap_permitted",
        "thread.cap_inheritable",
    ] {
        assert_eq!(found.text(set), "CAP_NET_RAW", "{set}");
    }
}

#[test]
fn an_exec_tells_who_logged_in() {
    let Some(agent) = agent() else { return };
    let mut execs = agent.watch("exec");
    let (pid, _) =
        run_well(Command::new("/bin/sh").args(["-c", "echo 4321 > /proc/self/loginuid; exec /usr/bin/true"]));
    let found = execs.of(pid, starts("/usr/bin/true"));
    assert_eq!(found.text("user.loginuid"), "4321");
}

#[test]
fn an_exec_tells_its_terminal() {
    let Some(agent) = agent() else { return };
    let mut execs = agent.watch("exec");
    let (_, printed) = run_well(Command::new(process()).args(["terminal", "/bin/sleep", "0"]));
    let pid = printed.trim().parse().unwrap();
    let found = execs.of(pid, |detection| detection.text("proc.name") == "sleep");
    // Pseudo-terminals have the major number 136 (Documentation/admin-guide/devices.txt); the lower eight bits
    // and those above 20 are the minor number.
    assert_eq!(found.number("proc.tty") >> 8 & 0xfff, 136);
    assert_eq!(found.number("proc.sid"), i64::from(pid));

    let (pid, _) = run_well(Command::new("setsid").arg("--wait").arg("/usr/bin/true"));
    let found = execs.find(|detection| {
        detection.text("proc.exepath") == "/usr/bin/true"
            && (detection.number("proc.pid") == i64::from(pid)
                || detection.number("proc.ppid") == i64::from(pid))
    });
    assert_eq!(found.number("proc.tty"), 0);
}

#[test]
fn a_program_from_memory_is_known() {
    let Some(agent) = agent() else { return };
    let mut execs = agent.watch("exec");
    let (pid, _) = run_well(Command::new(process()).args(["memory", "/usr/bin/true"]));
    let found = execs.of(pid, |detection| detection.is("proc.is_exe_from_memfd"));
    assert_eq!(found.text("evt.type"), "execveat");
    assert!(
        found.text("proc.exepath").contains("memfd:e2e-memory"),
        "{}",
        found.text("proc.exepath")
    );
    assert_eq!(found.text("proc.exe"), "/usr/bin/true");
}

#[test]
fn a_program_named_by_a_descriptor_has_its_path() {
    let Some(agent) = agent() else { return };
    let mut execs = agent.watch("exec");
    let (pid, _) = run_well(Command::new(process()).args(["descriptor", "/usr/bin/true"]));
    let found = execs.of(pid, starts("/usr/bin/true"));
    assert_eq!(found.text("evt.type"), "execveat");
    let (pid, _) = run_well(Command::new(process()).args(["folder", "/usr/bin", "true"]));
    let found = execs.of(pid, starts("/usr/bin/true"));
    assert_eq!(found.text("evt.type"), "execveat");
}

#[test]
fn a_program_without_a_name_left_keeps_the_one_it_had() {
    let Some(agent) = agent() else { return };
    let mut execs = agent.watch("exec");
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("e2e-gone");
    fs::copy("/usr/bin/true", &copy).unwrap();
    let (pid, _) = run_well(Command::new(process()).arg("deleted").arg(&copy));
    let found = execs.of(pid, |detection| detection.text("evt.type") == "execveat");
    let path = found.text("proc.exepath");
    assert!(path.starts_with(copy.to_str().unwrap()), "{path}");
}

#[test]
fn a_failed_exec_is_no_start() {
    let Some(agent) = agent() else { return };
    let mut execs = agent.watch("exec");
    let (pid, output) = run(Command::new(process()).args(["run", "/nonexistent/e2e-program"]));
    assert_eq!(output.status.code(), Some(2));
    let own = process();
    execs.of(pid, starts(own.to_str().unwrap()));
    // The next event of that process is its end, so an exec would have come by now.
    let (next, _) = run_well(&mut Command::new("/usr/bin/true"));
    let found = execs.find(|detection| [pid, next].contains(&crate::agent::pid_of(detection)));
    assert_eq!(found.number("proc.pid"), i64::from(next));
}

#[test]
fn layers_of_an_overlay_are_told_apart() {
    let Some(agent) = agent() else { return };
    let mut execs = agent.watch("exec");
    let folder = tempfile::tempdir().unwrap();
    for name in ["lower", "upper", "work", "merged"] {
        fs::create_dir(folder.path().join(name)).unwrap();
    }
    fs::copy(process(), folder.path().join("lower/e2e-image")).unwrap();
    // Mounted in a namespace of its own, the overlay goes with its last process.
    let script = "mount -t overlay overlay -o lowerdir=lower,upperdir=upper,workdir=work merged &&
        cp merged/e2e-image merged/e2e-dropped && merged/e2e-image nothing && exec merged/e2e-dropped nothing";
    let mut command = Command::new("unshare");
    command
        .args(["--mount", "/bin/sh", "-c", script])
        .current_dir(folder.path());
    run_well(&mut command);
    let merged = folder.path().join("merged");
    let lower = execs.find(starts(merged.join("e2e-image").to_str().unwrap()));
    assert!(lower.is("proc.is_exe_lower_layer"));
    assert!(!lower.is("proc.is_exe_upper_layer"));
    let upper = execs.find(starts(merged.join("e2e-dropped").to_str().unwrap()));
    assert!(upper.is("proc.is_exe_upper_layer"));
    assert!(!upper.is("proc.is_exe_lower_layer"));
}
