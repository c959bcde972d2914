//! What runc is given: a root file system and its description.

use std::{
    ffi::OsStr,
    fs,
    os::unix::fs::{PermissionsExt as _, symlink},
    path::Path,
    process::Command,
};

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};

use super::{Builder, overlay::Overlay};

/// The root's folder in a bundle.
pub(super) const ROOT: &str = "root";

/// The program that a container's programs are.
pub(super) const BUSYBOX: &str = "/bin/busybox";

/// What Docker gives a container.
const CAPABILITIES: &[&str] = &[
    "CAP_AUDIT_WRITE",
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_MKNOD",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_RAW",
    "CAP_SETFCAP",
    "CAP_SETGID",
    "CAP_SETPCAP",
    "CAP_SETUID",
    "CAP_SYS_CHROOT",
];

/// Every capability, at the place of its number.
const EVERY_CAPABILITY: [&str; 41] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_DAC_READ_SEARCH",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETPCAP",
    "CAP_LINUX_IMMUTABLE",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_BROADCAST",
    "CAP_NET_ADMIN",
    "CAP_NET_RAW",
    "CAP_IPC_LOCK",
    "CAP_IPC_OWNER",
    "CAP_SYS_MODULE",
    "CAP_SYS_RAWIO",
    "CAP_SYS_CHROOT",
    "CAP_SYS_PTRACE",
    "CAP_SYS_PACCT",
    "CAP_SYS_ADMIN",
    "CAP_SYS_BOOT",
    "CAP_SYS_NICE",
    "CAP_SYS_RESOURCE",
    "CAP_SYS_TIME",
    "CAP_SYS_TTY_CONFIG",
    "CAP_MKNOD",
    "CAP_LEASE",
    "CAP_AUDIT_WRITE",
    "CAP_AUDIT_CONTROL",
    "CAP_SETFCAP",
    "CAP_MAC_OVERRIDE",
    "CAP_MAC_ADMIN",
    "CAP_SYSLOG",
    "CAP_WAKE_ALARM",
    "CAP_BLOCK_SUSPEND",
    "CAP_AUDIT_READ",
    "CAP_PERFMON",
    "CAP_BPF",
    "CAP_CHECKPOINT_RESTORE",
];

/// Writes a bundle into `folder`; the overlay that is its root lives as long as what is returned.
pub(super) fn write<S: AsRef<OsStr>>(
    builder: &Builder,
    id: &str,
    cgroup: &str,
    folder: &Path,
    command: &[S],
) -> anyhow::Result<Option<Overlay>> {
    let root = folder.join(ROOT);
    let image = if builder.overlay {
        folder.join("image")
    } else {
        root.clone()
    };
    write_image(&image).context("the container's image cannot be written")?;
    for (inside, content, mode) in &builder.files {
        write_file(&image, inside, content, *mode)?;
    }
    let overlay = builder
        .overlay
        .then(|| Overlay::mount(&image, folder, &root))
        .transpose()?;
    let config = serde_json::to_vec_pretty(&config(builder, id, cgroup, command)?)?;
    fs::write(folder.join("config.json"), config)?;
    Ok(overlay)
}

/// Busybox and links to it by the names of its programs, and the few files that programs look for.
pub(super) fn write_image(image: &Path) -> anyhow::Result<()> {
    for folder in [
        "bin", "dev", "etc", "proc", "root", "run", "sys", "tmp", "usr/bin", "usr/sbin", "var/log",
    ] {
        fs::create_dir_all(image.join(folder))?;
    }
    fs::set_permissions(image.join("tmp"), fs::Permissions::from_mode(0o1777))?;
    let bin = image.join("bin");
    fs::copy(BUSYBOX, bin.join("busybox"))?;
    let list = Command::new(BUSYBOX).arg("--list").output()?;
    ensure!(list.status.success(), "{BUSYBOX} --list says {}", list.status);
    for name in String::from_utf8_lossy(&list.stdout)
        .lines()
        .filter(|name| *name != "busybox")
    {
        symlink("busybox", bin.join(name))?;
    }
    write_file(
        image,
        Path::new("/etc/passwd"),
        b"root:x:0:0:root:/root:/bin/sh\n",
        0o644,
    )?;
    write_file(image, Path::new("/etc/group"), b"root:x:0:\n", 0o644)?;
    write_file(
        image,
        Path::new("/etc/shadow"),
        b"root:*:19000:0:99999:7:::\n",
        0o600,
    )?;
    write_file(
        image,
        Path::new("/var/log/auth.log"),
        b"Jan  1 00:00:00 web sshd[1]: started\n",
        0o640,
    )
}

