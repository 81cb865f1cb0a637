//! Scores of examples, from files.

use crate::Failure;
use serde_json::Value;
use std::path::Path;

/// Scores by example.
pub type Scores = Vec<(String, f64)>;

/// The scores of each measure of a file, in the order of their first lines; `measure` is the name where lines have none.
///
/// # Errors
/// When the file cannot be read, and for a line without example or score.
pub fn read_scores(path: &Path, measure: &str) -> Result<Vec<(String, Scores)>, Failure> {
    let text = std::fs::read_to_string(path)
        .map_err(|why| format!("cannot read {}: {why}", path.display()))?;
    let mut all: Vec<(String, Scores)> = Vec::new();
    for (i, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let place = format!("{}:{}", path.display(), i + 1);
        let value: Value = serde_json::from_str(line).map_err(|why| format!("{place}: {why}"))?;
        let ids = ["id", "index", "doc_id"];
        let id = match ids.iter().find_map(|key| value.get(key)) {
            Some(Value::String(id)) => id.clone(),
            Some(Value::Number(id)) => id.to_string(),
            _ => return Err(format!("{place}: an \"id\" or \"index\" is expected").into()),
        };
        let found = match samples(&value) {
            Some(found) => found,
            None => {
                let score = score(&value).ok_or_else(|| format!("{place}: {EXPECTED}"))?;
                vec![(measure.to_string(), score)]
            }
        };
        for (measure, score) in found {
            match all.iter_mut().find(|(name, _)| *name == measure) {
                Some((_, scores)) => scores.push((id.clone(), score)),
                None => all.push((measure, vec![(id.clone(), score)])),
            }
        }
    }
    match all.is_empty() {
        true => Err(format!("{} holds no scores", path.display()).into()),
        false => Ok(all),
    }
}

/// The measures of a task's sample that are numbers, named as `evaluate` names them; `None` for another line.
fn samples(value: &Value) -> Option<Vec<(String, f64)>> {
    let (metrics, filter) = (value.get("metrics")?.as_array()?, value.get("filter")?.as_str()?);
    let named = metrics.iter().filter_map(Value::as_str).filter_map(|metric| {
        let name = match filter {
            "none" => metric.to_string(),
            filter => format!("{metric},{filter}"),
        };
        Some((name, value.get(metric)?.as_f64()?))
    });
    Some(named.collect())
}

const EXPECTED: &str = "a number as \"score\", true or false as \"correct\" or \"matched\", or \"chosen\" with \"answer\" is expected";

/// The score of a line; what `evaluate --details` writes says what was chosen, or whether the answer matched.
fn score(value: &Value) -> Option<f64> {
    if let Some(score) = value.get("score") {
        return score.as_f64();
    }
    let right = match value.get("correct").or(value.get("matched")) {
        Some(right) => right.as_bool()?,
        None => value.get("chosen")?.as_u64()? == value.get("answer")?.as_u64()?,
    };
    Some(f64::from(right))
}
