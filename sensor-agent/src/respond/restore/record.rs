//! Records good copies: by command, and at start for files that have none yet.

use std::io;

use super::super::config::{Builtin, ConfigError, RespondConfig};
use super::super::pattern::PathPattern;
use super::super::policy::{Action, Policy, RestoreAction};
use super::copies::Copies;
use super::host::HostFiles;
use super::put_back::State;

/// Why a copy cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The configuration is wrong.
    #[error("the configuration is wrong: {}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Config(Vec<ConfigError>),
    /// No hook would ever put the file back.
    #[error("no `restore-file` hook looks after `{0}`; add it to the `paths` of one in `respond.hooks`")]
    NotConfigured(String),
    /// The file or the copy cannot be read or written.
    #[error("`{path}` cannot be recorded: {error}")]
    Io {
        /// The file.
        path: String,
        /// What the system said.
        #[source]
        error: io::Error,
    },
}

/// Records the files at the host paths `paths` as they are now, as what `restore-file` puts back; all that the
/// configuration names when `paths` is empty. Returns each path with the SHA-256 of its content, in hexadecimal.
///
/// The agent need not be stopped: it reads a copy anew each time. Stops at the first error.
pub fn record(config: &RespondConfig, paths: &[String]) -> Result<Vec<(String, String)>, RestoreError> {
    let mut config = config.clone();
    config
        .hooks
        .retain(|hook| hook.builtin == Some(Builtin::RestoreFile));
    config.bindings.clear();
    let policy = Policy::new(&config).map_err(RestoreError::Config)?;
    let mut recorded = Vec::new();
    for path in paths {
        let looked_after = |pattern: &PathPattern| pattern.fits(path.as_bytes());
        if !actions(&policy).any(|action| action.paths.iter().any(looked_after)) {
            return Err(RestoreError::NotConfigured(path.clone()));
        }
    }
    for action in actions(&policy) {
        let failed = |path: &str| {
            let path = path.to_owned();
            move |error| RestoreError::Io { path, error }
        };
        let host = HostFiles::open(&action.host_root).map_err(failed("/"))?;
        let copies = Copies::open(&action.copies).map_err(failed("/"))?;
        for pattern in &action.paths {
            let wanted = if paths.is_empty() {
                host.expand(pattern).map_err(failed(pattern.as_str()))?
            } else {
                paths
                    .iter()
                    .filter(|path| pattern.fits(path.as_bytes()))
                    .cloned()
                    .collect()
            };
            for path in wanted {
                let header = copies.record(&host, &path).map_err(failed(&path))?;
                recorded.push((header.path, header.sha256));
            }
        }
    }
    Ok(recorded)
}

fn actions(policy: &Policy) -> impl Iterator<Item = &RestoreAction> {
    policy.hooks.iter().filter_map(|hook| match &hook.action {
        Action::Restore(action) => Some(action),
        Action::Program(_) | Action::Kill(_) => None,
    })
}

/// Records the files that have no copy, and says which differ from theirs. A copy is never replaced here: the file may have
/// been tampered with while no agent ran.
pub(crate) fn record_missing(action: &RestoreAction) -> io::Result<()> {
    let host = HostFiles::open(&action.host_root)?;
    let copies = Copies::open(&action.copies)?;
    for pattern in &action.paths {
        let paths = host.expand(pattern)?;
        if paths.is_empty() {
            tracing::warn!(
                path = pattern.as_str(),
                "restore-file looks after a file that is not there"
            );
        }
        for path in paths {
            let known = copies.has(&path);
            let done = if known {
                compare(&host, &copies, &path)
            } else {
                copies.record(&host, &path).map(drop)
            };
            match done {
                Err(error) => tracing::warn!(path, %error, "restore-file has no good copy of a file"),
                Ok(()) if !known => tracing::info!(path, "recorded a file as good"),
                Ok(()) => {}
            }
        }
    }
    Ok(())
}

fn compare(host: &HostFiles, copies: &Copies, path: &str) -> io::Result<()> {
    match State::of(host, &copies.load(path)?)? {
        State::Good => {}
        State::Missing => tracing::warn!(path, "a recorded file is missing"),
        State::Changed { what } => {
            tracing::warn!(
                path,
                what,
                "a file is not as recorded; record it again if that is right"
            );
        }
    }
    Ok(())
}
