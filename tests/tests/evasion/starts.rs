//! Ways around the name of a program and its arguments: E01 to E21, T07 and T08.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::Path,
    process::Command,
};

use sensor_proto::v1::Detection;
use sensor_tests::{helper, values::Values as _, wait::DEADLINE};

use crate::{
    agent::{Agent, Vault, agent, run, run_command, text},
    watch,
};

/// What ran in the end, as it says itself: its id and its file's inode.
fn ran(printed: &str) -> (u32, i64) {
    let line = printed.lines().find(|line| line.starts_with("ran ")).unwrap();
    let mut words = line.split(' ').skip(1);
    let mut next = || words.next().unwrap().parse::<i64>().unwrap();
    let pid = next();
    (pid.try_into().unwrap(), next())
}

/// Starts a program in a way: how that is told, once it agrees with what the program knows of itself.
fn started(agent: &Agent, arguments: &[&str]) -> Detection {
    let mut watch = agent.watch();
    let (_, printed) = run("starts", arguments);
    let (pid, inode) = ran(&printed);
    let found = watch.of("start", pid, |_| true);
    assert_eq!(found.number("proc.exe_ino"), inode, "{arguments:?}");
    found
}

#[test]
fn e01_e02_a_program_in_memory() {
    let Some(agent) = agent() else { return };
    for name in ["sshd", "/usr/bin/ls", "x (deleted)", ""] {
        for (way, call) in [
            ("memory", "execveat"),
            ("memory-open", "execveat"),
            ("memory-by-name", "execve"),
        ] {
            let found = started(&agent, &[way, name]);
            assert_eq!(found.text("evt.type"), call, "{way} {name}");
            assert!(found.is("proc.is_exe_from_memfd"), "{way} {name}");
            let told = format!("memfd:{name}");
            assert!(found.text("proc.exepath").contains(&told), "{way} {name}");
        }
    }
}

#[test]
fn e03_p17_a_file_without_a_name_and_one_that_only_looks_so() {
    let Some(agent) = agent() else { return };
    let vault = Vault::new();
    // Never had a name: the kernel makes one up, and says that it is gone.
    let found = started(&agent, &["nameless", "/dev/shm"]);
    assert!(found.text("proc.exepath").ends_with(" (deleted)"), "{found:#?}");
    assert!(!found.is("proc.is_exe_from_memfd"));
    // Has lost it.
    let path = format!("{}/e2e-removed", vault.place.display());
    let found = started(&agent, &["removed", &path]);
    assert_eq!(found.text("proc.exepath"), format!("{path} (deleted)"));
    // Has one that looks as if it had lost it: there is no second mark.
    let path = format!("{}/e2e-x (deleted)", vault.place.display());
    let found = started(&agent, &["copy", &path]);
    assert_eq!(found.text("proc.exepath"), path);
    // In shared memory.
    let path = format!("/dev/shm/e2e-shm-{}", std::process::id());
    let found = started(&agent, &["copy", &path]);
    fs::remove_file(&path).unwrap();
    assert_eq!(found.text("proc.exepath"), path);
}

#[test]
fn e04_by_the_descriptor_of_a_folder() {
    let Some(agent) = agent() else { return };
    let mut watch = agent.watch();
    let program = helper::path("starts").unwrap();
    let mut command = Command::new(helper::path("process").unwrap());
    command.arg("folder").arg(program.parent().unwrap());
    let (pid, _) = run_command(command.args(["e2e-starts", "ran"]));
    let found = watch.of("helper start", pid, |_| true);
    assert_eq!(found.text("evt.type"), "execveat");
    assert_eq!(found.text("proc.exepath"), text(&program));
}

#[test]
fn e05_a_trusted_name_that_is_a_link() {
    let Some(agent) = agent() else { return };
    let vault = Vault::new();
    let link = format!("{}/systemd-logind", vault.place.display());
    let found = started(&agent, &["link", &link]);
    // Called so, and what it is.
    assert_eq!(found.text("proc.exe"), link);
    assert_eq!(found.text("proc.exepath"), text(&helper::path("starts").unwrap()));
}

