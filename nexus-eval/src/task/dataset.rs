//! The data files of a task.

use super::keys::{Keys, text, texts};
use super::source::Row;
use super::yaml::{Place, Yaml};
use crate::Result;
use nexus_core::data::{Located, read_rows};
use serde_json::Value;
use std::path::{Path, PathBuf};

/// The files by split, and which split is for what.
#[derive(Clone, Debug)]
pub(super) struct DatasetConfig {
    place: Place,
    format: Format,
    files: Vec<(String, Vec<String>)>,
    training: Option<String>,
    validation: Option<String>,
    test: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Format {
    Json,
    Csv,
    Parquet,
}

impl DatasetConfig {
    pub(super) fn read(keys: &mut Keys, ignored: &mut Vec<String>) -> Result<Self> {
        let place = keys.place.clone();
        let format = match keys.needed_text("dataset_path")?.as_str() {
            "json" => Format::Json,
            "csv" => Format::Csv,
            "parquet" => Format::Parquet,
            other => {
                return Err(place.error(format!(
                    "dataset_path {other:?}: data is read from local files only; download it, write dataset_path: json, \
                     csv or parquet, and name the files in dataset_kwargs.data_files"
                )));
            }
        };
        let [training, validation, test] =
            ["training_split", "validation_split", "test_split"].map(|key| keys.text(key));
        let (training, validation, test) = (training?, validation?, test?);
        let Some(kwargs) = keys.take("dataset_kwargs") else {
            return Err(
                place.error("dataset_kwargs.data_files is missing; name the data file there")
            );
        };
        let mut kwargs = Keys::of(kwargs, "dataset_kwargs")?;
        if kwargs.take("trust_remote_code").is_some() {
            ignored.push("dataset_kwargs.trust_remote_code".into());
        }
        let place = kwargs.place.clone();
        let files = kwargs.take("data_files");
        kwargs.finish("dataset_kwargs")?;
        let Some(files) = files else {
            return Err(place.error("data_files is missing; name the data file"));
        };
        let files = match &files.value {
            Yaml::Map(entries) => entries
                .iter()
                .map(|(split, files)| Ok((split.clone(), texts(files, "data_files")?)))
                .collect::<Result<_>>()?,
            Yaml::List(_) => vec![("train".into(), texts(&files, "data_files")?)],
            Yaml::Scalar(_) => vec![("train".into(), vec![text(&files, "data_files")?])],
        };
        Ok(Self { place, format, files, training, validation, test })
    }

    /// The split to evaluate on.
    pub(super) fn evaluated(&self) -> Result<&str> {
        let split = self.test.as_deref().or(self.validation.as_deref());
        split.ok_or_else(|| self.place.error("neither test_split nor validation_split is given"))
    }

    pub(super) fn test(&self) -> Option<&str> {
        self.test.as_deref()
    }

    /// The split for examples where none is named for them.
    pub(super) fn examples(&self) -> Option<&str> {
        self.training.as_deref().or(self.validation.as_deref()).or(self.test.as_deref())
    }

    /// The rows of a split, with their lines, and its files. A file is looked for in the working directory and then
    /// beside the task file.
    pub(super) fn rows(&self, split: &str) -> Result<Vec<(PathBuf, Located<Row>)>> {
        let Some((_, files)) = self.files.iter().find(|(name, _)| name == split) else {
            let names: Vec<&str> = self.files.iter().map(|(name, _)| name.as_str()).collect();
            let names = names.join(", ");
            return Err(self
                .place
                .error(format!("there is no split {split:?}; the splits are {names}")));
        };
        let mut rows = Vec::new();
        for file in files {
            let path = self.find(file)?;
            rows.extend(read_rows(&path)?.into_iter().map(|row| (path.clone(), row)));
        }
        if self.format == Format::Csv {
            infer_types(&mut rows);
        }
        fill(&mut rows);
        Ok(rows)
    }

