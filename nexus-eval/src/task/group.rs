//! Groups of tasks: which tasks belong to one, and the means of their measures.

use super::config::{TaskConfig, included};
use super::folder::{Folder, name};
use super::keys::{Keys, text};
use super::result::TaskResult;
use super::yaml::{Node, Place, Yaml};
use crate::Result;
use nexus_core::data::python_str;
use serde_json::{Map, Value};
use std::path::{Path, PathBuf};

/// A group of tasks as its file describes it: lm-evaluation-harness's YAML.
///
/// | key | default | meaning |
/// |---|---|---|
/// | `group` | needed | name |
/// | `group_alias` | the name | name in tables |
/// | `include` | | files whose keys are taken over where this file lacks them |
/// | `task` | needed | names of tasks and groups, whose files lie in the same folder |
/// | `aggregate_metric_list` | | the means to take over all tasks, those of inner groups included |
/// | `metadata` | | `version` |
///
/// An entry of `aggregate_metric_list` has the keys `metric`, `filter_list` (all filters), `aggregation` (`mean` only) and
/// `weight_by_size` (true: each task counts by its documents; false: each alike). Tasks without the measure are left out.
/// The standard error is pooled, `sqrt(sum n_i (n_i - 1) s_i^2 / (N - k) / N)` over k tasks of n_i documents, N in all, or
/// `sqrt(sum s_i^2) / k` where all count alike; there is none where a task has none.
///
/// Deviations: entries of `task` with settings of their own are refused, and a measure that no task has.
#[derive(Clone, Debug)]
pub struct TaskGroup {
    /// The group's name.
    pub group: String,
    /// Its name in tables.
    pub alias: String,
    /// `metadata.version` as a text; `N/A` without one, as the harness has it.
    pub version: String,
    members: Vec<Member>,
    means: Vec<Mean>,
}

#[derive(Clone, Debug)]
enum Member {
    Task(Box<TaskConfig>),
    Group(TaskGroup),
}

/// An entry of `aggregate_metric_list`.
#[derive(Clone, Debug)]
struct Mean {
    metric: String,
    filters: Option<Vec<String>>,
    by_size: bool,
}

impl TaskGroup {
    /// Whether a file describes a group rather than a task.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io); [`Error::Data`](crate::Error::Data) with the line of what is not YAML.
    pub fn describes(path: &Path) -> Result<bool> {
        Ok(name(&included(path, &mut Vec::new())?, "group").is_some())
    }

    /// Reads the file of a group and those of its tasks, but none of their data.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io); [`Error::Data`](crate::Error::Data) with the line of what is not YAML, unknown, or cannot be done; those of
    /// [`TaskConfig::load`].
    pub fn load(path: &Path) -> Result<Self> {
        Self::within(path, &mut Vec::new())
    }

    /// As [`load`](Self::load), within groups of these files.
    fn within(path: &Path, outer: &mut Vec<PathBuf>) -> Result<Self> {
        let mut keys = Keys::of(included(path, &mut Vec::new())?, "the file of a group")?;
        let place = keys.place.clone();
        if outer.iter().any(|file| file == path) {
            return Err(place.error("the group contains itself"));
        }
        outer.push(path.into());
        let group = keys.needed_text("group")?;
        let alias = keys.text("group_alias")?.unwrap_or_else(|| group.clone());
        let tasks = keys.take("task").ok_or_else(|| place.error("the key \"task\" is missing"))?;
        let means = match keys.take("aggregate_metric_list") {
            None => Vec::new(),
            Some(node) => match node.value {
                Yaml::List(items) => items.into_iter().map(Mean::read).collect::<Result<_>>()?,
                _ => vec![Mean::read(node)?],
            },
        };
        let metadata = keys.take("metadata").map(|node| node.json());
        let version = metadata.as_ref().and_then(|metadata| metadata.get("version"));
        let version = version.map_or_else(|| "N/A".into(), python_str);
        keys.finish("the file of a group")?;
        let members = members(path, tasks, outer)?;
        outer.pop();
        let means_of = means.iter().map(|(_, mean)| mean.clone()).collect();
        let group = Self { group, alias, version, members, means: means_of };
        for (place, mean) in &means {
            group.check(mean).map_err(|why| place.error(why))?;
        }
        Ok(group)
    }