#[test]
fn e06_a_process_that_takes_a_trusted_name() {
    let Some(agent) = agent() else { return };
    for (way, call) in [("rename", "prctl"), ("rename-by-file", "openat")] {
        let mut watch = agent.watch();
        let mut critical = agent.watch();
        let mut names = agent.watch();
        let (pid, _) = run("starts", &[way, "dockerd"]);
        let found = watch.of("trusted reader", pid, |_| true);
        assert_eq!(
            found.text("proc.exepath"),
            text(&helper::path("starts").unwrap()),
            "{way}"
        );
        let found = critical.of("renamed", pid, |_| true);
        assert_eq!(found.text("evt.type"), call, "{way}");
        // And the kernel's own word, whatever call it was.
        let found = names.of("process renamed", pid, |_| true);
        assert_eq!(found.text("evt.hook"), "tp_btf/task_rename", "{way}");
        assert_eq!(found.text("evt.arg.comm"), "dockerd", "{way}");
        assert_eq!(found.text("evt.arg.oldcomm"), "e2e-starts", "{way}");
        assert_eq!(
            found.text("thread.name"),
            "e2e-starts",
            "{way}: it has no other name yet"
        );
        assert_eq!(found.text("proc.name"), "e2e-starts", "{way}");
        assert_eq!(found.number("target.pid"), i64::from(pid), "{way}");
        assert_eq!(found.text("target.key"), found.text("proc.key"), "{way}");
    }
}

/// Without any system call's hook.
#[test]
fn e06_a_rename_is_told_in_the_profile_lite() {
    const RULES: &str = r#"
- rule: renamed
  desc: a process gets another name
  condition: evt.type = task_rename and target.exepath contains /e2e-
  output: "%evt.arg.comm %evt.hook"
  priority: NOTICE
"#;
    let Some(agent) = watch::agent("lite", RULES) else {
        return;
    };
    let mut stream = agent.client.subscribe(None).unwrap();
    let (pid, _) = run("starts", &["rename", "dockerd"]);
    let found = stream.find(DEADLINE, |found| {
        found.rule == "renamed" && watch::pid_of(found) == pid
    });
    let found = found.unwrap().expect("the rename is told");
    assert_eq!(found.text("evt.arg.comm"), "dockerd");
    assert_eq!(found.text("evt.hook"), "tp_btf/task_rename");
}

#[test]
fn e08_a_script_of_a_script() {
    let Some(agent) = agent() else { return };
    let vault = Vault::new();
    let script = |name: &str, content: String| {
        let path = vault.place.join(name);
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path
    };
    let program = helper::path("starts").unwrap();
    let inner = script("e2e-script-inner", format!("#!{} ran\n", program.display()));
    let outer = script("e2e-script-outer", format!("#!{} one\n", inner.display()));
    let mut watch = agent.watch();
    let (pid, printed) = run_command(Command::new(&outer).arg("two"));
    assert!(printed.contains("two"), "{printed}");
    let found = watch.of("helper start", pid, |_| true);
    assert_eq!(found.text("evt.arg.filename"), text(&outer));
    assert_eq!(found.text("proc.exepath"), text(&program));
    let line = format!(
        "{} ran {} one {} two",
        program.display(),
        inner.display(),
        outer.display()
    );
    assert_eq!(found.text("proc.exeline"), line);
}

#[test]
fn e14_children_made_in_other_ways() {
    let Some(agent) = agent() else { return };
    for way in ["posix_spawn", "vfork", "clone3", "clone-parent"] {
        let mut watch = agent.watch();
        let (_, printed) = run("starts", &["child", way]);
        let line = printed.lines().find(|line| line.starts_with("child ")).unwrap();
        let ids: Vec<u32> = line.split(' ').filter_map(|word| word.parse().ok()).collect();
        let found = watch.of("start", ids[0], |_| true);
        // Who makes its child a sibling is not its parent: the kernel says so, and we do.
        let parent = if way == "clone-parent" { ids[2] } else { ids[1] };
        assert_eq!(found.number("proc.ppid"), i64::from(parent), "{way}");
    }
    // Not the first thread, whose id it takes.
    let mut watch = agent.watch();
    let (pid, printed) = run("starts", &["thread"]);
    assert_eq!(ran(&printed).0, pid);
    assert_eq!(
        watch.of("start", pid, |_| true).number("proc.pid"),
        i64::from(pid)
    );
}