fn write_file(image: &Path, inside: &Path, content: &[u8], mode: u32) -> anyhow::Result<()> {
    let path = image.join(inside.strip_prefix("/").unwrap_or(inside));
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    fs::write(&path, content).with_context(|| format!("{} cannot be written", path.display()))?;
    Ok(fs::set_permissions(&path, fs::Permissions::from_mode(mode))?)
}

/// The OCI runtime configuration.
///
/// It sets no resource limits: with a bare cgroup v2 hierarchy there may be no controllers to set them.
fn config<S: AsRef<OsStr>>(
    builder: &Builder,
    id: &str,
    cgroup: &str,
    command: &[S],
) -> anyhow::Result<Value> {
    let text = |text: &OsStr| {
        text.to_str()
            .map(str::to_owned)
            .with_context(|| format!("{} is not UTF-8", text.display()))
    };
    let args = command
        .iter()
        .map(|word| text(word.as_ref()))
        .collect::<Result<Vec<_>, _>>()?;
    let mut mounts = system_mounts();
    for (host, inside) in &builder.binds {
        let (source, destination) = (text(host.as_os_str())?, text(inside.as_os_str())?);
        mounts.push(json!({
            "destination": destination, "type": "bind", "source": source, "options": ["rbind", "rw"],
        }));
    }
    let mut capabilities: Vec<&str> = CAPABILITIES.to_vec();
    if builder.privileged {
        capabilities = own_capabilities()?;
    }
    capabilities.extend(builder.capabilities.iter().map(String::as_str));
    let mut namespaces = ["mount", "pid", "network", "ipc", "uts"]
        .map(|kind| json!({ "type": kind }))
        .to_vec();
    let mut mappings = Vec::new();
    if let Some(first_id) = builder.user_namespace {
        namespaces.push(json!({ "type": "user" }));
        mappings.push(json!({ "containerID": 0, "hostID": first_id, "size": 65536 }));
    }
    let (masked, read_only) = if builder.privileged {
        (json!([]), json!([]))
    } else {
        (
            json!(["/proc/kcore", "/proc/keys", "/proc/timer_list"]),
            json!([
                "/proc/bus",
                "/proc/fs",
                "/proc/irq",
                "/proc/sys",
                "/proc/sysrq-trigger"
            ]),
        )
    };
    let devices = if builder.privileged {
        json!({ "devices": [{ "allow": true, "access": "rwm" }] })
    } else {
        json!({})
    };
    let annotations: serde_json::Map<_, _> = builder
        .annotations
        .iter()
        .map(|(key, value)| (key.clone(), json!(value)))
        .collect();
    Ok(json!({
        "ociVersion": "1.0.2",
        "hostname": &id[..12],
        "root": { "path": ROOT, "readonly": false },
        "process": {
            "terminal": false,
            "cwd": "/",
            "user": { "uid": 0, "gid": 0 },
            "args": args,
            "env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "TERM=xterm"],
            "capabilities": {
                "bounding": capabilities, "effective": capabilities, "permitted": capabilities,
            },
        },
        "mounts": mounts,
        "annotations": annotations,
        "linux": {
            "cgroupsPath": cgroup,
            "namespaces": namespaces,
            "uidMappings": mappings,
            "gidMappings": mappings,
            "maskedPaths": masked,
            "readonlyPaths": read_only,
            "resources": devices,
        },
    }))
}

/// The capabilities that this process can hand on: a root of a container of its own may lack some.
fn own_capabilities() -> anyhow::Result<Vec<&'static str>> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let bits = u64::from_str_radix(line.context("no CapEff in /proc/self/status")?.trim(), 16)?;
    let has = |(number, name): (usize, &'static str)| (bits >> number & 1 == 1).then_some(name);
    Ok(EVERY_CAPABILITY.into_iter().enumerate().filter_map(has).collect())
}

fn system_mounts() -> Vec<Value> {
    let mount = |destination: &str, kind: &str, options: &[&str]| json!({ "destination": destination, "type": kind, "source": kind, "options": options });
    vec![
        mount("/proc", "proc", &[]),
        mount(
            "/dev",
            "tmpfs",
            &["nosuid", "strictatime", "mode=755", "size=65536k"],
        ),
        mount(
            "/dev/pts",
            "devpts",
            &["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"],
        ),
        mount(
            "/dev/shm",
            "tmpfs",
            &["nosuid", "nodev", "mode=1777", "size=65536k"],
        ),
        mount("/sys", "sysfs", &["nosuid", "noexec", "nodev", "ro"]),
    ]
}
