//! Performs a case: the helper does it, and says over a socket who it was.

use std::{
    collections::BTreeSet,
    io::IoSliceMut,
    mem::MaybeUninit,
    process::Stdio,
    sync::{Condvar, Mutex},
};

use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SocketFlags, SocketType, recvmsg,
    socketpair, sockopt::set_socket_passcred,
};

use crate::place::{Places, Ready};

/// What came of it.
pub(crate) struct Performed {
    /// Its processes, as the host numbers them.
    pub(crate) pids: BTreeSet<u32>,
    /// What the helper said besides: steps that failed, and how it ended.
    pub(crate) said: Vec<String>,
}

/// Files that a case at work needs for itself.
#[derive(Default)]
pub(crate) struct Claims {
    held: Mutex<BTreeSet<String>>,
    freed: Condvar,
}

impl Claims {
    /// Does it while no other case touches the same files.
    pub(crate) fn with<T>(&self, ready: &Ready<'_>, act: impl FnOnce() -> T) -> T {
        let wanted = touched(ready);
        let mut held = self.held.lock().unwrap();
        while wanted.iter().any(|path| held.contains(path)) {
            held = self.freed.wait(held).unwrap();
        }
        held.extend(wanted.iter().cloned());
        drop(held);
        let done = act();
        let mut held = self.held.lock().unwrap();
        held.retain(|path| !wanted.contains(path));
        self.freed.notify_all();
        done
    }
}

/// Paths that a case may make, change or remove.
fn touched(ready: &Ready<'_>) -> BTreeSet<String> {
    let case = ready.case;
    let programs = ready.programs.iter().map(|(path, _)| path.clone());
    let links = ready.links.iter().map(|(_, link)| link.clone());
    let resources = case
        .resources
        .iter()
        .flat_map(|resource| ["filePath", "dirPath"].map(|key| resource[key].as_str().map(str::to_owned)))
        .flatten();
    let steps = case.steps.iter().flat_map(|step| {
        let flags = step["args"]["flags"]
            .as_str()
            .or(step["args"]["how"]["flags"].as_str());
        let only_reads = flags == Some("O_RDONLY");
        ["pathname", "newPath", "linkPath"].map(|key| {
            step["args"][key]
                .as_str()
                .filter(|_| !only_reads)
                .map(str::to_owned)
        })
    });
    let place = format!("{:?}", case.context.container);
    let paths = programs.chain(links).chain(resources).chain(steps.flatten());
    paths.map(|path| format!("{place}{path}")).collect()
}

/// Performs it to its end.
pub(crate) fn perform(ready: &Ready<'_>, places: &Places) -> Performed {
    // Who is started while a program is written holds it open for writing, and it could not be run.
    static WRITES: Mutex<()> = Mutex::new(());
    let _programs = {
        let _writes = WRITES.lock().unwrap();
        places.put_programs(ready)
    };
    let (ours, theirs) = socketpair(
        AddressFamily::UNIX,
        SocketType::SEQPACKET,
        SocketFlags::CLOEXEC,
        None,
    )
    .unwrap();
    set_socket_passcred(&ours, true).unwrap();
    let mut command = places.command(ready);
    let starts = WRITES.lock().unwrap();
    let child = command
        .stdin(Stdio::null())
        .stdout(Stdio::from(theirs))
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(starts);
    // The command holds the other end, too.
    drop(command);
    let mut done = Performed {
        pids: BTreeSet::new(),
        said: Vec::new(),
    };
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmCredentials(1))];
    let mut bytes = [0; 1024];
    loop {
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let received = recvmsg(
            &ours,
            &mut [IoSliceMut::new(&mut bytes)],
            &mut control,
            RecvFlags::empty(),
        );
        let Ok(received) = received else { break };
        if received.bytes == 0 {
            break;
        }
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmCredentials(who) = message {
                done.pids.insert(who.pid.as_raw_nonzero().get().cast_unsigned());
            }
        }
        match String::from_utf8_lossy(&bytes[..received.bytes]).into_owned() {
            here if here == "here" => {}
            other => done.said.push(other),
        }
    }
    let output = child.wait_with_output().unwrap();
    if !output.status.success() {
        done.said.push(format!(
            "{}: {}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        ));
    }
    done
}