#[test]
fn e15_a_start_that_failed_leaves_nothing_behind() {
    let Some(agent) = agent() else { return };
    let vault = Vault::new();
    let broken = vault.place.join("e2e-broken");
    fs::write(&broken, "\x7fELF, but no more").unwrap();
    fs::set_permissions(&broken, fs::Permissions::from_mode(0o755)).unwrap();
    let mut watch = agent.watch();
    let mut second = agent.watch();
    let (pid, _) = run("starts", &["failed", text(&broken)]);
    let found = watch.of("failed start", pid, |_| true);
    assert_eq!(found.text("evt.res"), "ENOEXEC");
    assert_eq!(found.text("evt.arg.filename"), text(&broken));
    let program = helper::path("starts").unwrap();
    let found = second.of("start", pid, |_| true);
    assert_eq!(found.text("proc.exepath"), text(&program));
    assert_eq!(found.text("evt.arg.filename"), text(&program));
}

#[test]
fn e16_too_many_arguments_and_none() {
    let Some(agent) = agent() else { return };
    for count in [10_i64, 10_000] {
        let mut watch = agent.watch();
        let (pid, _) = run("starts", &["many", &count.to_string()]);
        let found = watch.of("start", pid, |_| true);
        assert!(found.text("proc.args").ends_with(" --e2e-last"), "{count}");
        assert_eq!(found.number("proc.cmdnargs"), count + 2, "{count}");
        assert_eq!(found.is("proc.args.truncated"), count > 10, "{count}");
    }
    let mut watch = agent.watch();
    let (pid, _) = run("starts", &["none"]);
    let found = watch.of("helper start", pid, |found| found.text("proc.args").is_empty());
    // The kernel makes one empty argument of none, since 5.18.
    assert_eq!(found.number("proc.cmdnargs"), 0);
}

#[test]
fn e09_the_loader_itself() {
    let Some(agent) = agent() else { return };
    let Some(loader) = ["/lib64/ld-linux-x86-64.so.2"]
        .into_iter()
        .find(|path| Path::new(path).exists())
    else {
        return;
    };
    let mut watch = agent.watch();
    let vault = Vault::new();
    let hidden = vault.place.join("ran");
    fs::copy("/usr/bin/true", &hidden).unwrap();
    // Its first argument is the program: `ran ` is what the rule knows these tests by.
    let mut command = Command::new(loader);
    command.current_dir(&vault.place);
    let (pid, _) = run_command(command.args(["--argv0", "sshd", "./ran"]));
    let found = watch.of("loader", pid, |_| true);
    assert_eq!(found.text("proc.args"), "--argv0 sshd ./ran");
}

#[test]
fn e18_a_tool_by_another_name() {
    let Some(agent) = agent() else { return };
    let vault = Vault::new();
    let path = format!("{}/harmless", vault.place.display());
    let found = started(&agent, &["copy", &path]);
    assert_eq!(found.text("proc.name"), "harmless");
    assert_eq!(
        found.number("proc.exe_ino"),
        fs::metadata(&path).unwrap().ino().cast_signed()
    );
}

#[test]
fn t07_arguments_that_change() {
    let Some(agent) = agent() else { return };
    // Overwritten by the program itself as the first that it does.
    let mut watch = agent.watch();
    let (pid, _) = run("starts", &["forget", "e2e-a", "e2e-b"]);
    let found = watch.of("helper start", pid, |_| true);
    assert_eq!(found.text("proc.args"), "forget e2e-a e2e-b");
    // Changed by another thread of the parent's memory while the kernel takes them.
    let mut watch = agent.watch();
    let (_, printed) = run("starts", &["flip"]);
    let own: BTreeMap<u32, String> = printed
        .lines()
        .map(|line| (ran(line).0, line.rsplit(' ').next().unwrap().to_owned()))
        .collect();
    assert!(own.len() >= 99, "{printed}");
    for (pid, argument) in own {
        let found = watch.of("start", pid, |_| true);
        assert_eq!(found.text("proc.args"), format!("ran {argument}"));
    }
}

#[test]
fn t08_a_program_that_is_replaced_while_it_starts() {
    let Some(agent) = agent() else { return };
    let vault = Vault::new();
    let at = |name: &str| {
        let path = vault.place.join(name);
        fs::copy(helper::path("starts").unwrap(), &path).unwrap();
        path
    };
    let (target, first, second) = (at("target"), at("first"), at("second"));
    let mut watch = agent.watch();
    let (_, printed) = run("starts", &["swap", text(&target), text(&first), text(&second)]);
    let own: BTreeMap<u32, i64> = printed.lines().map(ran).collect();
    assert!(own.len() >= 40, "{printed}");
    for (pid, inode) in own {
        assert_eq!(watch.of("start", pid, |_| true).number("proc.exe_ino"), inode);
    }
}
