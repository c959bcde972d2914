//! Who made whom: forks, exits, ancestors.

use std::process::Command;

use sensor_tests::values::Values as _;

use crate::agent::{agent, process, run, run_well};

#[test]
fn a_fork_and_an_exit_are_told_with_their_program() {
    let Some(agent) = agent() else { return };
    let mut forks = agent.watch("fork");
    let mut exits = agent.watch("exit");
    let (pid, output) = run(Command::new(process()).args(["status", "42"]));
    assert_eq!(output.status.code(), Some(42));
    let fork = forks.of(pid, |_| true);
    assert_eq!(fork.number("proc.ppid"), i64::from(std::process::id()));
    let exit = exits.of(pid, |_| true);
    assert_eq!(exit.text("evt.type"), "procexit");
    assert_eq!(exit.text("proc.exepath"), process().to_str().unwrap());
    assert_eq!(exit.text("evt.arg.ret"), "42");
    assert_eq!(exit.text("evt.arg.sig"), "0");
    assert_eq!(exit.text("evt.arg.status"), (42 << 8).to_string());
}

#[test]
fn a_process_that_is_killed_ends_by_its_signal() {
    let Some(agent) = agent() else { return };
    let mut exits = agent.watch("exit");
    let mut child = Command::new("/bin/sleep").arg("1000").spawn().unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    let exit = exits.of(child.id(), |_| true);
    assert_eq!(exit.text("evt.arg.sig"), "9");
}

#[test]
fn ancestors_are_told_nearest_first() {
    let Some(agent) = agent() else { return };
    let mut execs = agent.watch("exec");
    let mut command = Command::new("/bin/sh");
    command.args(["-c", "/bin/bash -c '/usr/bin/true; exit 0'; exit 0"]);
    let (pid, _) = run_well(&mut command);
    let found = execs.find(|detection| {
        detection.text("proc.exepath") == "/usr/bin/true"
            && detection.number("proc.apid[2]") == i64::from(pid)
    });
    assert_eq!(found.text("proc.pname"), "bash");
    assert_eq!(found.text("proc.aname[1]"), "bash");
    assert_eq!(found.text("proc.aname[2]"), "sh");
    assert_eq!(found.text("proc.pcmdline"), "bash -c /usr/bin/true; exit 0");
    let process = found.process.unwrap();
    let pids: Vec<u32> = process.ancestors.iter().map(|ancestor| ancestor.pid).collect();
    assert_eq!(pids[1..3], [pid, std::process::id()]);
    assert_eq!(process.ancestors[0].exe_path, "/usr/bin/bash");
    assert!(
        process
            .ancestors
            .iter()
            .all(|ancestor| ancestor.start_time_ns <= process.start_time_ns)
    );
}

#[test]
fn an_orphan_still_has_the_parents_that_made_it() {
    let Some(agent) = agent() else { return };
    let mut execs = agent.watch("exec");
    let argument = format!("orphan-of-{}", std::process::id());
    let (pid, _) = run_well(Command::new(process()).args(["orphan", "/usr/bin/true", &argument]));
    let found = execs.find(|detection| detection.text("proc.args") == argument);
    // Its parent, a child of the helper, was gone before the exec.
    assert_eq!(found.text("proc.aname[1]"), "e2e-process");
    assert_eq!(found.number("proc.apid[2]"), i64::from(pid));
}

#[test]
fn a_thread_that_replaces_the_program_keeps_the_process() {
    let Some(agent) = agent() else { return };
    let mut execs = agent.watch("exec");
    let mut exits = agent.watch("exit");
    let (pid, _) = run_well(Command::new(process()).args(["thread", "/usr/bin/true"]));
    let found = execs.of(pid, |detection| detection.text("proc.exepath") == "/usr/bin/true");
    assert_eq!(
        found.number("thread.tid"),
        i64::from(pid),
        "the kernel gives the thread its leader's id"
    );
    assert!(found.is("thread.ismain"));
    assert_eq!(found.number("proc.ppid"), i64::from(std::process::id()));
    let exit = exits.of(pid, |_| true);
    assert_eq!(
        exit.text("proc.exepath"),
        "/usr/bin/true",
        "it ended once, as the program that it became"
    );
}

#[test]
fn a_process_older_than_the_agent_has_its_lineage() {
    let Some(agent) = agent() else { return };
    let mut execs = agent.watch("exec");
    let (elder, child) = agent.tell_elder();
    let found = execs.of(child, |detection| {
        detection.text("proc.exepath") == "/usr/bin/true"
    });
    assert_eq!(found.number("proc.ppid"), i64::from(elder));
    assert_eq!(found.text("proc.pname"), "e2e-process");
    assert_eq!(found.text("proc.pexepath"), process().to_str().unwrap());
    assert_eq!(found.text("proc.pcmdline"), "e2e-process told /bin/true");
    assert_eq!(found.number("proc.apid[2]"), i64::from(std::process::id()));
}
