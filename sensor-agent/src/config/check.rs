//! What types cannot say: ranges, and keys that depend on each other.

use std::path::Path;

use super::sections::{Config, GrpcConfig, KernelConfig, RuleSelector};

/// A ring may not be larger: more hides a reader that is too slow.
const RING_BYTES_MAX: u32 = 1 << 30;
/// What fits into a `sockaddr_un`, with its final zero.
const SOCKET_PATH_BYTES_MAX: usize = 107;

/// One thing that makes no sense.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Problem {
    /// The key, such as `grpc.tcp.address`.
    pub(super) path: String,
    pub(super) message: String,
    pub(super) help: String,
}

fn problem(path: &str, message: impl Into<String>, help: impl Into<String>) -> Problem {
    Problem {
        path: path.to_owned(),
        message: message.into(),
        help: help.into(),
    }
}

/// Everything that makes no sense, on a machine with this page size.
pub(super) fn check(config: &Config, page_bytes: u32) -> Vec<Problem> {
    let mut problems = Vec::new();
    check_rings(&config.kernel, page_bytes, &mut problems);
    check_grpc(&config.grpc, &mut problems);
    let limits = [
        (
            "state.processes_max",
            config.state.processes_max,
            1_024,
            4_194_304,
        ),
        ("state.exited_keep_s", config.state.exited_keep_s, 1, 3_600),
        ("state.containers_max", config.state.containers_max, 64, 65_536),
        (
            "identity.file_bytes_max",
            config.identity.file_bytes_max,
            1_024,
            u32::MAX,
        ),
        (
            "identity.bytes_per_second",
            config.identity.bytes_per_second,
            1 << 20,
            u32::MAX,
        ),
        ("grpc.queue_items_max", config.grpc.queue_items_max, 16, 1_048_576),
        ("grpc.subscribers_max", config.grpc.subscribers_max, 4, 1_024),
        (
            "inventory.workloads_max",
            config.inventory.workloads_max,
            1,
            4_096,
        ),
        ("inventory.programs_max", config.inventory.programs_max, 1, 1_024),
        ("inventory.ports_max", config.inventory.ports_max, 1, 1_024),
        ("inventory.peers_max", config.inventory.peers_max, 1, 1_024),
        ("inventory.folders_max", config.inventory.folders_max, 1, 1_024),
    ];
    for (path, value, min, max) in limits {
        if !(min..=max).contains(&value) {
            let nearest = value.clamp(min, max);
            problems.push(problem(
                path,
                format!("{value} is out of range: allowed are {min} to {max}"),
                format!("the nearest allowed value is {nearest}"),
            ));
        }
    }
    for (list, selectors) in [
        ("disable", &config.rules.disable),
        ("enable", &config.rules.enable),
    ] {
        for (index, selector) in selectors.iter().enumerate() {
            check_selector(&format!("rules.{list}[{index}]"), selector, &mut problems);
        }
    }
    if config.rules.files.is_empty() {
        problems.push(problem(
            "rules.files",
            "no rule files are named",
            "without rules nothing is ever detected",
        ));
    }
    if let Err(errors) = config.respond.check() {
        problems.extend(errors.into_iter().map(|error| Problem {
            path: error.path,
            message: error.message,
            help: error.help,
        }));
    }
    if config.hostname.as_deref() == Some("") {
        problems.push(problem(
            "hostname",
            "the name is empty",
            "use null for the system's name",
        ));
    }
    problems
}

fn check_selector(path: &str, selector: &RuleSelector, problems: &mut Vec<Problem>) {
    if selector.rule.is_some() == selector.tag.is_some() {
        problems.push(problem(
            path,
            "expected exactly one of `rule` and `tag`",
            "write `- rule: NAME` or `- tag: TAG`; `*` in NAME stands for any text",
        ));
    }
}

fn check_rings(kernel: &KernelConfig, page_bytes: u32, problems: &mut Vec<Problem>) {
    let rings = [
        ("kernel.lifecycle_ring_bytes", kernel.lifecycle_ring_bytes),
        ("kernel.critical_ring_bytes", kernel.critical_ring_bytes),
        ("kernel.activity_ring_bytes", kernel.activity_ring_bytes),
    ];
    for (path, bytes) in rings {
        let message = if bytes < page_bytes {
            format!("a ring of {bytes} bytes is smaller than a page ({page_bytes} bytes)")
        } else if bytes > RING_BYTES_MAX {
            format!("a ring of {bytes} bytes is larger than {RING_BYTES_MAX} bytes")
        } else if !bytes.is_power_of_two() {
            format!("{bytes} is not a power of two, as a ring's size must be")
        } else {
            continue;
        };
        let (below, above) = nearest_ring_sizes(bytes, page_bytes);
        problems.push(problem(
            path,
            message,
            format!("the nearest valid sizes are {below} and {above}"),
        ));
    }
}

/// The two valid sizes that are nearest to an invalid one.
fn nearest_ring_sizes(bytes: u32, page_bytes: u32) -> (u32, u32) {
    if bytes < page_bytes {
        (page_bytes, page_bytes * 2)
    } else if bytes > RING_BYTES_MAX {
        (RING_BYTES_MAX / 2, RING_BYTES_MAX)
    } else {
        let above = bytes.next_power_of_two();
        (above / 2, above)
    }
}

fn check_grpc(grpc: &GrpcConfig, problems: &mut Vec<Problem>) {
    if let Some(socket) = &grpc.socket {
        check_socket(socket, problems);
    }
    if let Some(tcp) = &grpc.tcp
        && tcp.tls.is_none()
        && !tcp.address.ip().is_loopback()
    {
        problems.push(problem(
            "grpc.tcp.address",
            format!(
                "{} can be reached from other machines, and without TLS anyone there could read detections",
                tcp.address
            ),
            "set grpc.tcp.tls, or use a loopback address such as 127.0.0.1",
        ));
    }
}

fn check_socket(socket: &Path, problems: &mut Vec<Problem>) {
    let path = "grpc.socket";
    let bytes = socket.as_os_str().len();
    if !socket.is_absolute() {
        problems.push(problem(
            path,
            format!("`{}` is not an absolute path", socket.display()),
            "start it with `/`, or use null for no unix socket",
        ));
    } else if bytes > SOCKET_PATH_BYTES_MAX {
        problems.push(problem(
            path,
            format!("the path has {bytes} bytes; the kernel allows {SOCKET_PATH_BYTES_MAX}"),
            "use a shorter path",
        ));
    }
}