    /// The tasks, those of inner groups included, each once.
    pub fn tasks(&self) -> Vec<&TaskConfig> {
        let mut all: Vec<&TaskConfig> = Vec::new();
        for member in &self.members {
            let more = match member {
                Member::Task(task) => vec![&**task],
                Member::Group(group) => group.tasks(),
            };
            for task in more {
                if all.iter().all(|known| known.task != task.task) {
                    all.push(task);
                }
            }
        }
        all
    }

    /// The names of its own tasks and groups.
    pub(super) fn children(&self) -> impl Iterator<Item = &str> {
        self.members.iter().map(|member| match member {
            Member::Task(task) => task.task.as_str(),
            Member::Group(group) => group.group.as_str(),
        })
    }

    /// The group and all groups in it, outer ones first.
    pub(super) fn groups(&self) -> Vec<&Self> {
        let inner = self.members.iter().filter_map(|member| match member {
            Member::Task(_) => None,
            Member::Group(group) => Some(group.groups()),
        });
        std::iter::once(self).chain(inner.flatten()).collect()
    }

    /// Whether any mean is taken.
    pub(super) fn has_means(&self) -> bool {
        !self.means.is_empty()
    }

    /// A measure, and a filter where one is named, that some task has.
    fn check(&self, mean: &Mean) -> Result<(), String> {
        let tasks = self.tasks();
        let having = tasks.iter().filter(|task| task.metrics.iter().any(|m| m.name == mean.metric));
        let having: Vec<_> = having.collect();
        if having.is_empty() {
            let (metric, group) = (&mean.metric, &self.group);
            return Err(format!("metric {metric:?} is in no metric_list of a task of {group:?}"));
        }
        let known: Vec<&str> = having
            .iter()
            .flat_map(|task| &task.filters)
            .map(|filter| filter.name.as_str())
            .collect();
        match mean.filters.iter().flatten().find(|filter| !known.contains(&filter.as_str())) {
            Some(filter) => Err(format!(
                "filter_list: no task measures {:?} behind {filter:?}; the filters are {}",
                mean.metric,
                known.join(", ")
            )),
            None => Ok(()),
        }
    }

    /// The entry of the harness's `groups`, from the results of its tasks.
    pub(super) fn json(&self, results: &[TaskResult]) -> Value {
        let mut all = Map::new();
        all.insert("alias".into(), self.alias.clone().into());
        all.insert("name".into(), self.group.clone().into());
        if self.means.is_empty() {
            return all.into();
        }
        let names = self.tasks();
        let own = |result: &&TaskResult| names.iter().any(|task| task.task == result.task);
        let results: Vec<&TaskResult> = results.iter().filter(own).collect();
        let documents: usize = results.iter().map(|result| result.evaluated).sum();
        all.insert("sample_len".into(), documents.into());
        let mut counts = Map::new();
        for mean in &self.means {
            for filter in mean.filters(&results) {
                let Some((value, stderr, count)) = mean.over(&results, &filter) else { continue };
                let (key, metric) = (format!("{},{filter}", mean.metric), &mean.metric);
                all.insert(key.clone(), value.into());
                let stderr = stderr.map_or_else(|| "N/A".into(), Value::from);
                all.insert(format!("{metric}_stderr,{filter}"), stderr);
                counts.insert(key, count.into());
            }
        }
        if !counts.is_empty() {
            all.insert("sample_count".into(), counts.into());
        }
        all.into()
    }
}

