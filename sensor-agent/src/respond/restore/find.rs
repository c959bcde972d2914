//! Which of the configured files a detection is about.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use rustix::fs::OFlags;
use sensor_proto::v1::{Detection, Process};

use super::super::action::Refusal;
use super::super::policy::RestoreAction;
use super::super::process::{Held, Start};
use super::copies::Copies;
use super::host::HostFiles;

/// A file as the kernel knows it, whatever its path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct FileId {
    device: u64,
    inode: u64,
}

/// The host path of the detection's file.
///
/// Names differ between mount namespaces, so a name counts only for a process of the host; otherwise it is
/// the device and inode, of the file now, or when it was recorded: one that was removed or replaced has others now.
pub(super) fn find(
    action: &RestoreAction,
    host: &HostFiles,
    copies: &Copies,
    detection: &Detection,
) -> Result<String, Refusal> {
    let file = detection
        .file
        .as_ref()
        .ok_or_else(|| Refusal::new("the detection is about no file"))?;
    let looked_after = |path: &str| action.paths.iter().any(|pattern| pattern.fits(path.as_bytes()));
    let headers = copies.headers().map_err(Refusal::new)?;
    let headers: Vec<_> = headers
        .into_iter()
        .filter(|header| looked_after(&header.path))
        .collect();

    if detection.container.is_none() && headers.iter().any(|header| header.path == file.path) {
        return Ok(file.path.clone());
    }
    let mut ids = Vec::new();
    if file.inode != 0 {
        ids.extend(devices(file.device).map(|device| FileId {
            device,
            inode: file.inode,
        }));
    }
    if let Some(process) = &detection.process {
        ids.extend(seen_by(process, &file.path).ok());
    }
    let now = |path: &str| {
        let found = fs::File::from(host.open_at(path, OFlags::PATH).ok()?)
            .metadata()
            .ok()?;
        Some(FileId {
            device: found.dev(),
            inode: found.ino(),
        })
    };
    let by_now = headers
        .iter()
        .find(|header| now(&header.path).is_some_and(|id| ids.contains(&id)));
    let recorded = |device, inode| ids.contains(&FileId { device, inode });
    let found = by_now.or_else(|| {
        headers
            .iter()
            .find(|header| recorded(header.device, header.inode))
    });
    match found {
        Some(header) => Ok(header.path.clone()),
        None if detection.container.is_none() && looked_after(&file.path) => Err(Refusal(format!(
            "there is no copy of `{}`",
            file.path.escape_debug()
        ))),
        None => Err(Refusal(format!(
            "`{}` is none of the files with a copy",
            file.path.escape_debug()
        ))),
    }
}

/// `device` as `stat(2)` gives it, and as the kernel keeps it inside (12 bits major, 20 bits minor), turned into that.
fn devices(device: u64) -> impl Iterator<Item = u64> {
    let inside = u32::try_from(device)
        .ok()
        .map(|device| rustix::fs::makedev(device >> 20, device & 0xf_ffff));
    std::iter::once(device).chain(inside)
}

/// The file that `process` finds at `path` now.
fn seen_by(process: &Process, path: &str) -> io::Result<FileId> {
    let root = HostFiles::open(&PathBuf::from(format!("/proc/{}/root", process.pid)))?;
    let found = fs::File::from(root.open_at(path, OFlags::PATH)?).metadata()?;
    // Only now is it sure whose root that was.
    Held::new(process.pid, Start::Nanoseconds(process.start_time_ns)).map_err(io::Error::other)?;
    Ok(FileId {
        device: found.dev(),
        inode: found.ino(),
    })
}
