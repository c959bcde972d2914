//! What a call of an OCI runtime says of the container that it makes.
//!
//! `runc`, `crun`, `youki` and their like are called alike: `create`, `run` or `restore` with `--bundle DIR` (or `-b`)
//! and the container's id last. The bundle is there before the container is, so it is the one place that tells about
//! any runtime's container in time, wherever the runtime keeps its state.
//!
//! It is only what somebody's argv says: the files that it leads to are believed for who owns them.

use std::{
    ffi::OsStr,
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
};

/// Arguments that are looked at: runtimes have about a dozen.
const ARGUMENTS_MAX: usize = 64;

/// Longest folder that is believed, in bytes (`PATH_MAX`).
const PATH_BYTES_MAX: usize = 4096;

/// Names of OCI runtimes' programs.
const RUNTIMES: [&[u8]; 5] = [b"runc", b"crun", b"youki", b"runsc", b"kata-runtime"];

/// A call that makes a container, or puts a process into one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuntimeCall {
    /// The bundle's folder, absolute, as the runtime sees it, and the container's id; `None` for `exec`.
    pub makes: Option<(PathBuf, Box<str>)>,
    /// The runtime's process, and its parent, which outlives it: whose root folder the bundle is below.
    pub pids: [u32; 2],
    /// Who the runtime ran as.
    pub uid: u32,
}

/// Whether argv is a runtime's `exec`: its helper processes are in the container's cgroup before they are in its
/// namespaces.
#[must_use]
pub fn is_exec(program: &[u8], argv: &[u8]) -> bool {
    let name = program.rsplit(|byte| *byte == b'/').next().unwrap_or(program);
    RUNTIMES.contains(&name)
        && argv
            .split(|byte| *byte == 0)
            .skip(1)
            .take(ARGUMENTS_MAX)
            .any(|argument| argument == b"exec")
}

/// Reads argv, each argument ended by a zero byte. `None` where it is no such call.
#[must_use]
pub fn parse(argv: &[u8], cwd: &[u8]) -> Option<(PathBuf, Box<str>)> {
    let argv = argv.strip_suffix(&[0])?;
    let mut is_making = false;
    let mut bundle: Option<&[u8]> = None;
    let mut wants_value = false;
    let mut last: &[u8] = b"";
    for argument in argv.split(|byte| *byte == 0).skip(1).take(ARGUMENTS_MAX) {
        last = argument;
        if std::mem::take(&mut wants_value) {
            bundle = Some(argument);
            continue;
        }
        match argument {
            b"create" | b"run" | b"restore" if !is_making => is_making = true,
            b"--bundle" | b"-b" | b"-bundle" if is_making => wants_value = true,
            _ if is_making => {
                let value = [&b"--bundle="[..], b"-bundle=", b"-b="]
                    .into_iter()
                    .find_map(|name| argument.strip_prefix(name));
                bundle = value.or(bundle);
            }
            _ => {}
        }
    }
    let id = std::str::from_utf8(last).ok()?;
    let is_id = !id.is_empty() && id.len() <= 1024 && !id.starts_with('-') && !id.contains('/');
    // Without the option the bundle is the working directory; `docker run` and others then look alike, so only the
    // option is taken for a runtime's call.
    let bundle = bundle.filter(|bundle| is_making && is_id && !bundle.is_empty())?;
    if bundle.len() + cwd.len() > PATH_BYTES_MAX {
        return None;
    }
    let bundle = Path::new(OsStr::from_bytes(cwd)).join(OsStr::from_bytes(bundle));
    bundle.is_absolute().then(|| (bundle, id.into()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn argv(words: &str) -> Vec<u8> {
        words
            .split(' ')
            .flat_map(|word| [word.as_bytes(), b"\0"].concat())
            .collect()
    }

    #[test]
    fn calls_of_runtimes_are_told_from_others() {
        let cases = [
            (
                "runc --root /run/containerd/runc/k8s.io --log /run/x/log.json --log-format json create --bundle /run/b/1 --pid-file /run/b/1/init.pid 1",
                Some(("/run/b/1", "1")),
            ),
            (
                "/usr/bin/crun --systemd-cgroup create -b /var/lib/c/userdata abc",
                Some(("/var/lib/c/userdata", "abc")),
            ),
            ("runc run --bundle=/b x", Some(("/b", "x"))),
            ("runc run -b bundle x", Some(("/work/bundle", "x"))),
            ("runc restore --bundle /b x", Some(("/b", "x"))),
            ("runc exec --process /tmp/p x", None),
            ("runc --bundle /b state x", None),
            ("docker run busybox true", None),
            ("runc create --bundle", None),
            ("runc create --bundle /b", None),
            ("runc create x --bundle /b", None),
            ("create", None),
            ("", None),
        ];
        for (words, expected) in cases {
            let found = parse(&argv(words), b"/work");
            let found = found
                .as_ref()
                .map(|(bundle, id)| (bundle.to_str().unwrap(), &**id));
            assert_eq!(found, expected, "{words}");
        }
    }

    #[test]
    fn a_runtimes_exec_is_told_by_its_program() {
        for (program, words, expected) in [
            ("/usr/sbin/runc", "runc --root /r exec --process /tmp/p x", true),
            ("crun", "crun exec x sh", true),
            ("/usr/bin/docker", "docker exec x sh", false),
            ("/usr/sbin/runc", "runc state x", false),
        ] {
            assert_eq!(is_exec(program.as_bytes(), &argv(words)), expected, "{words}");
        }
    }

    proptest! {
        #[test]
        fn any_argv_has_an_answer(argv in prop::collection::vec(any::<u8>(), 0..300), cwd in "/[a-z/]{0,20}") {
            let _ = parse(&argv, cwd.as_bytes());
            let _ = is_exec(cwd.as_bytes(), &argv);
        }
    }
}
