//! Compiles outputs: what is appended to them, what is taken out, and the fields added beside them.

use super::{Compiler, Reported};
use crate::field::FieldFlag;
use crate::format::{ExtraField, Output, OutputError};
use crate::load::item::RuleItem;
use crate::load::options::AppendOutput;
use crate::load::result::{ErrorCode, LoadError, LoadWarning, WarningCode};
use crate::load::source::Text;

/// Fields that Falco keeps for old rules only.
const DEPRECATED_FIELDS: [&str; 6] = [
    "evt.dir",
    "evt.latency",
    "evt.latency.s",
    "evt.latency.ns",
    "evt.latency.human",
    "evt.wait_latency",
];
const CONTAINER_INFO: &str = "%container.info";
const CONTAINER_INFO_DEPRECATED: &str = "%container.info is deprecated and no more useful, and will be dropped by \
                                         Falco 1.0.0. The container plugin will automatically add required fields \
                                         to the output message.";

/// A rule's output, ready to use.
#[derive(Clone, Debug)]
pub(crate) struct CompiledOutput {
    /// The format with everything appended.
    pub(crate) text: String,
    pub(crate) output: Output,
    pub(crate) extra_fields: Vec<ExtraField>,
}

/// Falco's words for a deprecated field in a condition.
pub(super) fn deprecated_in_condition(field: &str) -> String {
    let reason = if field == "evt.dir" {
        "due to the drop of enter events, 'evt.dir = <' always evaluates to true, and 'evt.dir = >' always evaluates \
         to false. The rule expression can be simplified by removing the condition on 'evt.dir'"
    } else {
        "field is not available due to the drop of enter events."
    };
    format!("usage of deprecated field '{field}' has been detected in the rule condition: {reason}")
}

impl Compiler<'_> {
    /// Compiles a rule's output. Nothing, without an error, if the rule is to be skipped.
    pub(super) fn output(&mut self, rule: &RuleItem) -> Result<Option<CompiledOutput>, Reported> {
        let text = self.output_text(rule);
        let output = match Output::parse(text.as_str(), &self.options.catalogue) {
            Ok(output) => output,
            Err(error) if rule.skip_if_unknown_filter && error.is_unknown_filter => {
                let warning =
                    LoadWarning::new(WarningCode::UnknownFilter, error.message, &rule.output_context);
                self.result.warn(warning);
                return Ok(None);
            }
            Err(error) => return Err(self.output_error(&error, &text, rule)),
        };
        self.deprecated_in_output(text.as_str(), rule);
        let extra_fields = self.extra_fields(rule)?;
        Ok(Some(CompiledOutput {
            text: text.as_str().to_owned(),
            output,
            extra_fields,
        }))
    }

    fn output_text(&mut self, rule: &RuleItem) -> Text {
        let mut text = rule.output.clone();
        let place = rule
            .output
            .locate(0..rule.output.as_str().len())
            .or(rule.output_context.span());
        let mut append = |more: &str| {
            if let Some(place) = place {
                text.push_for(" ", place);
                text.push_for(more, place);
            }
        };
        let catalogue = &self.options.catalogue;
        for appended in matching(&self.options.append_output, rule) {
            if let Some(more) = &appended.extra_output {
                append(more);
            }
            if appended.suggested_output {
                let suggested = catalogue
                    .iter()
                    .filter(|field| field.info().flags.has(FieldFlag::Suggested));
                suggested.map(|field| field.info().name).for_each(|name| {
                    append(&format!("{}=%{name}", name.replace('.', "_")));
                });
            }
        }
        if !text.as_str().contains(CONTAINER_INFO) {
            return text;
        }
        let warning = LoadWarning::new(
            WarningCode::DeprecatedItem,
            CONTAINER_INFO_DEPRECATED,
            &rule.context,
        );
        self.result.warn(warning);
        without(&text, CONTAINER_INFO)
    }

    fn output_error(&mut self, error: &OutputError, text: &Text, rule: &RuleItem) -> Reported {
        let rest = text.as_str().get(error.offset..).unwrap_or("");
        let token = rest.split(|c: char| !is_token(c)).next().unwrap_or("");
        let place = text.locate(error.offset..error.offset + token.len().max(1));
        let name = token.trim_start_matches(|c: char| c == '%' || c.is_ascii_digit());
        let help = self
            .options
            .catalogue
            .nearest(name)
            .map(|name| format!("did you mean `%{name}`?"));
        let issue = LoadError::new(ErrorCode::CompileOutput, &*error.message, &rule.output_context);
        self.report(issue.at(place).with_help(help))
    }

    /// Falco looks for the name anywhere in the text, so that `evt.latency.ns` counts as `evt.latency` too.
    fn deprecated_in_output(&mut self, text: &str, rule: &RuleItem) {
        for field in DEPRECATED_FIELDS.into_iter().filter(|field| text.contains(field)) {
            let message = format!("usage of deprecated field '{field}' has been detected in the rule output");
            self.result.warn(LoadWarning::new(
                WarningCode::DeprecatedItem,
                message,
                &rule.output_context,
            ));
        }
    }

    fn extra_fields(&mut self, rule: &RuleItem) -> Result<Vec<ExtraField>, Reported> {
        let options = self.options;
        let mut fields: Vec<ExtraField> = Vec::new();
        let wanted = matching(&options.append_output, rule).flat_map(|appended| &appended.extra_fields);
        for wanted in wanted {
            let format = wanted
                .format
                .clone()
                .unwrap_or_else(|| format!("%{}", wanted.key));
            let output = Output::parse(&format, &options.catalogue).map_err(|error| {
                let message = format!(
                    "{}, in the extra field `{}` of `append_output`",
                    error.message, wanted.key
                );
                self.report(LoadError::new(
                    ErrorCode::CompileOutput,
                    message,
                    &rule.output_context,
                ))
            })?;
            self.deprecated_in_output(&format, rule);
            let field = ExtraField {
                key: wanted.key.clone(),
                output,
                is_field: wanted.format.is_none(),
            };
            match fields.iter_mut().find(|earlier| earlier.key == field.key) {
                Some(earlier) => *earlier = field,
                None => fields.push(field),
            }
        }
        Ok(fields)
    }
}

fn is_token(character: char) -> bool {
    character.is_ascii_alphanumeric() || matches!(character, '%' | '.' | '_' | '[' | ']')
}

/// What is appended to a rule's output.
fn matching<'a>(appended: &'a [AppendOutput], rule: &'a RuleItem) -> impl Iterator<Item = &'a AppendOutput> {
    appended.iter().filter(|appended| {
        appended
            .source
            .as_ref()
            .is_none_or(|source| *source == rule.source)
            && appended.rule.as_ref().is_none_or(|name| **name == *rule.name)
            && appended.tags.iter().all(|tag| rule.tags.contains(tag))
    })
}

/// The text without every occurrence of a word.
fn without(text: &Text, word: &str) -> Text {
    let mut out = Text::default();
    let mut done = 0;
    for (at, _) in text.as_str().match_indices(word) {
        out.push_part(text, done..at);
        done = at + word.len();
    }
    out.push_part(text, done..text.as_str().len());
    out
}
