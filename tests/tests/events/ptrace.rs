//! Processes that take hold of others.

use std::{os::unix::process::CommandExt as _, process::Command};

use sensor_tests::{helper, values::Values as _};

use crate::agent::{agent, process, run_well};

#[test]
fn taking_hold_of_a_process_is_told_with_its_target() {
    let Some(agent) = agent() else { return };
    let mut traces = agent.watch("ptrace");
    for (way, request) in [("attach", "PTRACE_ATTACH"), ("seize", "PTRACE_SEIZE")] {
        let (pid, printed) = run_well(Command::new(process()).arg(way));
        let (child, result) = printed.trim().split_once(' ').unwrap();
        assert_eq!(result, "0", "{way}");
        let found = traces.of(pid, |_| true);
        assert_eq!(found.text("evt.arg.request"), request);
        assert_eq!(found.text("evt.arg.pid"), child, "{way}");
        assert_eq!(found.text("evt.res"), "SUCCESS", "{way}");
        assert_eq!(found.text("proc.exepath"), process().to_str().unwrap(), "{way}");
    }
}

#[test]
fn an_attempt_that_is_not_permitted_is_told() {
    let Some(agent) = agent() else { return };
    let mut traces = agent.watch("ptrace");
    // Where anyone may run it, whatever the folder of the build permits.
    let folder = tempfile::Builder::new()
        .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o755))
        .tempdir()
        .unwrap();
    let program = folder.path().join("e2e-process");
    std::fs::copy(helper::path("process").unwrap(), &program).unwrap();
    let (pid, printed) = run_well(Command::new(&program).args(["attach-to", "1"]).uid(65534));
    assert_eq!(printed.trim(), "-1");
    let found = traces.of(pid, |_| true);
    assert_eq!(found.text("evt.res"), "EPERM");
    assert_eq!(found.text("evt.arg.pid"), "1");
}
