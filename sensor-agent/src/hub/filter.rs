//! What one subscriber wants, checked and prepared once so that publishing stays cheap.

use std::collections::HashSet;

use sensor_proto::v1::{Container, Detection, Filter, Gap, Priority};

use super::Item;

/// Entries in each list of a filter.
pub const ENTRIES_MAX: usize = 256;
/// Bytes of each entry.
pub const ENTRY_BYTES_MAX: usize = 256;
/// The fewest characters of a container id that tell containers apart: what `docker ps` shows.
pub const CONTAINER_CHARS_MIN: usize = 12;
/// The name for "outside containers" in the list of containers.
pub const HOST: &str = "host";

/// Why a filter is refused. Each message names the field and what to write instead.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FilterError {
    /// A list is too long.
    #[error(
        "filter.{field} has {count} entries; at most {ENTRIES_MAX} are allowed: use `*` in rule names, tags, or several subscriptions"
    )]
    TooMany {
        /// The list.
        field: &'static str,
        /// How many entries it has.
        count: usize,
    },
    /// An entry is too long.
    #[error("filter.{field}[{index}] has {bytes} bytes; at most {ENTRY_BYTES_MAX} are allowed")]
    TooLong {
        /// The list.
        field: &'static str,
        /// Which entry.
        index: usize,
        /// How long it is.
        bytes: usize,
    },
    /// An entry is empty and so could never fit.
    #[error("filter.{field}[{index}] is empty; leave the list out to get everything")]
    Empty {
        /// The list.
        field: &'static str,
        /// Which entry.
        index: usize,
    },
    /// The priority is a number without a meaning.
    #[error("filter.min_priority is {0}, which is no priority; use 1 (emergency) to 8 (debug), or 0 for all")]
    UnknownPriority(i32),
    /// The start of a container id is too short to mean one container.
    #[error(
        "filter.containers[{index}] `{entry}` is too short; give at least {CONTAINER_CHARS_MIN} characters of the container's id, or `{HOST}`"
    )]
    ShortContainer {
        /// Which entry.
        index: usize,
        /// The entry.
        entry: String,
    },
}

/// A filter that is ready to use. The default lets everything through.
#[derive(Debug, Clone, Default)]
pub struct CompiledFilter {
    rules: Vec<String>,
    /// Priorities up to this number pass; numbers grow as severity falls.
    priority_max: Option<i32>,
    tags: HashSet<String>,
    host: bool,
    containers: Vec<String>,
}

impl TryFrom<Filter> for CompiledFilter {
    type Error = FilterError;

    fn try_from(filter: Filter) -> Result<Self, FilterError> {
        check_list("rules", &filter.rules)?;
        check_list("tags", &filter.tags)?;
        check_list("containers", &filter.containers)?;
        let priority_max = match Priority::try_from(filter.min_priority) {
            Ok(Priority::Unspecified) => None,
            Ok(priority) => Some(priority as i32),
            Err(_) => return Err(FilterError::UnknownPriority(filter.min_priority)),
        };
        let mut host = false;
        let mut containers = Vec::with_capacity(filter.containers.len());
        for (index, entry) in filter.containers.into_iter().enumerate() {
            if entry == HOST {
                host = true;
            } else if entry.chars().count() < CONTAINER_CHARS_MIN {
                return Err(FilterError::ShortContainer { index, entry });
            } else {
                containers.push(entry);
            }
        }
        let tags = filter.tags.into_iter().collect();
        Ok(Self {
            rules: filter.rules,
            priority_max,
            tags,
            host,
            containers,
        })
    }
}

fn check_list(field: &'static str, entries: &[String]) -> Result<(), FilterError> {
    if entries.len() > ENTRIES_MAX {
        return Err(FilterError::TooMany {
            field,
            count: entries.len(),
        });
    }
    for (index, entry) in entries.iter().enumerate() {
        if entry.is_empty() {
            return Err(FilterError::Empty { field, index });
        }
        if entry.len() > ENTRY_BYTES_MAX {
            return Err(FilterError::TooLong {
                field,
                index,
                bytes: entry.len(),
            });
        }
    }
    Ok(())
}

impl CompiledFilter {
    /// Whether the subscriber wants the item.
    #[must_use]
    pub fn passes(&self, item: &Item) -> bool {
        match item {
            Item::Detection(detection) => self.passes_detection(detection),
            Item::HookRun { answers, .. } => self.passes_detection(answers),
            Item::Gap(gap) => self.passes_gap(gap),
            // Which rules are in use concerns everyone.
            Item::RulesReload(_) => true,
        }
    }

    fn passes_detection(&self, detection: &Detection) -> bool {
        self.priority_max
            .is_none_or(|max| (1..=max).contains(&detection.priority))
            && (self.rules.is_empty() || self.rules.iter().any(|rule| fits(rule, &detection.rule)))
            && (self.tags.is_empty() || detection.tags.iter().any(|tag| self.tags.contains(tag)))
            && self.passes_container(detection.container.as_ref())
    }

    fn passes_container(&self, container: Option<&Container>) -> bool {
        match container {
            _ if self.containers.is_empty() && !self.host => true,
            None => self.host,
            Some(container) => self.has_container(&container.id),
        }
    }

