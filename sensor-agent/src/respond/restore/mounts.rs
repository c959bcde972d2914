//! Whether a file is mounted somewhere by itself.
//!
//! A mount of one file holds on to the inode: a new file under the old name would not be seen through it. So
//! such a file has to be rewritten in place. Containers get single files that way: `-v conf.yaml:/etc/conf.yaml`.

use std::collections::HashSet;
use std::fs;

use super::super::process;

/// Whether any mount namespace has a mount that may be the file at `path`.
///
/// A mount's source is told as a path within its file system, whose relation to ours is unknown; so the last two parts of
/// both are compared. One too many only means that a file is rewritten in place that could have been replaced.
pub(super) fn is_mounted(path: &str) -> bool {
    let Ok(all) = process::all() else { return true };
    let mut seen = HashSet::new();
    all.iter().any(|process| {
        let Ok(namespace) = fs::read_link(format!("/proc/{}/ns/mnt", process.pid)) else {
            return false;
        };
        seen.insert(namespace)
            && fs::read_to_string(format!("/proc/{}/mountinfo", process.pid))
                .is_ok_and(|mounts| has_source(&mounts, path))
    })
}

fn has_source(mountinfo: &str, path: &str) -> bool {
    // proc_pid_mountinfo(5): the fourth field is the mount's source within its file system.
    let sources = mountinfo.lines().filter_map(|line| line.split(' ').nth(3));
    sources.map(unescape).any(|source| {
        let mut own = path.rsplit('/');
        let mut other = source.rsplit('/');
        let name = own
            .next()
            .is_some_and(|name| !name.is_empty() && other.next() == Some(name));
        name && match (own.next(), other.next()) {
            (Some(own), Some(other)) => own.is_empty() || other.is_empty() || own == other,
            _ => true,
        }
    })
}

/// The kernel writes space, tab, newline and backslash as `\` with three octal digits.
fn unescape(field: &str) -> String {
    let mut out = field.to_owned();
    for (code, plain) in [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")] {
        out = out.replace(code, plain);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::has_source;

    #[test]
    fn the_last_two_parts_of_the_source_count() {
        let mountinfo = "36 35 98:0 /srv/my\\040app/conf.yaml /etc/conf.yaml rw - ext4 /dev/vda rw\n\
            37 35 0:31 / /proc rw - proc proc rw\n\
            38 35 98:1 /alone /x rw - ext4 /dev/vdb rw\n";
        for (path, expected) in [
            ("/srv/my app/conf.yaml", true),
            ("/data/srv/my app/conf.yaml", true),
            ("/srv/other/conf.yaml", false),
            ("/srv/my app/other", false),
            ("/mnt/alone", true),
            ("/srv/my app/conf.yaml/", false),
        ] {
            assert_eq!(has_source(mountinfo, path), expected, "{path}");
        }
    }
}
