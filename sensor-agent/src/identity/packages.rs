//! The package that a file belongs to, as the database of its own root tells: dpkg's lists, those of distroless images,
//! and apk's. A database says who installed a path, not that nobody has changed it since.
//!
//! rpm's is left out: it is `SQLite` with a binary format of its own within, and not worth a library written in C.

use std::path::{Path, PathBuf};

use super::root::Root;
use crate::state::programs::Packaged;

/// Longest list or database that is read, in bytes.
const FILE_BYTES_MAX: u64 = 32 << 20;

/// Lists of one database that are read; a desktop has some 4,000.
const LISTS_MAX: usize = 16_384;

/// Bytes of all lists of one database that are read.
const LISTS_BYTES_MAX: u64 = 256 << 20;

/// Longest package name, in bytes.
const NAME_BYTES_MAX: usize = 128;

const DPKG_LISTS: &str = "/var/lib/dpkg/info";
const DISTROLESS_LISTS: &str = "/var/lib/dpkg/status.d";
const APK_DATABASES: [&str; 2] = ["/lib/apk/db/installed", "/usr/lib/apk/db/installed"];

/// Folders that many systems have as links into `/usr`; a package may name its file either way.
const MERGED: [&str; 5] = ["bin", "sbin", "lib", "lib32", "lib64"];

/// Whose a file is.
#[must_use]
pub fn owner(root: &Root, path: &Path) -> Packaged {
    use std::os::unix::ffi::OsStrExt as _;

    let names = names(root, path);
    let names: Vec<&[u8]> = names.iter().map(|name| name.as_os_str().as_bytes()).collect();
    let mut is_told = false;
    for look in [dpkg, distroless, apk] {
        match look(root, &names) {
            Packaged::Unasked | Packaged::Unknown => {}
            Packaged::Unowned => is_told = true,
            owned @ Packaged::Owned(_) => return owned,
        }
    }
    if is_told {
        Packaged::Unowned
    } else {
        Packaged::Unknown
    }
}

/// The names that a package may have for a file: its path, and that before `/bin` became a link to `/usr/bin`.
fn names(root: &Root, path: &Path) -> Vec<PathBuf> {
    let mut names = vec![path.to_owned()];
    if let Ok(below) = path.strip_prefix("/usr")
        && let Some(first) = below.iter().next().and_then(|first| first.to_str())
        && MERGED.contains(&first)
        && root.is_link(Path::new("/").join(first).as_path())
    {
        names.push(Path::new("/").join(below));
    }
    names
}

/// dpkg: `/var/lib/dpkg/info/PACKAGE[:ARCH].list`, one path a line.
fn dpkg(root: &Root, names: &[&[u8]]) -> Packaged {
    search(root, DPKG_LISTS, ".list", |list| {
        names.iter().any(|name| has_line(list, name))
    })
}

/// Distroless images: `/var/lib/dpkg/status.d/PACKAGE.md5sums`, a hash and a path without its first slash a line.
fn distroless(root: &Root, names: &[&[u8]]) -> Packaged {
    search(root, DISTROLESS_LISTS, ".md5sums", |list| {
        names.iter().any(|name| has_sum(list, name))
    })
}

/// The first list of a folder that fits; its file's name is the package's.
fn search(root: &Root, folder: &str, suffix: &str, fits: impl Fn(&[u8]) -> bool) -> Packaged {
    let Some(lists) = root.list(Path::new(folder), LISTS_MAX) else {
        return Packaged::Unknown;
    };
    let mut bytes = 0;
    let mut is_told = false;
    for list in lists {
        let Some(package) = list.to_str().and_then(|name| name.strip_suffix(suffix)) else {
            continue;
        };
        if bytes > LISTS_BYTES_MAX {
            // Not all was read: nobody can say that it is nobody's.
            return Packaged::Unknown;
        }
        let Some((content, _)) = root.read(&Path::new(folder).join(&list), FILE_BYTES_MAX) else {
            continue;
        };
        is_told = true;
        bytes += content.len() as u64;
        if fits(&content) {
            let name = package.split_once(':').map_or(package, |(name, _)| name);
            return named(name.as_bytes());
        }
    }
    if is_told {
        Packaged::Unowned
    } else {
        Packaged::Unknown
    }
}

/// apk: one database of all packages.
fn apk(root: &Root, names: &[&[u8]]) -> Packaged {
    for database in APK_DATABASES {
        if let Some((content, _)) = root.read(Path::new(database), FILE_BYTES_MAX) {
            return names
                .iter()
                .find_map(|name| apk_owner(&content, name))
                .map_or(Packaged::Unowned, named);
        }
    }
    Packaged::Unknown
}

/// A package's name, as far as it can be one.
fn named(name: &[u8]) -> Packaged {
    let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || b"+-._".contains(byte);
    match std::str::from_utf8(name) {
        Ok(text) if !name.is_empty() && name.len() <= NAME_BYTES_MAX && name.iter().all(is_name) => {
            Packaged::Owned(text.into())
        }
        _ => Packaged::Unknown,
    }
}

/// Whether a text has this line.
fn has_line(text: &[u8], line: &[u8]) -> bool {
    memchr::memmem::find_iter(text, line).any(|at| {
        let is_start = at == 0 || text[at - 1] == b'\n';
        let is_end = matches!(text.get(at + line.len()), None | Some(b'\n'));
        is_start && is_end
    })
}

/// Whether a list of sums (`HASH  PATH`) has this path.
fn has_sum(text: &[u8], path: &[u8]) -> bool {
    let path = path.strip_prefix(b"/").unwrap_or(path);
    text.split(|byte| *byte == b'\n').any(|line| {
        let sum = memchr::memchr(b' ', line).unwrap_or(line.len());
        line[sum..].trim_ascii_start() == path
    })
}

/// The package of apk's database that has a path: `P:` names it, `F:` a folder without its first slash, and `R:` a file in
/// that folder (`apk-installed(5)`).
fn apk_owner<'a>(text: &'a [u8], path: &[u8]) -> Option<&'a [u8]> {
    let path = path.strip_prefix(b"/")?;
    let (folder, file) = match memchr::memrchr(b'/', path) {
        Some(at) => (&path[..at], &path[at + 1..]),
        None => (&b""[..], path),
    };
    let mut package = None;
    let mut is_there = false;
    for line in text.split(|byte| *byte == b'\n') {
        match (line.first(), line.get(1), line.get(2..)) {
            (Some(b'P'), Some(b':'), Some(name)) => (package, is_there) = (Some(name), false),
            (Some(b'F'), Some(b':'), Some(name)) => is_there = name == folder,
            (Some(b'R'), Some(b':'), Some(name)) if is_there && name == file => return package,
            (None, ..) => (package, is_there) = (None, false),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests;