    /// A gap of unknown place concerns everyone.
    fn passes_gap(&self, gap: &Gap) -> bool {
        gap.container.is_empty()
            || self.containers.is_empty() && !self.host
            || self.has_container(&gap.container)
    }

    fn has_container(&self, id: &str) -> bool {
        self.containers.iter().any(|start| id.starts_with(start.as_str()))
    }
}

/// Whether `text` fits `pattern`, in which `*` stands for any text. Takes at most
/// `pattern.len() * text.len()` steps: it only ever returns to the last `*`.
fn fits(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut p, mut t) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some(b'*') => {
                retry = Some((p + 1, t));
                p += 1;
            }
            Some(byte) if *byte == text[t] => {
                p += 1;
                t += 1;
            }
            _ => {
                let Some((after_star, from)) = retry else {
                    return false;
                };
                retry = Some((after_star, from + 1));
                (p, t) = (after_star, from + 1);
            }
        }
    }
    pattern[p..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        let table = [
            ("Shell in container", "Shell in container", true),
            ("Shell in container", "Shell in containers", false),
            ("shell*", "Shell in container", false),
            ("Shell*", "Shell in container", true),
            ("*container", "Shell in container", true),
            ("*in*in*", "Shell in container", true),
            ("*in*in*in*", "Shell in container", false),
            ("*a*a*b", "aaaaaaab", true),
            ("*", "", true),
            ("", "", true),
            ("", "a", false),
            ("**", "é", true),
        ];
        for (pattern, text, expected) in table {
            assert_eq!(fits(pattern, text), expected, "{pattern} on {text}");
        }
    }

    #[test]
    fn refusals_name_the_field_and_the_way_out() {
        let list = |n: usize, text: &str| vec![text.to_owned(); n];
        let table = [
            (
                Filter {
                    rules: list(257, "a"),
                    ..Filter::default()
                },
                "filter.rules has 257 entries",
            ),
            (
                Filter {
                    tags: list(1, &"t".repeat(257)),
                    ..Filter::default()
                },
                "filter.tags[0] has 257 bytes",
            ),
            (
                Filter {
                    tags: list(1, ""),
                    ..Filter::default()
                },
                "filter.tags[0] is empty",
            ),
            (
                Filter {
                    min_priority: 9,
                    ..Filter::default()
                },
                "use 1 (emergency) to 8 (debug)",
            ),
            (
                Filter {
                    containers: list(1, "0123456789a"),
                    ..Filter::default()
                },
                "at least 12 characters",
            ),
        ];
        for (filter, expected) in table {
            let message = CompiledFilter::try_from(filter).unwrap_err().to_string();
            assert!(message.contains(expected), "{message}");
        }
    }

    /// A filter from `FIELD=ENTRY` words.
    fn filter(words: &str) -> Filter {
        let mut filter = Filter::default();
        for word in words.split_whitespace() {
            let (field, entry) = word.split_once('=').unwrap();
            match field {
                "rule" => filter.rules.push(entry.to_owned()),
                "tag" => filter.tags.push(entry.to_owned()),
                "container" => filter.containers.push(entry.to_owned()),
                "priority" => filter.min_priority = Priority::from_str_name(entry).unwrap().into(),
                _ => panic!("no field {field}"),
            }
        }
        filter
    }

    #[test]
    fn each_set_field_must_pass() {
        let contained = Detection {
            rule: "Shell in container".into(),
            priority: Priority::Warning.into(),
            tags: vec!["container".into(), "shell".into()],
            container: Some(Container {
                id: "0123456789abcdef".into(),
                ..Container::default()
            }),
            ..Detection::default()
        };
        let on_host = Detection {
            container: None,
            ..contained.clone()
        };
        // What is asked for, whether it lets the contained one and the one on the host through.
        let table = [
            ("", true, true),
            ("rule=x rule=Shell*", true, true),
            ("rule=x", false, false),
            ("priority=PRIORITY_WARNING", true, true),
            ("priority=PRIORITY_ERROR", false, false),
            ("tag=x tag=shell", true, true),
            ("tag=she", false, false),
            ("container=0123456789ab", true, false),
            ("container=host", false, true),
            ("container=host container=0123456789ab", true, true),
            ("rule=Shell* tag=x", false, false),
        ];
        for (words, passes_contained, passes_host) in table {
            let filter = CompiledFilter::try_from(filter(words)).unwrap();
            assert_eq!(
                filter.passes_detection(&contained),
                passes_contained,
                "{words}, in a container"
            );
            assert_eq!(
                filter.passes_detection(&on_host),
                passes_host,
                "{words}, on the host"
            );
        }
    }

    #[test]
    fn gaps_pass_unless_they_are_another_containers() {
        let filter = CompiledFilter::try_from(Filter {
            containers: vec!["0123456789ab".into()],
            ..Filter::default()
        })
        .unwrap();
        let gap = |container: &str| Gap {
            container: container.into(),
            ..Gap::default()
        };
        assert!(filter.passes_gap(&gap("")));
        assert!(filter.passes_gap(&gap("0123456789abcdef")));
        assert!(!filter.passes_gap(&gap("ffffffffffff")));
        assert!(CompiledFilter::default().passes_gap(&gap("ffffffffffff")));
    }
}
