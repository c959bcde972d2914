//! Opens a file that only root can have put where it is.
//!
//! The path is walked one folder at a time, each opened from the one before it and checked once it is open, so that
//! what was checked is what is used.

use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path};

use rustix::fs::{FileType, Mode, OFlags, Stat, fstat, open, openat};
use rustix::io::Errno;

/// Why a program is not trusted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PathError {
    #[error("`{0}` is not an absolute path without `.` and `..`")]
    NotAbsolute(String),
    #[error("`{path}` cannot be opened: {error}")]
    Open { path: String, error: Errno },
    #[error("`{0}` is a symbolic link")]
    Symlink(String),
    #[error("`{path}` belongs to user {uid}, not to root")]
    Owner { path: String, uid: u32 },
    #[error("`{path}` can be written by others than its owner (mode {mode:04o})")]
    Writable { path: String, mode: u32 },
    #[error("`{0}` is not a regular file")]
    NotRegular(String),
    #[error("`{0}` is not executable")]
    NotExecutable(String),
}

/// Opens the program at `path` for reading, close-on-exec.
pub(crate) fn open_program(path: &Path) -> Result<OwnedFd, PathError> {
    let names = names(path)?;
    let Some((file, folders)) = names.split_last() else {
        return Err(PathError::NotRegular(path.display().to_string()));
    };
    let folder_flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let mut walked = std::path::PathBuf::from("/");
    let mut folder = open("/", folder_flags, Mode::empty()).map_err(|error| open_error(&walked, error))?;
    check_owner(&walked, &stat(&walked, &folder)?)?;
    for name in folders {
        walked.push(name);
        let next = openat(&folder, *name, folder_flags | OFlags::NOFOLLOW, Mode::empty());
        // A link to a folder, opened with O_DIRECTORY and O_NOFOLLOW, is "not a directory".
        folder = next.map_err(|error| match walked.symlink_metadata() {
            Ok(found) if found.is_symlink() => PathError::Symlink(walked.display().to_string()),
            _ => open_error(&walked, error),
        })?;
        check_owner(&walked, &stat(&walked, &folder)?)?;
    }
    walked.push(file);
    // O_NONBLOCK: a FIFO in the program's place must not hold the agent up.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let program = openat(&folder, *file, flags, Mode::empty()).map_err(|error| match error {
        Errno::LOOP => PathError::Symlink(walked.display().to_string()),
        _ => open_error(&walked, error),
    })?;
    let found = stat(&walked, &program)?;
    if FileType::from_raw_mode(found.st_mode) != FileType::RegularFile {
        return Err(PathError::NotRegular(walked.display().to_string()));
    }
    check_owner(&walked, &found)?;
    if found.st_mode & 0o111 == 0 {
        return Err(PathError::NotExecutable(walked.display().to_string()));
    }
    Ok(program)
}

fn names(path: &Path) -> Result<Vec<&OsStr>, PathError> {
    let not_absolute = || PathError::NotAbsolute(path.display().to_string());
    let mut components = path.components();
    if components.next() != Some(Component::RootDir) || path.as_os_str().as_bytes().contains(&0) {
        return Err(not_absolute());
    }
    components
        .map(|component| match component {
            Component::Normal(name) => Ok(name),
            _ => Err(not_absolute()),
        })
        .collect()
}

fn open_error(path: &Path, error: Errno) -> PathError {
    PathError::Open {
        path: path.display().to_string(),
        error,
    }
}

fn stat(path: &Path, file: &OwnedFd) -> Result<Stat, PathError> {
    fstat(file).map_err(|error| open_error(path, error))
}

fn check_owner(path: &Path, found: &Stat) -> Result<(), PathError> {
    let path = || path.display().to_string();
    if found.st_uid != 0 {
        return Err(PathError::Owner {
            path: path(),
            uid: found.st_uid,
        });
    }
    if found.st_mode & 0o022 != 0 {
        return Err(PathError::Writable {
            path: path(),
            mode: found.st_mode & 0o7777,
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::path::Path;

    use super::{PathError, open_program};

    #[test]
    fn accepts_a_system_program() {
        open_program(Path::new("/usr/bin/env")).unwrap();
    }

    #[test]
    fn refuses_relative_and_dotted_paths() {
        for path in ["env", "", "/usr/../usr/bin/env"] {
            let error = open_program(Path::new(path)).unwrap_err();
            assert!(matches!(error, PathError::NotAbsolute(_)), "{path}: {error}");
        }
    }

    #[test]
    fn refuses_what_others_can_replace() {
        // Below a folder that anyone can write, whoever owns the file.
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("hook");
        std::fs::write(&program, "#!/bin/sh\n").unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        let error = open_program(&program).unwrap_err();
        assert!(
            matches!(error, PathError::Writable { .. } | PathError::Owner { .. }),
            "{error}"
        );
    }

    #[test]
    fn refuses_links_folders_and_plain_files() {
        for (path, expected) in [
            ("/proc/self/exe", PathError::Symlink("/proc/self".into())),
            ("/usr/bin", PathError::NotRegular("/usr/bin".into())),
            ("/", PathError::NotRegular("/".into())),
            ("/etc/passwd", PathError::NotExecutable("/etc/passwd".into())),
        ] {
            assert_eq!(open_program(Path::new(path)).unwrap_err(), expected);
        }
    }
}
