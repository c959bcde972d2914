//! Notices changes of rule files and of the configuration (`rules.watch`), by inotify.
//!
//! Folders are watched, not files: an editor, `mv` and Kubernetes replace files. A change is told once it has been quiet
//! for a moment, since tools write several files, or one in several steps.

use std::{
    collections::BTreeSet,
    io,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
use tokio::net::unix::pipe;

use crate::config::{self, Config};

/// Folders that are watched; more are left out, with a word.
const FOLDERS_MAX: usize = 1_024;
/// Folders within folders, as deep as rule files are looked for.
const DEPTH_MAX: usize = 16;
/// How long it must be quiet.
const QUIET: Duration = Duration::from_millis(300);
/// How long it may go on until it is told all the same.
const PATIENCE: Duration = Duration::from_secs(3);

/// A watch, if one is wanted and can be had.
pub(super) struct MaybeWatch(Option<Watch>);

impl MaybeWatch {
    /// Watches what the configuration names, where it asks for that.
    pub(super) fn new(config: &Config, config_file: Option<&Path>) -> Self {
        if !config.rules.watch {
            return Self(None);
        }
        Self(
            Watch::new(config, config_file)
                .map_err(|error| unnoticed(&error))
                .ok(),
        )
    }

    /// See [`Watch::refresh`].
    pub(super) fn refresh(&mut self, config: &Config, config_file: Option<&Path>) {
        if let Some(watch) = &mut self.0
            && let Err(error) = watch.refresh(config, config_file)
        {
            unnoticed(&error);
        }
    }

    /// Waits until something changed; for ever where nothing is watched.
    pub(super) async fn changed(&mut self) {
        if let Some(watch) = &mut self.0 {
            match watch.changed().await {
                Ok(()) => return,
                Err(error) => {
                    unnoticed(&error);
                    self.0 = None;
                }
            }
        }
        std::future::pending::<()>().await;
    }
}

fn unnoticed(error: &io::Error) {
    tracing::warn!(%error, "changes of rule files are not all noticed; after a change send SIGHUP");
}

/// Tells of changes.
struct Watch {
    /// An inotify descriptor reads as a pipe does, which spares unsafe code.
    inotify: pipe::Receiver,
    /// Names of files and folders that the configuration gives; others matter when they look like rules.
    names: BTreeSet<Vec<u8>>,
    /// Something changed and was not told yet.
    is_due: bool,
}

impl Watch {
    /// Watches what the configuration names.
    fn new(config: &Config, config_file: Option<&Path>) -> io::Result<Self> {
        let inotify = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)?;
        let mut watch = Self {
            inotify: pipe::Receiver::from_owned_fd_unchecked(inotify)?,
            names: BTreeSet::new(),
            // What changed since the rules were read for the start.
            is_due: true,
        };
        watch.refresh(config, config_file)?;
        Ok(watch)
    }

    /// Watches folders that came since. Those that went are forgotten by the kernel.
    fn refresh(&mut self, config: &Config, config_file: Option<&Path>) -> io::Result<()> {
        let config_file = config_file.unwrap_or(Path::new(config::DEFAULT_PATH));
        let mut folders = BTreeSet::new();
        for path in config
            .rules
            .files
            .iter()
            .map(PathBuf::as_path)
            .chain([config_file])
        {
            if let Some(name) = path.file_name() {
                self.names.insert(name.as_encoded_bytes().to_vec());
            }
            // Of a bare name the parent is the empty path.
            let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
            folders.insert(parent.unwrap_or(Path::new(".")).to_owned());
            if path.is_dir() {
                collect(path, 0, &mut folders);
            }
        }
        if folders.len() > FOLDERS_MAX {
            tracing::warn!(
                folders = folders.len(),
                "changes are noticed in the first {FOLDERS_MAX} folders of rules only; after others send SIGHUP"
            );
        }
        let wanted = WatchFlags::CLOSE_WRITE
            | WatchFlags::MOVED_FROM
            | WatchFlags::MOVED_TO
            | WatchFlags::CREATE
            | WatchFlags::DELETE
            | WatchFlags::DELETE_SELF
            | WatchFlags::MOVE_SELF
            | WatchFlags::ONLYDIR;
        for folder in folders.iter().take(FOLDERS_MAX) {
            match inotify::add_watch(&self.inotify, folder, wanted) {
                // What is not there yet is noticed by its parent.
                Ok(_) | Err(rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Waits until something changed and it has been quiet since. May be dropped and called again.
    async fn changed(&mut self) -> io::Result<()> {
        while !self.is_due {
            self.next().await?;
        }
        let begin = Instant::now();
        while begin.elapsed() < PATIENCE {
            match tokio::time::timeout(QUIET, self.next()).await {
                Ok(more) => more?,
                Err(_quiet) => break,
            }
        }
        self.is_due = false;
        Ok(())
    }

    /// Waits for the next changes.
    async fn next(&mut self) -> io::Result<()> {
        self.inotify.readable().await?;
        let mut buffer = [0; 4096];
        loop {
            match self.inotify.try_read(&mut buffer) {
                Ok(len) => {
                    let mut rest = &buffer[..len];
                    while let Some((mask, name)) = event(&mut rest) {
                        self.is_due |= matters(&self.names, mask, name);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }
}

/// Takes one event off the front: what happened, and to whom in the folder. (`struct inotify_event`,
/// `include/uapi/linux/inotify.h`: wd, mask, cookie, length of the name, name padded with zeros.)
fn event<'a>(rest: &mut &'a [u8]) -> Option<(ReadFlags, Option<&'a [u8]>)> {
    let (head, after) = rest.split_first_chunk::<16>()?;
    let word = |at: usize| u32::from_ne_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
    let (name, after) = after.split_at_checked(word(12) as usize)?;
    *rest = after;
    let name = &name[..memchr::memchr(0, name).unwrap_or(name.len())];
    Some((
        ReadFlags::from_bits_retain(word(4)),
        (!name.is_empty()).then_some(name),
    ))
}

/// Whether a change can change the rules. Others are frequent where a rule file lies in a busy folder.
fn matters(names: &BTreeSet<Vec<u8>>, what: ReadFlags, name: Option<&[u8]>) -> bool {
    let Some(name) = name else {
        // The folder itself went, or the kernel had no room for all that happened.
        return !what.contains(ReadFlags::IGNORED);
    };
    what.contains(ReadFlags::ISDIR)
        || names.contains(name)
        || name.ends_with(b".yaml")
        || name.ends_with(b".yml")
        // A Kubernetes ConfigMap is changed by replacing the link `..data`.
        || name.starts_with(b"..")
}

/// The folder and those below it that are looked for rules.
fn collect(folder: &Path, depth: usize, found: &mut BTreeSet<PathBuf>) {
    if depth > DEPTH_MAX || found.len() > FOLDERS_MAX || !found.insert(folder.to_owned()) {
        return;
    }
    // What cannot be listed is said when the rules are read.
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    for path in entries.map(|entry| entry.path()).filter(|path| path.is_dir()) {
        collect(&path, depth + 1, found);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::RulesConfig;

    fn config(path: &Path) -> Config {
        Config {
            rules: RulesConfig {
                files: vec![path.to_owned()],
                ..RulesConfig::default()
            },
            ..Config::default()
        }
    }

    async fn is_told(watch: &mut Watch) -> bool {
        tokio::time::timeout(Duration::from_secs(5), watch.changed())
            .await
            .is_ok_and(|told| told.is_ok())
    }

    #[tokio::test]
    async fn what_can_change_the_rules_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let rules = folder.path().join("rules.d");
        let config_file = folder.path().join("sensor.conf");
        std::fs::create_dir_all(rules.join("below")).unwrap();
        let config = config(&rules);
        let mut watch = Watch::new(&config, Some(&config_file)).unwrap();
        let write = |path: &Path| std::fs::write(path, "x").unwrap();

        assert!(
            is_told(&mut watch).await,
            "what happened before is looked at once"
        );

        write(&rules.join("a.yaml"));
        assert!(is_told(&mut watch).await, "a new file");
        write(&rules.join("below/b.yml"));
        assert!(is_told(&mut watch).await, "a file in a folder within");
        write(&config_file);
        assert!(is_told(&mut watch).await, "the configuration");
        std::fs::rename(rules.join("a.yaml"), folder.path().join("gone")).unwrap();
        assert!(is_told(&mut watch).await, "a file that goes");
        std::os::unix::fs::symlink("below", rules.join("..data")).unwrap();
        assert!(is_told(&mut watch).await, "the link of a ConfigMap");
        std::fs::remove_dir_all(&rules).unwrap();
        assert!(is_told(&mut watch).await, "the folder goes");
        std::fs::create_dir(&rules).unwrap();
        assert!(is_told(&mut watch).await, "the folder comes again");
        watch.refresh(&config, Some(&config_file)).unwrap();
        write(&rules.join("c.yaml"));
        assert!(is_told(&mut watch).await, "a file in the new folder");
    }

    #[test]
    fn what_cannot_change_the_rules_does_not_matter() {
        let names = BTreeSet::from([b"named".to_vec()]);
        for (name, expected) in [
            ("a.yaml", true),
            ("a.yml", true),
            ("named", true),
            ("..data", true),
            ("stdout", false),
            (".swp", false),
        ] {
            let found = matters(&names, ReadFlags::CLOSE_WRITE, Some(name.as_bytes()));
            assert_eq!(found, expected, "{name}");
        }
        assert!(matters(&names, ReadFlags::CREATE | ReadFlags::ISDIR, Some(b"x")));
        assert!(matters(&names, ReadFlags::QUEUE_OVERFLOW, None));
        assert!(!matters(&names, ReadFlags::IGNORED, None));
    }
}
