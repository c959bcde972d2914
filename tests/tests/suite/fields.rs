//! The fields that the outputs of Falco's stable rules name: each must have a value in some detection of its rule, for
//! things that really happened here.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    os::unix::{
        fs::{PermissionsExt as _, symlink},
        process::CommandExt as _,
    },
    path::Path,
    process::Command,
};

use sensor_tests::{
    container::{self, Container},
    helper,
    wait::{self, DEADLINE},
};

use crate::judge::Judge;

/// Rules that nothing here leads to, and why.
const NOT_PERFORMED: [(&str, &str); 1] = [(
    "Contact K8S API Server From Container",
    "it asks for the name of an address, and answers of name servers have no collector",
)];

/// Why there is no value, and Falco has none either.
const NO_DESCRIPTOR: &str = "a program's start is about no descriptor";
const NO_PORTS: &str = "a packet socket has no ports, and Falco no name for its type";
const WITHOUT_VALUE: [(&str, &str, &str); 7] = [
    ("Remove Bulk Data from Disk", "fd.name", NO_DESCRIPTOR),
    ("Execution from /dev/shm", "fd.name", NO_DESCRIPTOR),
    ("Packet socket created in container", "fd.l4proto", NO_PORTS),
    ("Packet socket created in container", "fd.lport", NO_PORTS),
    ("Packet socket created in container", "fd.rport", NO_PORTS),
    ("Packet socket created in container", "fd.name", NO_PORTS),
    ("Packet socket created in container", "fd.type", NO_PORTS),
];

/// Does what the cases do not: for the rules of the stable file that no case is about, and once more in a container for
/// those that tell of containers.
pub(crate) fn perform() {
    let folder = tempfile::tempdir().unwrap();
    // Others enter it, too.
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    symlink("/etc/shadow", folder.path().join("link")).unwrap();
    let powers = helper::path("powers").unwrap();
    for group in ["process", "traced"] {
        let done = Command::new(&powers).arg(group).arg(folder.path()).output();
        assert!(done.unwrap().status.success(), "{group}");
    }
    // A user of the system's own who logs in.
    let login = folder.path().join("login");
    fs::copy(helper::path("true").unwrap(), &login).unwrap();
    let done = Command::new(&login)
        .uid(DAEMON)
        .gid(DAEMON)
        .current_dir("/")
        .status();
    assert!(done.unwrap().success());

    if container::missing().is_some() {
        return;
    }
    let program = |name| fs::read(helper::path(name).unwrap()).unwrap();
    let container = Container::builder()
        .privileged(true)
        .annotation("io.kubernetes.cri.image-name", "docker.io/library/fields:1")
        .annotation("io.kubernetes.cri.container-name", "fields")
        .file("/e2e-powers", program("powers"), 0o755)
        .file("/e2e-starts", program("starts"), 0o755)
        .run(&["/bin/sleep", "600"])
        .unwrap();
    container.exec_terminal("exit").unwrap();
    for command in [
        ["/e2e-powers", "machine", "/tmp"],
        // Not by the runtime itself, whose own children the rule leaves out.
        ["/bin/sh", "-c", "/e2e-starts memory-by-name x; true"],
    ] {
        let done = container.exec(&command).unwrap();
        assert!(done.status.success(), "{command:?}: {done:?}");
    }
}

/// `daemon`, on every Debian.
const DAEMON: u32 = 1;

/// The rules that a file defines and that are on.
fn rules_of(file: &Path) -> Vec<String> {
    let text = fs::read_to_string(file).unwrap();
    let mut rules = Vec::new();
    for line in text.lines() {
        if let Some(name) = line.strip_prefix("- rule: ") {
            rules.push(name.trim().to_owned());
        } else if line.trim() == "enabled: false" {
            rules.pop();
        }
    }
    rules
}

/// What is wrong, a line for each rule; and how many rules were looked at.
pub(crate) fn compare(judge: &Judge, stable: &Path) -> (Vec<String>, usize) {
    let rules = rules_of(stable);
    let faults = || {
        let unfilled = judge.unfilled();
        rules
            .iter()
            .filter_map(|rule| fault(rule, &unfilled))
            .collect::<Vec<_>>()
    };
    wait::until(DEADLINE / 2, || faults().is_empty().then_some(()));
    (faults(), rules.len() - NOT_PERFORMED.len())
}

fn fault(rule: &str, unfilled: &BTreeMap<String, BTreeSet<String>>) -> Option<String> {
    let is_excused = NOT_PERFORMED.iter().any(|(known, _)| *known == rule);
    let Some(fields) = unfilled.get(rule) else {
        return (!is_excused).then(|| format!("{rule}: no detection"));
    };
    let is_known = |field: &&String| {
        let mut known = WITHOUT_VALUE.iter();
        known.any(|(of, name, _)| *of == rule && name == field)
    };
    let missing: Vec<_> = fields.iter().filter(|field| !is_known(field)).collect();
    (!missing.is_empty()).then(|| format!("{rule}: no value of {missing:?}"))
}
