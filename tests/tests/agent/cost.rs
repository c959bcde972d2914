//! Who does not ask for system calls does not pay for them.

use sensor_tests::sensor::Sensor;

use crate::machine;

#[test]
fn system_calls_are_hooked_only_for_rules_that_need_them() {
    let Some(_machine) = machine() else { return };
    let rule = |condition: &str| {
        format!(
            "- rule: e2e\n  desc: a test's rule\n  condition: {condition}\n  output: found\n  priority: NOTICE\n"
        )
    };
    let cases = [
        ("evt.type in (execve, execveat) and proc.name = e2e", false),
        (
            "evt.type = execve and fd.name startswith /etc or evt.type = procexit",
            false,
        ),
        ("evt.type = openat and fd.name = /e2e", true),
        // Flags that ask for namespaces are told by the call, not by the new process.
        ("evt.type = clone and proc.name = e2e", true),
    ];
    for (condition, needs_calls) in cases {
        let sensor = Sensor::builder().rules(&rule(condition)).start().unwrap();
        let status = sensor.client().unwrap().status().unwrap();
        for hook in &status.hooks {
            let expected = match &*hook.name {
                "tp_btf/sys_exit" => needs_calls,
                // Sockets tell of connections, and no rule here is about any, nor about names that processes take. Moves to
                // other cgroups are followed always.
                "tp_btf/inet_sock_set_state" | "tp_btf/task_rename" => false,
                // Files can be opened through io_uring; namespaces cannot be asked for.
                name if name.starts_with("tp_btf/io_uring") => condition.contains("openat"),
                name => !name.starts_with("cgroup/"),
            };
            assert_eq!(hook.attached, expected, "{condition}: {hook:?}");
            assert_eq!(hook.reason.is_empty(), hook.attached, "{hook:?}");
        }
        assert!(
            status.hooks.iter().any(|hook| hook.name == "tp_btf/sys_exit"),
            "{:?}",
            status.hooks
        );
        let opens = status.kinds.iter().find(|kind| kind.kind == "open").unwrap();
        assert!(needs_calls || opens.seen == 0, "{opens:?}");
        assert!(status.degraded.is_empty(), "{:?}", status.degraded);
    }
}
