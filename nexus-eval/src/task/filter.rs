//! What is made of an answer before it is scored: `filter_list`.

use super::keys::Keys;
use super::output_type::OutputType;
use super::regex::Pattern;
use super::yaml::Yaml;
use crate::Result;
use serde_json::Value;

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
    TakeFirstK(usize),
    MajorityVote,
}

/// What a filter leaves of the answers to a question: one, at the front.
#[derive(Debug)]
pub(super) struct Filtered {
    answers: Vec<String>,
    /// Whether the harness writes it as a text rather than a list of one.
    taken: bool,
}

impl Filtered {
    pub(super) fn answer(&self) -> &str {
        self.answers.first().map_or("", String::as_str)
    }

    /// As the harness writes it into its samples.
    pub(super) fn json(&self) -> Value {
        match self.taken {
            true => self.answer().into(),
            false => self.answers.clone().into(),
        }
    }
}

impl FilterPipeline {
    /// The filters of a task that gets `repeats` answers to a question.
    pub(super) fn read_all(
        list: Option<Vec<Keys>>,
        kind: OutputType,
        repeats: usize,
    ) -> Result<Vec<Self>> {
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
            left(&filters, repeats)
                .map_err(|why| place.error(format!("the filter {name:?}: {why}")))?;
            pipelines.push(Self { name, filters });
        }
        Ok(pipelines)
    }

    pub(super) fn apply(&self, mut answers: Vec<String>) -> Result<Filtered> {
        let mut taken = false;
        for filter in &self.filters {
            match filter {
                Filter::TakeFirst => {
                    answers.truncate(1);
                    taken = true;
                }
                Filter::TakeFirstK(k) => answers.truncate(*k),
                Filter::MajorityVote => answers = majority(answers).into_iter().collect(),
                filter => {
                    answers = answers
                        .into_iter()
                        .map(|text| filter.apply(text))
                        .collect::<Result<_>>()?;
                }
            }
        }
        Ok(Filtered { answers, taken })
    }
}

/// Refuses filters that leave several of as many answers, or want more.
fn left(filters: &[Filter], repeats: usize) -> Result<(), String> {
    let mut left = repeats;
    for filter in filters {
        match filter {
            Filter::TakeFirst | Filter::MajorityVote => left = 1,
            Filter::TakeFirstK(k) if (1..=left).contains(k) => left = *k,
            Filter::TakeFirstK(k) => {
                return Err(format!(
                    "take_first_k takes {k} of {left} answers; set k from 1 to {left}, or raise \"repeats\""
                ));
            }
            _ => {}
        }
    }
    match left {
        1 => Ok(()),
        _ => {
            Err(format!("{left} answers are left; end with take_first, after majority_vote or not"))
        }
    }
}

/// The most frequent answer, of equals the one that came first.
fn majority(answers: Vec<String>) -> Option<String> {
    let mut counts: Vec<(String, usize)> = Vec::new();
    for answer in answers {
        match counts.iter_mut().find(|(known, _)| *known == answer) {
            Some((_, count)) => *count += 1,
            None => counts.push((answer, 1)),
        }
    }
    let most = counts.iter().map(|(_, count)| *count).max()?;
    counts.into_iter().find(|(_, count)| *count == most).map(|(answer, _)| answer)
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
            "take_first_k" => match keys.count("k")? {
                Some(k) => Self::TakeFirstK(k),
                None => return Err(place.error("take_first_k needs k, a number of answers")),
            },
            "majority_vote" => Self::MajorityVote,
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
                let known = "regex, take_first, take_first_k, majority_vote, lowercase, uppercase, remove_whitespace, \
                             map";
                return Err(place.error(format!("the filter {other:?} is not one of {known}")));
            }
        };
        keys.finish(&format!("the filter {function:?}"))?;
        Ok(filter)
    }

    fn apply(&self, text: String) -> Result<String> {
        Ok(match self {
            Self::TakeFirst | Self::TakeFirstK(_) | Self::MajorityVote => text,
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
