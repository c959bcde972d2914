//! Calls that give power or keep it: section 8 of the catalogue, each really made once, with E22.

use std::collections::BTreeMap;

use sensor_proto::v1::subscribe_response::Item;
use sensor_tests::{helper, values::Values as _, wait::DEADLINE};

use crate::agent::{Agent, Vault, agent, pid_of, run, text};

/// What one call's event must say: part of its parameters, in which `CHILD` stands for the other process's id.
type Expected = &'static [(&'static str, &'static str)];

const PROCESS: Expected = &[
    ("pidfd_open", "pid=CHILD"),
    ("pidfd_getfd", "target_fd=0"),
    ("process_vm_readv", "pid=CHILD"),
    ("process_vm_writev", "pid=CHILD"),
    ("process_madvise", ""),
    ("kill", "pid=CHILD sig=SIGCONT"),
    ("tgkill", "pid=CHILD tid=CHILD sig=SIGCONT"),
    ("pidfd_send_signal", "sig=SIGCONT"),
    ("ptrace", "request=PTRACE_SEIZE pid=CHILD"),
    ("open", "/proc/CHILD/mem"),
];
const IDENTITY: Expected = &[
    ("capset", ""),
    ("prctl", "option=PR_CAP_AMBIENT"),
    ("keyctl", "operation=0"),
    ("personality", ""),
    ("setgid", "gid=nogroup"),
    ("setreuid", "ruid=<NONE> euid=nobody"),
    ("setresuid", "ruid=<NONE> euid=root suid=<NONE>"),
    ("setuid", "uid=nobody"),
    ("setsid", ""),
];
const MEMORY: Expected = &[
    ("mprotect", "PROT_READ|PROT_EXEC"),
    ("pkey_mprotect", "PROT_READ|PROT_EXEC"),
    ("mmap", "PROT_READ|PROT_EXEC"),
    ("memfd_create", "name=e2e-power"),
    ("memfd_secret", ""),
    ("userfaultfd", ""),
];
const MACHINE: Expected = &[
    ("bpf", ""),
    ("perf_event_open", ""),
    ("init_module", ""),
    ("finit_module", ""),
    ("delete_module", ""),
    ("kexec_load", ""),
    ("kexec_file_load", ""),
    ("reboot", ""),
    ("iopl", ""),
    ("ioperm", ""),
    ("swapon", ""),
    ("swapoff", ""),
    ("acct", ""),
    ("quotactl", ""),
    ("syslog", ""),
    ("settimeofday", ""),
];
const FILE: Expected = &[
    ("chmod", "S_ISUID"),
    ("fchmod", "S_ISGID"),
    ("fchmodat", "S_ISUID"),
    ("fchmodat2", "S_ISUID"),
    ("chown", "uid=0 gid=0"),
    ("setxattr", "name=security.capability"),
    ("removexattr", "name=security.capability"),
    ("symlink", "target=/etc/ld.so.preload"),
    ("inotify_add_watch", ""),
];
const NAMESPACE: Expected = &[
    ("unshare", "CLONE_NEWUTS"),
    ("setns", "nstype=CLONE_NEWUTS"),
    ("clone3", "CLONE_NEWUTS"),
    ("clone", "CLONE_NEWUTS"),
    ("fsopen", "type=tmpfs"),
    ("fsconfig", "key=size"),
    ("fsmount", ""),
    ("move_mount", ""),
    ("mount_setattr", ""),
    ("umount2", "flags=DETACH"),
    ("mount", "type=tmpfs flags=MS_NODEV"),
    ("pivot_root", ""),
    ("chroot", ""),
];
/// By 32-bit calls of a 64-bit program.
const INT80: Expected = &[
    ("chmod", "mode="),
    ("ptrace", "request=PTRACE_SEIZE pid=CHILD"),
    ("kill", "pid=CHILD sig=SIGCONT"),
    ("init_module", "uargs=none"),
    ("personality", ""),
    ("bpf", ""),
    ("unshare", "CLONE_NEWNS"),
    ("mount", "type=tmpfs flags=MS_NODEV"),
    ("setuid", "uid=root"),
];
const TRACED: Expected = &[("ptrace", "request=PTRACE_TRACEME")];

