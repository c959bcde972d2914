//! `sensor rules`: checks rule files, shows what they say, and tries them.
//!
//! But for `reload`, nothing here needs the kernel or a running sensor, so that it all works in an editor and in CI.

mod check;
mod explain;
mod fmt;
mod list;
mod reload;
mod show;
mod test;

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use sensor_rules::{
    diagnostic::{self, Diagnostic, Severity, Style},
    load::{LoadOptions, Loaded, RuleInfo},
};

use super::{Exit, args::ConfigArgs, clean, colour_errors, config::fail_to_load, fail, print, say};
use crate::{config::RulesConfig, rules};

/// Arguments of `sensor rules`.
#[derive(Debug, Clone, Args)]
pub struct RulesArgs {
    #[command(subcommand)]
    command: RulesCommand,
}

#[derive(Debug, Clone, Subcommand)]
enum RulesCommand {
    /// Say everything that is wrong with rule files, or looks like a mistake
    Check(check::CheckArgs),
    /// List the rules
    List(list::ListArgs),
    /// Show one rule with its macros, lists and exceptions written out
    Show(show::ShowArgs),
    /// Say why a rule matches an event, or why not, part by part
    Explain(explain::ExplainArgs),
    /// Run the tests beside the rules, and say what they do not test
    Test(test::TestArgs),
    /// Lay out conditions and blanks, and nothing else
    Fmt(fmt::FmtArgs),
    /// Let a running sensor read its rules anew
    Reload(reload::ReloadArgs),
    /// Print the JSON schema of rule files, for editors
    Schema,
}

/// How a result is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people
    #[default]
    Text,
    /// For programs
    Json,
}

/// Which rule files are meant.
#[derive(Debug, Clone, Args)]
struct FileArgs {
    /// Rule files, and folders of them, in this order [default: rules.files of the configuration]
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Where the configuration comes from.
    #[command(flatten)]
    config: ConfigArgs,
}

pub(super) fn run(args: &RulesArgs) -> Exit {
    let done = match &args.command {
        RulesCommand::Check(args) => check::run(args),
        RulesCommand::List(args) => list::run(args),
        RulesCommand::Show(args) => show::run(args),
        RulesCommand::Explain(args) => explain::run(args),
        RulesCommand::Test(args) => test::run(args),
        RulesCommand::Fmt(args) => fmt::run(args),
        RulesCommand::Reload(args) => reload::run(args),
        RulesCommand::Schema => Ok(print_json(&sensor_rules::schema::rule_file())),
    };
    done.unwrap_or_else(|exit| exit)
}

impl FileArgs {
    /// The configuration of rules, with the paths of the command line in it. What is wrong has been said.
    fn config(&self) -> Result<RulesConfig, Exit> {
        let loaded = self.config.load().map_err(|error| fail_to_load(&error))?;
        let mut config = loaded.config.rules;
        if !self.paths.is_empty() {
            config.files.clone_from(&self.paths);
        }
        Ok(config)
    }

    /// Loads the files as the agent does, whether or not something is wrong with them.
    fn load(&self) -> Result<Loaded, Exit> {
        let config = self.config()?;
        load(&config, rules::options(&config))
    }

    /// Loads the files; anything that is wrong with them is said, and ends the command.
    fn load_valid(&self) -> Result<Loaded, Exit> {
        valid(self.load()?)
    }
}

fn load(config: &RulesConfig, options: LoadOptions) -> Result<Loaded, Exit> {
    let files = rules::files(&config.files).map_err(|error| fail(Exit::Wrong, &error))?;
    Ok(rules::read(&files, options))
}

fn valid(loaded: Loaded) -> Result<Loaded, Exit> {
    let found = diagnostics(&loaded);
    let errors: Vec<_> = found
        .iter()
        .filter(|one| one.severity == Severity::Error)
        .collect();
    if errors.is_empty() {
        return Ok(loaded);
    }
    let style = if colour_errors() {
        Style::Color
    } else {
        Style::Plain
    };
    for error in &errors {
        say(&format_args!(
            "{}\n",
            diagnostic::render(error, &loaded.sources, style)
        ));
    }
    Err(fail(
        Exit::Wrong,
        &format_args!("{} in the rules", count(errors.len(), "error")),
    ))
}

/// All that is to be said of the files: errors and warnings, then advice.
fn diagnostics(loaded: &Loaded) -> Vec<Diagnostic> {
    let mut found = diagnostic::diagnostics(loaded);
    // The lints say it of what is unused after all files.
    found.retain(|one| !rules::SAID_TOO_EARLY.contains(&one.code));
    found.extend(loaded.unmet_plugins.iter().map(|plugin| Diagnostic {
        severity: Severity::Error,
        code: "plugin-missing",
        message: format!("the rules need the plugin {plugin}, which this sensor does not have"),
        file: String::new(),
        span: None,
        help: None,
        item: String::new(),
    }));
    // Advice about rules that do not load would be guesswork.
    if loaded.is_ok() {
        let lints = loaded.lint();
        found.extend(lints.iter().map(|lint| Diagnostic::lint(lint, &loaded.sources)));
    }
    found
}

/// The rule of a name; one that is not there is said with the nearest name.
fn rule<'a>(loaded: &'a Loaded, name: &str) -> Result<&'a RuleInfo, Exit> {
    if let Some(rule) = loaded.rule(name) {
        return Ok(rule);
    }
    let nearest = loaded
        .rules
        .iter()
        .min_by_key(|rule| strsim::damerau_levenshtein(&rule.name, name));
    let help = nearest.map_or(String::new(), |rule| format!("; did you mean `{}`?", rule.name));
    Err(fail(
        Exit::Wrong,
        &format_args!("there is no rule `{name}`{help} `sensor rules list` lists them"),
    ))
}

/// `file:line` of the rule's definition.
fn place(loaded: &Loaded, rule: &RuleInfo) -> String {
    rule.span.map_or(String::new(), |span| {
        let line = loaded.sources.line_column(span).line;
        format!("{}:{line}", loaded.sources.name(span.file))
    })
}

/// Names of the events that the rule can match; `None` where it was skipped.
fn event_names(rule: &RuleInfo) -> Option<Vec<&'static str>> {
    let types = rule.event_types?;
    Some(types.iter().map(sensor_rules::field::EventType::name).collect())
}

/// `1 error`, `2 errors`.
fn count(number: usize, what: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {what}{plural}")
}

fn print_json(value: &serde_json::Value) -> Exit {
    print(&format!("{value:#}\n"))
}