impl Mean {
    fn read(node: Node) -> Result<(Place, Self)> {
        let mut keys = Keys::of(node, "an entry of \"aggregate_metric_list\"")?;
        let place = keys.place.clone();
        let metric = keys.needed_text("metric")?;
        let filters = keys.texts("filter_list")?;
        if let Some(other) = keys.text("aggregation")?.filter(|name| name != "mean") {
            return Err(place.error(format!("aggregation must be \"mean\", not {other:?}")));
        }
        let by_size = keys.flag("weight_by_size")?.unwrap_or(true);
        keys.finish("an entry of \"aggregate_metric_list\"")?;
        Ok((place, Self { metric, filters, by_size }))
    }

    /// The filters that are named, or else all that the measure was taken behind, in alphabetical order.
    fn filters(&self, results: &[&TaskResult]) -> Vec<String> {
        if let Some(filters) = &self.filters {
            return filters.clone();
        }
        let values = results.iter().flat_map(|result| &result.values);
        let mut all: Vec<String> = values
            .filter(|value| value.metric == self.metric)
            .map(|value| value.filter.clone())
            .collect();
        all.sort();
        all.dedup();
        all
    }

    /// The mean, its standard error, and the number of documents behind it.
    fn over(&self, results: &[&TaskResult], filter: &str) -> Option<(f64, Option<f64>, usize)> {
        let mut all = Vec::new();
        for result in results {
            let of = |v: &&super::TaskValue| v.metric == self.metric && v.filter == filter;
            let found = result.values.iter().find(of);
            let found = found.and_then(|found| Some((found.value?, found.stderr)));
            all.extend(found.map(|(value, stderr)| (value, stderr, result.evaluated as f64)));
        }
        let documents: f64 = all.iter().map(|(.., n)| n).sum();
        let tasks = all.len() as f64;
        let value = match self.by_size {
            true => all.iter().map(|(value, _, n)| value * n).sum::<f64>() / documents,
            false => all.iter().map(|(value, ..)| value).sum::<f64>() / tasks,
        };
        let errors: Option<Vec<(f64, f64)>> =
            all.iter().map(|(_, stderr, n)| Some(((*stderr)?, *n))).collect();
        let stderr = errors.map(|errors| match self.by_size {
            true => {
                let squares = errors.iter().map(|(s, n)| (n - 1.0) * s * s * n).sum::<f64>();
                (squares / (documents - tasks) / documents).sqrt()
            }
            false => errors.iter().map(|(s, _)| s * s).sum::<f64>().sqrt() / tasks,
        });
        let finite = |value: &f64| value.is_finite();
        Some((Some(value).filter(finite)?, stderr.filter(finite), documents as usize))
    }
}

/// The tasks and groups of a group's `task`.
fn members(path: &Path, tasks: Node, outer: &mut Vec<PathBuf>) -> Result<Vec<Member>> {
    let place = tasks.place.clone();
    let entries = match tasks.value {
        Yaml::List(items) => items,
        _ => vec![tasks],
    };
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = Folder::read(folder.unwrap_or(Path::new(".")))?;
    let mut members = Vec::new();
    let mut names: Vec<String> = Vec::new();
    for entry in &entries {
        if let Yaml::Map(_) = entry.value {
            return Err(entry.place.error(
                "an entry of \"task\" with settings of its own is not supported; write a task file with them and name it",
            ));
        }
        let name = text(entry, "task")?;
        if names.contains(&name) {
            return Err(entry.place.error(format!("task: {name:?} occurs twice")));
        }
        let (file, is_group) =
            folder.find(&name).map_err(|why| entry.place.error(format!("task: {why}")))?;
        members.push(match is_group {
            true => Member::Group(TaskGroup::within(file, outer)?),
            false => Member::Task(Box::new(TaskConfig::load(file)?)),
        });
        names.push(name);
    }
    match members.is_empty() {
        true => Err(place.error("\"task\" must name at least one task")),
        false => Ok(members),
    }
}