/// The name of an error that calls of the helper may end with (`include/uapi/asm-generic/errno.h`).
fn name_of(error: &str) -> &str {
    match error {
        "0" => "SUCCESS",
        "1" => "EPERM",
        "2" => "ENOENT",
        "8" => "ENOEXEC",
        "9" => "EBADF",
        "13" => "EACCES",
        "14" => "EFAULT",
        "22" => "EINVAL",
        "38" => "ENOSYS",
        "95" => "EOPNOTSUPP",
        other => panic!("an error without a name here: {other}"),
    }
}

/// Has the helper make a group of calls: each must be told once, with its result and its parameters. The helper's id.
fn are_told(agent: &Agent, group: &str, expected: Expected) -> u32 {
    let mut watch = agent.watch();
    let vault = Vault::new();
    let (pid, printed) = run("powers", &[group, text(&vault.place)]);
    let results: BTreeMap<_, _> = printed.lines().filter_map(|line| line.split_once(' ')).collect();
    let child = results["child"];
    let mut missing: BTreeMap<_, _> = expected.iter().copied().collect();
    while !missing.is_empty() {
        let Some(Item::Detection(found)) = watch.next(DEADLINE) else {
            panic!("{group}: nothing more came; missing: {missing:?} of {printed}");
        };
        if found.rule != "power" || pid_of(&found) != pid {
            continue;
        }
        let call = found.text("evt.type");
        let arguments = found.text("evt.args");
        let Some(wanted) = missing.get(call.as_str()) else {
            continue;
        };
        // Others of its name are on the way, such as the mount that makes a namespace private.
        if !arguments.contains(&wanted.replace("CHILD", child)) {
            continue;
        }
        assert_eq!(
            found.text("evt.res"),
            name_of(results[call.as_str()]),
            "{group} {call}"
        );
        if group == "process" && call != "open" {
            assert_eq!(found.text("target.pid"), child, "{call}: {found:#?}");
            assert_eq!(found.text("target.name"), "e2e-powers", "{call}");
            assert_eq!(
                found.text("target.exepath"),
                text(&helper::path("powers").unwrap()),
                "{call}"
            );
            assert!(found.text("target.cmdline").contains(group), "{call}");
            assert_eq!(found.text("target.container.id"), "host", "{call}");
            assert_eq!(found.text("target.container.name"), "host", "{call}");
        }
        missing.remove(call.as_str());
    }
    pid
}

#[test]
fn e22_other_processes() {
    let Some(agent) = agent() else { return };
    are_told(&agent, "process", PROCESS);
}

#[test]
fn section_8_identities() {
    let Some(agent) = agent() else { return };
    are_told(&agent, "identity", IDENTITY);
}

#[test]
fn section_8_memory() {
    let Some(agent) = agent() else { return };
    are_told(&agent, "memory", MEMORY);
}

#[test]
fn section_8_the_machine() {
    let Some(agent) = agent() else { return };
    are_told(&agent, "machine", MACHINE);
}

#[test]
fn section_8_files() {
    let Some(agent) = agent() else { return };
    are_told(&agent, "file", FILE);
}

#[test]
fn section_8_c04_c06_namespaces_and_mounts() {
    let Some(agent) = agent() else { return };
    are_told(&agent, "namespace", NAMESPACE);
}

#[test]
fn section_8_a_process_that_lets_itself_be_traced() {
    let Some(agent) = agent() else { return };
    are_told(&agent, "traced", TRACED);
}

/// E23: the numbers, structures and pointers are others, the events are not.
#[test]
fn e23_32_bit_calls_of_a_64_bit_program() {
    let Some(agent) = agent() else { return };
    let mut opens = agent.watch();
    let mut starts = agent.watch();
    let pid = are_told(&agent, "int80", INT80);
    let found = opens.of("secret read", pid, |_| true);
    assert_eq!(found.text("fd.name"), "/etc/shadow");
    assert_eq!(found.text("evt.type"), "open");
    let found = starts.of("start", pid, |_| true);
    assert_eq!(found.text("proc.exepath"), "/usr/bin/true");
    assert_eq!(found.text("proc.args"), "ran int80");
}
