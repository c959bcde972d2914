//! What a file has besides its content: owner, mode, extended attributes.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;

use rustix::fs::{
    Gid, Mode, Uid, XattrFlags, fchmod, fchown, fgetxattr, flistxattr, fremovexattr, fsetxattr,
};
use serde::{Deserialize, Serialize};

/// The kernel's own bound for one value, and for the list of names.
const XATTR_BYTES_MAX: usize = 64 << 10;

/// Owner, mode and extended attributes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Metadata {
    pub(super) mode: u32,
    pub(super) uid: u32,
    pub(super) gid: u32,
    /// Values in hexadecimal.
    xattrs: BTreeMap<String, String>,
}

impl Metadata {
    pub(super) fn of(file: &File) -> io::Result<Self> {
        let found = file.metadata()?;
        let mut xattrs = BTreeMap::new();
        for name in xattr_names(file) {
            let mut value = vec![0; XATTR_BYTES_MAX];
            if let Ok(len) = fgetxattr(file, name.as_str(), &mut value) {
                xattrs.insert(name, hex(&value[..len]));
            }
        }
        Ok(Self {
            mode: found.mode() & 0o7777,
            uid: found.uid(),
            gid: found.gid(),
            xattrs,
        })
    }

    /// Gives `file` this owner, this mode and, where the file system and our rights let it, these attributes.
    pub(super) fn apply(&self, file: &File) -> io::Result<()> {
        let found = Self::of(file)?;
        if (found.uid, found.gid) != (self.uid, self.gid) {
            fchown(file, Some(Uid::from_raw(self.uid)), Some(Gid::from_raw(self.gid)))?;
        }
        // After the owner: a change of owner clears the set-user-id bit.
        fchmod(file, Mode::from_raw_mode(self.mode))?;
        for name in found
            .xattrs
            .keys()
            .filter(|name| !self.xattrs.contains_key(*name))
        {
            let _ = fremovexattr(file, name.as_str());
        }
        for (name, value) in &self.xattrs {
            if found.xattrs.get(name) != Some(value) {
                let _ = fsetxattr(file, name.as_str(), &unhex(value), XattrFlags::empty());
            }
        }
        Ok(())
    }

    /// What differs between the good state, `self`, and `found`, in words. Attributes that cannot be set everywhere
    /// do not count.
    pub(super) fn difference(&self, found: &Self) -> Option<String> {
        if (self.uid, self.gid) != (found.uid, found.gid) {
            let (own, other) = ((self.uid, self.gid), (found.uid, found.gid));
            return Some(format!(
                "its owner is {}:{}, not {}:{}",
                other.0, other.1, own.0, own.1
            ));
        }
        let capability = "security.capability";
        if self.xattrs.get(capability) != found.xattrs.get(capability) {
            return Some("its capabilities have changed".into());
        }
        (self.mode != found.mode).then(|| format!("its mode is {:04o}, not {:04o}", found.mode, self.mode))
    }
}

fn xattr_names(file: impl AsFd) -> Vec<String> {
    let mut names = vec![0; XATTR_BYTES_MAX];
    let len = flistxattr(file, &mut names).unwrap_or(0);
    let names = names[..len]
        .split(|byte| *byte == 0)
        .filter(|name| !name.is_empty());
    names
        .filter_map(|name| String::from_utf8(name.to_vec()).ok())
        .collect()
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<u32> = text.chars().filter_map(|digit| digit.to_digit(16)).collect();
    digits
        .chunks_exact(2)
        .filter_map(|pair| u8::try_from(pair[0] * 16 + pair[1]).ok())
        .collect()
}
