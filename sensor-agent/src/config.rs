//! The configuration: a YAML file, environment variables over it, and flags over both.
//!
//! Everything that is wrong is reported at one time, each with the place in the text that it stands
//! in. Nothing is guessed: an unknown key is an error, not ignored, because a misspelt limit would
//! otherwise be no limit.

mod check;
mod overrides;
mod read;
mod report;
pub mod schema;
mod sections;
mod tree;

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

pub use overrides::Override;
pub use report::ConfigErrors;
pub use sections::{
    AppendOutputConfig, Config, EnforceConfig, ExtraFieldConfig, FileConfig, GrpcConfig, IdentityConfig,
    InventoryConfig, KernelConfig, KubernetesConfig, LogConfig, LogFormat, LogLevel, Matching, MetricsConfig,
    OutputMatch, Profile, RuleSelector, RulesConfig, RuntimesConfig, SelfTestConfig, StateConfig,
    StdoutConfig, TcpConfig, TlsConfig,
};

use check::Problem;
use read::Fault;
use tree::{Node, Source, SyntaxError};

/// Where the file is looked for when none is named. It need not exist.
pub const DEFAULT_PATH: &str = "/etc/sensor/sensor.yaml";
/// A configuration file is written by a person; a larger one is a mistake.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The file cannot be read.
    #[error(
        "cannot read the configuration {path}: {source}; name another with --config, or none to use {DEFAULT_PATH} where it exists"
    )]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file is no configuration at all.
    #[error("the configuration {path} {problem}")]
    NoConfiguration {
        /// The file.
        path: PathBuf,
        /// What is wrong with all of it.
        problem: &'static str,
    },
    /// What it says is wrong.
    #[error(transparent)]
    Invalid(#[from] ConfigErrors),
}

/// A configuration, and what a person should know about it.
#[derive(Debug, Clone, PartialEq)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// What is strange but harmless.
    pub warnings: Vec<String>,
}

/// Reads the configuration. Without `file`, [`DEFAULT_PATH`] is read if it exists.
///
/// # Errors
/// When the file cannot be read, or anything in it, the variables or the overrides is wrong.
pub fn load(
    file: Option<&Path>,
    environment: impl IntoIterator<Item = (OsString, OsString)>,
    overrides: &[Override],
) -> Result<Loaded, LoadError> {
    let path = file.unwrap_or(Path::new(DEFAULT_PATH));
    let text = match read_file(path) {
        Err(LoadError::Read { source, .. }) if file.is_none() && source.kind() == io::ErrorKind::NotFound => {
            String::new()
        }
        read => read?,
    };
    let (mut all, warnings) = overrides::from_environment(&schema::keys(), environment);
    all.extend_from_slice(overrides);
    let config = parse(&path.display().to_string(), &text, &all)?;
    Ok(Loaded { config, warnings })
}

fn read_file(path: &Path) -> Result<String, LoadError> {
    let read = || {
        let mut bytes = Vec::new();
        File::open(path)?
            .take(FILE_BYTES_MAX + 1)
            .read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let bytes = read().map_err(|source| LoadError::Read {
        path: path.to_owned(),
        source,
    })?;
    let no_configuration = |problem| LoadError::NoConfiguration {
        path: path.to_owned(),
        problem,
    };
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(no_configuration("is larger than 1 MiB; is it the right file?"));
    }
    String::from_utf8(bytes).map_err(|_| no_configuration("is not UTF-8; save it as UTF-8"))
}

/// Reads a configuration from text that `name` stands for in messages.
///
/// # Errors
/// All that is wrong with it.
pub fn parse(name: &str, text: &str, overrides: &[Override]) -> Result<Config, ConfigErrors> {
    let mut sources = vec![Source {
        name: name.to_owned(),
        text: text.to_owned(),
    }];
    let mut faults = Vec::new();
    let mut tree = match Node::parse(0, text, 0) {
        Ok(tree) => tree,
        Err(error) => return Err(ConfigErrors::new(sources, vec![syntax_fault(error)])),
    };
    let keys = schema::keys();
    for value in overrides {
        if let Err(error) = value.apply(&keys, &mut tree, &mut sources) {
            faults.push(syntax_fault(error));
        }
    }
    let written = tree.clone();
    let (config, wrong) = read::read::<Config>(&mut tree);
    faults.extend(wrong);
    let page_bytes = u32::try_from(rustix::param::page_size()).unwrap_or(u32::MAX);
    for Problem { path, message, help } in check::check(&config, page_bytes) {
        // What could not be read has its default now, which may make no sense where it stands: then the
        // fault is the news, not what follows from it.
        let follows = |fault: &Fault| {
            let node = written.follow(&path).map(|(node, _)| node);
            fault
                .place
                .is_some_and(|place| node.is_some_and(|node| node.has_part_at(place)))
        };
        if !faults.iter().any(follows) {
            let place = tree.follow(&path).map(|(_, place)| place);
            faults.push(Fault {
                message: format!("{path}: {message}"),
                label: None,
                help: Some(help),
                place,
            });
        }
    }
    if faults.is_empty() {
        Ok(config)
    } else {
        Err(ConfigErrors::new(sources, faults))
    }
}

fn syntax_fault(SyntaxError { message, place }: SyntaxError) -> Fault {
    Fault {
        message: format!("not YAML: {message}"),
        label: None,
        help: None,
        place,
    }
}

#[cfg(test)]
mod tests;
