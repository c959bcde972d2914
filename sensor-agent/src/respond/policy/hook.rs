//! Hooks: what can be done.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::super::config::{Builtin, HookConfig, Mode, RespondConfig};
use super::super::pattern::PathPattern;
use super::super::secure_path::{PathError, open_program};
use super::super::users::{self, Ids};
use super::{Errors, Protected};

const TIMEOUT_MS_DEFAULT: u64 = 10_000;
const COOLDOWN_S_DEFAULT: u64 = 60;
const USER_DEFAULT: &str = "nobody";

/// A checked hook.
#[derive(Debug)]
pub(crate) struct Hook {
    pub(crate) name: String,
    pub(crate) mode: Mode,
    pub(crate) timeout: Duration,
    pub(crate) cooldown: Duration,
    pub(crate) concurrency_max: u32,
    pub(crate) allow_incomplete: bool,
    pub(crate) action: Action,
}

/// What a hook does.
#[derive(Debug)]
pub(crate) enum Action {
    Program(ProgramAction),
    Kill(KillAction),
    Restore(RestoreAction),
}

/// Runs a program.
#[derive(Debug, Clone)]
pub(crate) struct ProgramAction {
    pub(crate) path: PathBuf,
    pub(crate) args: Vec<String>,
    /// `None`: the agent's own user.
    pub(crate) run_as: Option<Ids>,
}

/// Kills the detection's process and its descendants.
#[derive(Debug, Clone)]
pub(crate) struct KillAction {
    pub(crate) include_init: bool,
    pub(crate) protected: Protected,
}

/// Puts a recorded copy back.
#[derive(Debug, Clone)]
pub(crate) struct RestoreAction {
    pub(crate) host_root: PathBuf,
    pub(crate) copies: PathBuf,
    pub(crate) paths: Vec<PathPattern>,
    pub(crate) protected: Protected,
}

pub(super) fn check_all(config: &RespondConfig, protected: &Protected, errors: &mut Errors) -> Vec<Hook> {
    let mut hooks = Vec::new();
    for (at, hook) in config.hooks.iter().enumerate() {
        let path = format!("respond.hooks[{at}]");
        check_name(&path, hook, &config.hooks[..at], errors);
        let timeout_ms = hook.timeout_ms.unwrap_or(TIMEOUT_MS_DEFAULT);
        errors.range(&format!("{path}.timeout_ms"), timeout_ms, 1..=600_000);
        let cooldown_s = hook.cooldown_s.unwrap_or(COOLDOWN_S_DEFAULT);
        errors.range(&format!("{path}.cooldown_s"), cooldown_s, 0..=604_800);
        let concurrency_max = hook.concurrency_max.unwrap_or(1);
        errors.range(&format!("{path}.concurrency_max"), concurrency_max.into(), 1..=64);
        if let Some(action) = check_action(&path, hook, config, protected, errors) {
            hooks.push(Hook {
                name: hook.name.clone(),
                mode: hook.mode.unwrap_or(config.mode),
                timeout: Duration::from_millis(timeout_ms),
                cooldown: Duration::from_secs(cooldown_s),
                concurrency_max,
                allow_incomplete: hook.allow_incomplete,
                action,
            });
        }
    }
    hooks
}

fn check_name(path: &str, hook: &HookConfig, before: &[HookConfig], errors: &mut Errors) {
    let path = format!("{path}.name");
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    if hook.name.is_empty() || hook.name.len() > 64 || !hook.name.bytes().all(allowed) {
        let help = "give 1 to 64 letters, digits, `-`, `_` or `.`";
        errors.add(path, format!("`{}` is not a name for a hook", hook.name), help);
    } else if let Some(at) = before.iter().position(|other| other.name == hook.name) {
        errors.add(
            path,
            format!("`{}` is the name of respond.hooks[{at}] already", hook.name),
            "give each hook its own name",
        );
    }
}

fn check_action(
    path: &str,
    hook: &HookConfig,
    config: &RespondConfig,
    protected: &Protected,
    errors: &mut Errors,
) -> Option<Action> {
    check_foreign_keys(path, hook, errors);
    match (&hook.program, hook.builtin) {
        (Some(program), None) => check_program(path, program, hook, errors).map(Action::Program),
        (None, Some(Builtin::KillProcessTree)) => Some(Action::Kill(KillAction {
            include_init: hook.include_init,
            protected: protected.clone(),
        })),
        (None, Some(Builtin::RestoreFile)) => {
            check_restore(path, hook, config, protected, errors).map(Action::Restore)
        }
        (Some(_), Some(_)) => {
            errors.add(
                path,
                "a hook has both `program` and `builtin`",
                "write one hook for each",
            );
            None
        }
        (None, None) => {
            let help =
                "add `program: /absolute/path`, `builtin: kill-process-tree` or `builtin: restore-file`";
            errors.add(path, "a hook has neither `program` nor `builtin`", help);
            None
        }
    }
}

