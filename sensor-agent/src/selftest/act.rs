//! What a canary does: one harmless thing for each kind of event that has one.

use sensor_common::{hook::Hook, kind::Kind, syscall::Call};
use serde::{Deserialize, Serialize};

use crate::kernel::attach::Probes;

/// One thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Act {
    /// It is started.
    Fork,
    /// It becomes itself anew.
    Exec,
    /// It ends.
    Exit,
    /// It opens a file of its own.
    Open,
    /// It connects to the agent over IPv4 loopback.
    Connect4,
    /// It connects to the agent over IPv6 loopback.
    Connect6,
    /// It makes a folder in its own.
    Mkdir,
    /// It renames that.
    Rename,
    /// It links a file of its own.
    Link,
    /// It makes a symbolic link.
    Symlink,
    /// It removes that.
    Unlink,
    /// It changes the mode of a file of its own.
    Chmod,
    /// It goes into its folder.
    Chdir,
    /// It makes a file without a name.
    Memfd,
    /// It begins a session.
    Setsid,
    /// It asks whether it may send itself a signal.
    Kill,
}

/// Each act of a system call, and the call that it makes.
const CALLS: [(Act, Call); 11] = [
    (Act::Open, Call::OpenAt),
    (Act::Mkdir, Call::Mkdirat),
    (Act::Rename, Call::Renameat),
    (Act::Link, Call::Linkat),
    (Act::Symlink, Call::Symlinkat),
    (Act::Unlink, Call::Unlinkat),
    (Act::Chmod, Call::Fchmodat),
    (Act::Chdir, Call::Chdir),
    (Act::Memfd, Call::MemfdCreate),
    (Act::Setsid, Call::Setsid),
    (Act::Kill, Call::Kill),
];

/// An event that must come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// What makes it.
    pub act: Act,
    /// Its kind.
    pub kind: Kind,
    /// The hook that must tell it.
    pub hook: Hook,
}

impl Wanted {
    /// That it did not come, as a sentence.
    #[must_use]
    pub fn silence(&self) -> String {
        format!(
            "{} is silent: the self-test's {} did not come back",
            self.hook_name(),
            self.kind.name()
        )
    }

    /// The hook, as the status names it.
    #[must_use]
    pub fn hook_name(&self) -> &'static str {
        match self.act {
            Act::Fork => "tp_btf/sched_process_fork",
            Act::Exec => "tp_btf/sched_process_exec",
            Act::Exit => "tp_btf/sched_process_exit",
            _ => self.hook.name(),
        }
    }
}

/// What is in use now and has a harmless form. `ports` are where the agent listens, on IPv4 and IPv6.
#[must_use]
pub fn wanted(probes: &Probes, ports: [Option<u16>; 2]) -> Vec<Wanted> {
    let usual = |act, kind| Wanted {
        act,
        kind,
        hook: Hook::Usual,
    };
    let mut wanted = vec![
        usual(Act::Fork, Kind::Fork),
        usual(Act::Exec, Kind::Exec),
        usual(Act::Exit, Kind::Exit),
    ];
    let calls = probes.calls();
    wanted.extend(
        CALLS
            .into_iter()
            .filter(|(_, call)| calls.contains(call))
            .filter_map(|(act, call)| Some(usual(act, call.kind()?))),
    );
    let hooks = probes.hooks();
    let is_attached = |hook: Hook| {
        hooks
            .iter()
            .any(|status| status.name == hook.name() && status.attached)
    };
    let connects = [(Act::Connect4, Hook::Connect4), (Act::Connect6, Hook::Connect6)];
    for ((act, own), port) in connects.into_iter().zip(ports) {
        let hook = if is_attached(own) {
            own
        } else if calls.contains(&Call::Connect) {
            Hook::Usual
        } else {
            continue;
        };
        if port.is_some() {
            wanted.push(Wanted {
                act,
                kind: Kind::Connect,
                hook,
            });
        }
    }
    wanted
}
