//! The overlay that is a container's root.

use std::{
    ffi::CString,
    fs,
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, ensure};
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

/// A mounted overlay. Dropping it unmounts it.
#[derive(Debug)]
pub(super) struct Overlay {
    at: PathBuf,
}

impl Overlay {
    /// Mounts an overlay over `image` at `at`, with its upper layer below `folder`.
    pub(super) fn mount(image: &Path, folder: &Path, at: &Path) -> anyhow::Result<Self> {
        let (upper, work) = (folder.join("upper"), folder.join("work"));
        for folder in [&upper, &work, at] {
            fs::create_dir_all(folder)?;
        }
        let mut options = Vec::new();
        for (name, path) in [
            ("lowerdir=", image),
            (",upperdir=", &*upper),
            (",workdir=", &*work),
        ] {
            let path = path.as_os_str().as_bytes();
            ensure!(
                !path.iter().any(|byte| b",:\\".contains(byte)),
                "the temporary folder's name is no option"
            );
            options.extend_from_slice(name.as_bytes());
            options.extend_from_slice(path);
        }
        mount(
            "overlay",
            at,
            "overlay",
            MountFlags::empty(),
            &*CString::new(options)?,
        )
        .with_context(|| format!("no overlay can be mounted at {}", at.display()))?;
        Ok(Self { at: at.to_owned() })
    }
}

impl Drop for Overlay {
    fn drop(&mut self) {
        // Detached, because a process of the container may still be on its way out.
        let _ = unmount(&self.at, UnmountFlags::DETACH);
    }
}