/// Keys that the hook's kind has no use for are mistakes, some of them dangerous: a `user` on a built-in action
/// would promise what is not kept.
fn check_foreign_keys(path: &str, hook: &HookConfig, errors: &mut Errors) {
    let is_program = hook.program.is_some();
    let kill = hook.builtin == Some(Builtin::KillProcessTree);
    let restore = hook.builtin == Some(Builtin::RestoreFile);
    let keys = [
        ("args", !hook.args.is_empty(), is_program, "a `program`"),
        ("user", hook.user.is_some(), is_program, "a `program`"),
        ("privileged", hook.privileged, is_program, "a `program`"),
        (
            "include_init",
            hook.include_init,
            kill,
            "`builtin: kill-process-tree`",
        ),
        (
            "copies",
            hook.copies.is_some(),
            restore,
            "`builtin: restore-file`",
        ),
        (
            "paths",
            !hook.paths.is_empty(),
            restore,
            "`builtin: restore-file`",
        ),
    ];
    for (key, given, wanted, owner) in keys {
        if given && !wanted {
            errors.add(
                format!("{path}.{key}"),
                format!("`{key}` is only for {owner}"),
                format!("remove `{key}`"),
            );
        }
    }
}

fn check_program(
    path: &str,
    program: &Path,
    hook: &HookConfig,
    errors: &mut Errors,
) -> Option<ProgramAction> {
    let errors_before = errors.0.len();
    if let Err(error) = open_program(program) {
        errors.add(
            format!("{path}.program"),
            error.to_string(),
            program_help(program, &error),
        );
    }
    errors.length(&format!("{path}.args"), hook.args.len(), 64);
    for (at, arg) in hook.args.iter().enumerate() {
        if arg.contains('\0') || arg.len() > 4096 {
            let help = "give at most 4096 bytes without NUL";
            errors.add(
                format!("{path}.args[{at}]"),
                "not an argument that a program can get",
                help,
            );
        }
    }
    let run_as = if hook.privileged {
        if hook.user.is_some() {
            let help = "keep `user`, or keep `privileged` to run as the agent's own user";
            errors.add(
                format!("{path}.user"),
                "a hook has both `user` and `privileged`",
                help,
            );
        }
        None
    } else {
        Some(check_user(
            &format!("{path}.user"),
            hook.user.as_deref().unwrap_or(USER_DEFAULT),
            errors,
        )?)
    };
    let args = hook.args.clone();
    (errors.0.len() == errors_before).then(|| ProgramAction {
        path: program.into(),
        args,
        run_as,
    })
}

fn program_help(program: &Path, error: &PathError) -> String {
    match error {
        PathError::Symlink(_) => match program.canonicalize() {
            Ok(real) => format!("give the real path, `{}`", real.display()),
            Err(_) => "give the real path".into(),
        },
        PathError::NotAbsolute(_) => "give the whole path, from `/`".into(),
        PathError::Open { .. } => "check that the program is there".into(),
        PathError::Owner { path, .. } => {
            format!("`chown root {path}`, or move the program to a folder of root's")
        }
        PathError::Writable { path, .. } => {
            format!("`chmod go-w {path}`, or move the program to a folder that only root can write")
        }
        PathError::NotRegular(_) => "give the path of a program".into(),
        PathError::NotExecutable(path) => format!("`chmod a+x {path}`"),
    }
}

fn check_user(path: &str, user: &str, errors: &mut Errors) -> Option<Ids> {
    match users::find(user) {
        Ok(Some(ids)) if ids.uid == 0 => {
            errors.add(
                path,
                format!("`{user}` is root"),
                "say `privileged: true` instead",
            );
            None
        }
        Ok(Some(ids)) => Some(ids),
        Ok(None) => {
            let help = "make it (`useradd --system`), give another, or say `privileged: true`";
            errors.add(path, format!("there is no user `{user}`"), help);
            None
        }
        Err(error) => {
            errors.add(
                path,
                format!("the users cannot be read: {error}"),
                "check /etc/passwd",
            );
            None
        }
    }
}

fn check_restore(
    path: &str,
    hook: &HookConfig,
    config: &RespondConfig,
    protected: &Protected,
    errors: &mut Errors,
) -> Option<RestoreAction> {
    let copies = hook.copies.clone();
    match &copies {
        Some(copies) => errors.absolute(&format!("{path}.copies"), copies),
        None => errors.add(
            path,
            "`restore-file` has no `copies`",
            "add `copies: /var/lib/sensor/copies`",
        ),
    }
    if hook.paths.is_empty() {
        errors.add(
            path,
            "`restore-file` has no `paths`",
            "list the files that it looks after",
        );
    }
    errors.length(&format!("{path}.paths"), hook.paths.len(), 1024);
    for (at, pattern) in hook.paths.iter().enumerate() {
        errors.absolute(&format!("{path}.paths[{at}]"), Path::new(pattern));
    }
    Some(RestoreAction {
        host_root: config.host_root.clone(),
        copies: copies?,
        paths: hook
            .paths
            .iter()
            .map(|pattern| PathPattern::new(pattern))
            .collect(),
        protected: protected.clone(),
    })
}
