//! What is made of an answer before it is scored: `filter_list`.

use super::config::OutputType;
use super::keys::Keys;
use super::regex::Pattern;
use super::yaml::Yaml;
use crate::Result;

/// Filters that run one after the other; [`TaskConfig`](super::TaskConfig) lists them.
#[derive(Clone, Debug)]
pub(super) struct FilterPipeline {
    pub(super) name: String,
    filters: Vec<Filter>,
}

#[derive(Clone, Debug)]
enum Filter {
    Regex { pattern: Pattern, select: i64, fallback: String },
    Lowercase,
    Uppercase,
    Strip,
    Map { entries: Vec<(String, String)>, default: Option<String> },
    TakeFirst,
}

impl FilterPipeline {
    pub(super) fn read_all(list: Option<Vec<Keys>>, kind: OutputType) -> Result<Vec<Self>> {
        let Some(list) = list else {
            return Ok(vec![Self { name: "none".into(), filters: vec![Filter::TakeFirst] }]);
        };
        let mut pipelines: Vec<Self> = Vec::new();
        for mut keys in list {
            let place = keys.place.clone();
            let name = keys.needed_text("name")?;
            if pipelines.iter().any(|other| other.name == name) {
                return Err(place.error(format!("two filters are named {name:?}")));
            }
            let functions = keys.mappings("filter")?;
            keys.finish("a filter")?;
            let functions =
                functions.ok_or_else(|| place.error("the key \"filter\" is missing"))?;
            let filters: Vec<Filter> =
                functions.into_iter().map(Filter::read).collect::<Result<_>>()?;
            let texts = kind == OutputType::GenerateUntil;
            if !texts && filters.iter().any(|filter| !matches!(filter, Filter::TakeFirst)) {
                let kind = kind.name();
                return Err(
                    place.error(format!("{kind} gives no text to filter; only take_first fits"))
                );
            }
            pipelines.push(Self { name, filters });
        }
        Ok(pipelines)
    }

    pub(super) fn apply(&self, answer: &str) -> Result<String> {
        self.filters.iter().try_fold(answer.to_owned(), |text, filter| filter.apply(text))
    }
}

impl Filter {
    fn read(mut keys: Keys) -> Result<Self> {
        let place = keys.place.clone();
        let function = keys.needed_text("function")?;
        let filter = match function.as_str() {
            "regex" => {
                let pattern = keys.text("regex_pattern")?;
                let pattern = pattern.unwrap_or_else(|| r"#### (\-?[0-9\.\,]+)".into());
                let select = keys.take("group_select").map_or(Some(0), |node| node.json().as_i64());
                Self::Regex {
                    pattern: Pattern::new(&pattern, &place)?,
                    select: select
                        .ok_or_else(|| place.error("group_select must be a whole number"))?,
                    fallback: keys.text("fallback")?.unwrap_or_else(|| "[invalid]".into()),
                }
            }
            "lowercase" => Self::Lowercase,
            "uppercase" => Self::Uppercase,
            "remove_whitespace" | "strip" => Self::Strip,
            "take_first" => Self::TakeFirst,
            "map" => {
                let default = keys.text("default_value")?;
                let entries = match keys.take("mapping_dict").map(|node| node.value) {
                    Some(Yaml::Map(entries)) => entries,
                    _ => return Err(place.error("map needs mapping_dict, a mapping of texts")),
                };
                let entry = |(key, node): (String, super::yaml::Node)| {
                    Ok((key, super::keys::text(&node, "mapping_dict")?))
                };
                Self::Map {
                    entries: entries.into_iter().map(entry).collect::<Result<_>>()?,
                    default,
                }
            }
            other => {
                let known = "regex, take_first, lowercase, uppercase, remove_whitespace, map";
                return Err(place.error(format!("the filter {other:?} is not one of {known}")));
            }
        };
        keys.finish(&format!("the filter {function:?}"))?;
        Ok(filter)
    }

    fn apply(&self, text: String) -> Result<String> {
        Ok(match self {
            Self::TakeFirst => text,
            Self::Lowercase => text.to_lowercase(),
            Self::Uppercase => text.to_uppercase(),
            Self::Strip => strip(&text).into(),
            // The harness passes None on, which no measure equals; an empty text stands for it.
            Self::Map { entries, default } => {
                let found = entries.iter().find(|(key, _)| *key == text).map(|(_, value)| value);
                found.or(default.as_ref()).cloned().unwrap_or_default()
            }
            Self::Regex { pattern, select, fallback } => {
                let matches = pattern.find_all(&text)?;
                let at = match usize::try_from(*select) {
                    Ok(at) => Some(at),
                    Err(_) => matches.len().checked_sub(select.unsigned_abs() as usize),
                };
                let groups = at.and_then(|at| matches.get(at));
                // A single group may be empty; of several the first that is not counts.
                let group = groups.and_then(|groups| match &groups[..] {
                    [only] => Some(only),
                    several => several.iter().find(|group| !group.is_empty()),
                });
                group.map_or_else(|| fallback.clone(), |group| strip(group).into())
            }
        })
    }
}

/// `str.strip()`.
fn strip(text: &str) -> &str {
    text.trim_matches(crate::prompt::is_space)
}
