//! Ways around who looks at calls: E10, E20, E25, T05.

use std::fs;

use sensor_proto::v1::subscribe_response::Item;
use sensor_tests::{helper, values::Values as _};

use crate::agent::{Vault, agent, pid_of, run, text};

fn numbers(printed: &str) -> Vec<u32> {
    printed
        .split_whitespace()
        .filter_map(|word| word.parse().ok())
        .collect()
}

#[test]
fn e10_a_program_that_is_only_ever_in_memory() {
    let Some(agent) = agent() else { return };
    let mut watch = agent.watch();
    let (pid, printed) = run("tricks", &["own-memory"]);
    assert_eq!(numbers(&printed), [pid, 42], "the code ran");
    let found = watch.of("memory of a process", pid, |_| true);
    assert_eq!(found.text("fd.name"), format!("/proc/{pid}/mem"));
}

#[test]
fn e20_two_programs_with_one_process_id() {
    let Some(agent) = agent() else { return };
    let vault = Vault::new();
    let copy = |name: &str| {
        let path = vault.place.join(name);
        fs::copy(helper::path("tricks").unwrap(), &path).unwrap();
        path
    };
    let (first, second) = (copy("e2e-first"), copy("e2e-second"));
    for _ in 0..20 {
        let mut watch = agent.watch();
        let (_, printed) = run("tricks", &["reuse-pid", text(&first), text(&second)]);
        let ids = numbers(&printed);
        assert_eq!(ids[0], ids[1], "one id");
        let mut of = |program: &std::path::Path, argument: &str| {
            let found = watch.of("start", ids[0], |found| found.text("proc.args") == argument);
            assert_eq!(found.text("proc.exepath"), text(program));
            found.process.unwrap().start_time_ns
        };
        let began = (of(&first, "ran first"), of(&second, "ran second"));
        assert!(began.0 < began.1, "two processes: {began:?}");
    }
}

#[test]
fn e25_a_tracer_that_changes_the_number_of_a_call() {
    let Some(agent) = agent() else { return };
    let vault = Vault::new();
    let mut watch = agent.watch();
    let (_, printed) = run("tricks", &["other-number", text(&vault.secret)]);
    let [child, status] = numbers(&printed)[..] else {
        panic!("{printed}")
    };
    assert_eq!(status, 0, "the file was opened, and the other call was none");
    // The call that the kernel made.
    let found = watch.of("secret read", child, |_| true);
    assert_eq!(found.text("evt.type"), "openat");
    assert_eq!(found.text("fd.name"), text(&vault.secret));
    // And not the one that it did not make: a marker comes after all that the child has done.
    run("tricks", &["own-memory"]);
    loop {
        match watch.next(sensor_tests::wait::DEADLINE) {
            Some(Item::Detection(found)) if found.rule == "memory of a process" => break,
            Some(Item::Detection(found)) => {
                assert!(
                    pid_of(&found) != child || found.rule != "secret read",
                    "{found:#?}"
                );
            }
            Some(_) => {}
            None => panic!("no marker came"),
        }
    }
}

#[test]
fn t05_a_supervisor_that_makes_the_call_in_place_of_who_asks() {
    let Some(agent) = agent() else { return };
    let vault = Vault::new();
    let asked = vault.place.join("e2e-asked");
    fs::write(&asked, "harmless\n").unwrap();
    let mut watch = agent.watch();
    let mut other = agent.watch();
    let (_, printed) = run("tricks", &["notified", text(&asked), text(&vault.secret)]);
    let [supervisor, child, status] = numbers(&printed)[..] else {
        panic!("{printed}")
    };
    assert_eq!(status, 0, "the child reads what it did not ask for");
    // Who opened it.
    let found = watch.of("secret read", supervisor, |_| true);
    assert_eq!(found.text("fd.name"), text(&vault.secret));
    // What the child has now is that file, by a name that was another's: never the file that it asked for.
    let found = other.of("secret read", child, |_| true);
    assert_eq!(found.text("fd.name"), text(&vault.secret));
    assert_eq!(found.text("fd.nameraw"), text(&asked));
    assert!(found.is("path.mismatch"), "{found:#?}");
}
