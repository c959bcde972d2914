//! Ways to hide from who looks into /proc: C05.

use std::process::Command;

use sensor_proto::v1::subscribe_response::Item;
use sensor_tests::{helper, values::Values as _, wait::DEADLINE};

use crate::agent::{Vault, agent, run_command, text};

#[test]
fn c05_a_process_that_is_hidden_from_proc() {
    let Some(agent) = agent() else { return };
    let mut mounts = agent.watch();
    let mut starts = agent.watch();
    let vault = Vault::new();
    // In a mount namespace of its own, so that nobody else is misled.
    let script = "mount --bind \"$1\" /proc/$$ && exec \"$0\" ran hidden";
    let mut command = Command::new("unshare");
    command.args(["--mount", "/bin/sh", "-c", script]);
    command.arg(helper::path("starts").unwrap()).arg(&vault.place);
    // It finds nothing of itself in /proc, and ends so: that is the proof that it is hidden.
    let mut child = command.stderr(std::process::Stdio::null()).spawn().unwrap();
    let pid = child.id();
    assert!(!child.wait().unwrap().success());
    let target = format!("/proc/{pid}");
    let found = loop {
        match mounts.next(DEADLINE) {
            Some(Item::Detection(found))
                if found.rule == "mount over proc" && found.text("fs.path.target") == target =>
            {
                break found;
            }
            Some(_) => {}
            None => panic!("no mount over {target} came"),
        }
    };
    assert_eq!(found.text("evt.arg.dev"), text(&vault.place));
    assert_eq!(found.text("evt.res"), "SUCCESS");
    // It is told all the same.
    let found = starts.of("start", pid, |_| true);
    assert_eq!(found.text("proc.args"), "ran hidden");
    assert_eq!(found.text("proc.exepath"), text(&helper::path("starts").unwrap()));
    // And so is what comes after it.
    let (pid, _) = run_command(Command::new(helper::path("starts").unwrap()).args(["ran", "after"]));
    starts.of("start", pid, |_| true);
}