    fn find(&self, file: &str) -> Result<PathBuf> {
        let beside = self.place.path.parent().unwrap_or(Path::new(".")).join(file);
        let found = [PathBuf::from(file), beside].into_iter().find(|path| path.is_file());
        let Some(path) = found else {
            return Err(self.place.error(format!(
                "the data file {file} is neither in the working directory nor beside the task file"
            )));
        };
        let extension =
            path.extension().and_then(|e| e.to_str()).unwrap_or_default().to_lowercase();
        let allowed: &[&str] = match self.format {
            Format::Json => &["json", "jsonl", "ndjson"],
            Format::Csv => &["csv"],
            Format::Parquet => &["parquet"],
        };
        match allowed.contains(&extension.as_str()) {
            true => Ok(path),
            false => Err(self.place.error(format!(
                "the data file {file} must end in .{} for this dataset_path",
                allowed.join(" or .")
            ))),
        }
    }
}

/// Gives every row every field, null where it lacks it, in the order of their first occurrence.
fn fill(rows: &mut [(PathBuf, Located<Row>)]) {
    let mut fields = Vec::new();
    for (_, row) in rows.iter() {
        let known = fields.len() == row.record.len();
        if !(known && row.record.keys().eq(fields.iter())) {
            for key in row.record.keys() {
                if !fields.contains(key) {
                    fields.push(key.clone());
                }
            }
        }
    }
    for (_, row) in rows {
        if !row.record.keys().eq(fields.iter()) {
            let mut old = std::mem::take(&mut row.record);
            let value = |key: &String| (key.clone(), old.remove(key).unwrap_or_default());
            row.record = fields.iter().map(value).collect();
        }
    }
}

/// What pandas takes for a missing value.
const MISSING: [&str; 18] = [
    "", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN",
    "<NA>", "N/A", "NA", "NULL", "NaN", "None", "n/a", "nan",
];

/// Gives the columns of a CSV file the types that pandas, through which the harness reads it, would give them: truth
/// values, integers, floats (integers too, where a value is missing), else texts.
fn infer_types(rows: &mut [(PathBuf, Located<Row>)]) {
    let Some((_, first)) = rows.first() else { return };
    let columns: Vec<String> = first.record.keys().cloned().collect();
    for column in columns {
        let value =
            |row: &Row| row.get(&column).and_then(Value::as_str).unwrap_or_default().to_owned();
        let values: Vec<String> = rows.iter().map(|(_, row)| value(&row.record)).collect();
        let is_missing = |text: &str| MISSING.contains(&text) || text == "null";
        let some: Vec<&str> =
            values.iter().map(String::as_str).filter(|text| !is_missing(text)).collect();
        let all = |of: &dyn Fn(&str) -> bool| !some.is_empty() && some.iter().all(|text| of(text));
        let integer = |text: &str| text.trim().parse::<i64>().ok();
        let float = |text: &str| text.trim().parse::<f64>().ok().filter(|value| value.is_finite());
        let truth = |text: &str| match text {
            "True" | "TRUE" | "true" => Some(true),
            "False" | "FALSE" | "false" => Some(false),
            _ => None,
        };
        let whole = some.len() == values.len();
        let typed: &dyn Fn(&str) -> Option<Value> = if whole && all(&|text| truth(text).is_some()) {
            &|text| truth(text).map(Value::from)
        } else if whole && all(&|text| integer(text).is_some()) {
            &|text| integer(text).map(Value::from)
        } else if all(&|text| float(text).is_some()) {
            &|text| float(text).map(Value::from)
        } else {
            &|text| Some(text.into())
        };
        for ((_, row), text) in rows.iter_mut().zip(&values) {
            let value = if is_missing(text) { None } else { typed(text) };
            row.record.insert(column.clone(), value.unwrap_or_default());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn rows(values: &[Value]) -> Vec<(PathBuf, Located<Row>)> {
        let row = |value: &Value| Located {
            record: value.as_object().cloned().unwrap_or_default(),
            line: 1,
        };
        values.iter().map(|value| (PathBuf::new(), row(value))).collect()
    }

    fn records(rows: &[(PathBuf, Located<Row>)]) -> Value {
        rows.iter().map(|(_, row)| Value::from(row.record.clone())).collect()
    }

    #[test]
    fn csv_columns_have_the_types_of_pandas() {
        let mut table = rows(&[
            json!({"i": "1", "f": "1", "m": "1", "b": "True", "t": "1", "n": "NA"}),
            json!({"i": "-2", "f": "2.5", "m": "", "b": "False", "t": "x", "n": "b"}),
        ]);
        infer_types(&mut table);
        let expected = json!([
            {"i": 1, "f": 1.0, "m": 1.0, "b": true, "t": "1", "n": null},
            {"i": -2, "f": 2.5, "m": null, "b": false, "t": "x", "n": "b"},
        ]);
        assert_eq!(records(&table), expected);
    }

    #[test]
    fn rows_have_the_same_fields_in_the_same_order() {
        let mut table = rows(&[json!({"a": 1}), json!({"b": 2, "a": 3})]);
        fill(&mut table);
        let text = serde_json::to_string(&records(&table)).unwrap();
        assert_eq!(text, r#"[{"a":1,"b":null},{"a":3,"b":2}]"#);
    }
}
