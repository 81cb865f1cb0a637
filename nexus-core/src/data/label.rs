//! Labels as data files hold them, and their class ids.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Columns, FromRow, Labeled, RecordStream, Target};
use crate::{Error, Result};

/// More classes than this are a column that does not hold classes.
const MAX_LABELS: usize = 1 << 16;
/// The labels that an error names as examples.
const SHOWN: usize = 5;
/// The most characters of a label that an error shows.
const SHOWN_CHARS: usize = 80;

/// A label as it stands in a data file.
#[derive(Clone, Debug, PartialEq)]
pub enum Label {
    /// An integer: a class, or a value.
    Int(i64),
    /// Another number: a value.
    Float(f64),
    /// The name of a class; in CSV files, also a number.
    Text(String),
    /// Several labels, none of them a list.
    List(Vec<Label>),
}

/// What labels stand for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Problem {
    /// Exactly one of C classes.
    SingleLabel,
    /// Any number of C classes: a list of names, or a list of C numbers that are 0 or 1.
    MultiLabel,
    /// A number, or a list of C numbers.
    Regression,
}

/// The names of C classes; the id of a class is its place.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LabelMap {
    names: Vec<String>,
    ids: HashMap<String, u32>,
    /// Whether a name is an integer, so that integer labels are names rather than ids.
    numeric: bool,
}

impl LabelMap {
    /// Classes with the given names, in their order.
    ///
    /// # Errors
    /// [`Error::Config`] where a name is given twice, or there are more than 65536.
    pub fn new<S: Into<String>>(names: impl IntoIterator<Item = S>) -> Result<Self> {
        let mut map = Self::default();
        for name in names {
            let name = name.into();
            if map.names.len() == MAX_LABELS {
                let allowed = format!("at most {MAX_LABELS} classes");
                return Err(Error::config("labels", format!("{} and more", map.len()), allowed));
            }
            map.numeric |= name.parse::<i64>().is_ok();
            if map.ids.insert(name.clone(), map.names.len() as u32).is_some() {
                return Err(Error::config("labels", format!("{name:?} twice"), "distinct names"));
            }
            map.names.push(name);
        }
        Ok(map)
    }

    /// `count` classes named `LABEL_0`, `LABEL_1`, ..., as transformers names them.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn numbered(count: usize) -> Result<Self> {
        Self::new((0..count).map(|i| format!("LABEL_{i}")))
    }

    /// The classes that occur in a data file, in the order of their names, or in numeric order
    /// where all are integers. The file is read once, record by record.
    ///
    /// # Errors
    /// As [`RecordStream`]; [`Error::Data`] where a label is not a class, or there are more than
    /// 65536 classes.
    pub fn read<T: FromRow + Labeled>(path: &Path, columns: &Columns) -> Result<Self> {
        let mut names = BTreeSet::new();
        for located in RecordStream::<T>::open(path, columns)? {
            let located = located?;
            let fail = |why| Error::Data { path: path.into(), line: located.line, why };
            for label in located.record.labels() {
                let name = match label {
                    Label::Int(n) => n.to_string(),
                    Label::Text(text) => text.clone(),
                    other => {
                        return Err(fail(format!(
                            "the label {other} is not a class; for 0/1 lists name the classes, \
                             for numbers ask for regression"
                        )));
                    }
                };
                names.insert(name);
            }
            if names.len() > MAX_LABELS {
                return Err(fail(format!(
                    "more than {MAX_LABELS} different labels; is this the label's column?"
                )));
            }
        }
        let numbers: Option<BTreeSet<i64>> = names.iter().map(|name| name.parse().ok()).collect();
        match numbers {
            // Two spellings of one number are left to be two names.
            Some(numbers) if numbers.len() == names.len() => {
                Self::new(numbers.iter().map(i64::to_string))
            }
            _ => Self::new(names),
        }
    }

    /// C, the number of classes.
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// Whether there are no classes.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// The names in the order of their ids.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The id of a class.
    pub fn id(&self, name: &str) -> Option<u32> {
        self.ids.get(name).copied()
    }

    /// The name of a class.
    pub fn name(&self, id: u32) -> Option<&str> {
        self.names.get(id as usize).map(String::as_str)
    }

    /// The class of a label: the one of this name, or, where no name is an integer, the one with
    /// this id.
    ///
    /// # Errors
    /// What is wrong, in words, where there is no such class.
    pub fn class(&self, label: &Label) -> Result<u32, String> {
        let (name, number) = match label {
            Label::Int(n) => (n.to_string(), Some(*n)),
            Label::Text(text) => (text.clone(), text.parse().ok()),
            other => return Err(format!("the label {other} is not one class; {}", self.known())),
        };
        let by_id = number.filter(|_| !self.numeric).and_then(|n| u32::try_from(n).ok());
        let by_id = by_id.filter(|&id| (id as usize) < self.len());
        self.id(&name)
            .or(by_id)
            .ok_or_else(|| format!("the label {label} is unknown; {}", self.known()))
    }

    /// What a label means for a problem: a class, `[C]` zeros and ones, or values (`[C]`, or one
    /// where there are no classes).
    ///
    /// # Errors
    /// What is wrong, in words, where the label does not fit the problem or these classes.
    pub fn target(&self, label: &Label, problem: Problem) -> Result<Target, String> {
        match (problem, label) {
            (Problem::SingleLabel, label) => self.class(label).map(Target::Class),
            (Problem::MultiLabel, Label::List(labels)) => self.classes(labels).map(Target::Values),
            (Problem::MultiLabel, other) => {
                Err(format!("the label {other} is not a list, which several labels must be"))
            }
            (Problem::Regression, label) => {
                let values: Vec<f32> = match label {
                    Label::List(labels) => labels.iter().map(number).collect::<Result<_, _>>()?,
                    one => vec![number(one)?],
                };
                self.check_count(values.len(), self.len().max(1))?;
                Ok(Target::Values(values))
            }
        }
    }

    /// Zeros and ones from names, or from as many zeros and ones.
    fn classes(&self, labels: &[Label]) -> Result<Vec<f32>, String> {
        let mut values = vec![0.0; self.len()];
        if labels.iter().any(|label| matches!(label, Label::Text(_))) {
            for label in labels {
                values[self.class(label)? as usize] = 1.0;
            }
        } else if !labels.is_empty() {
            self.check_count(labels.len(), self.len())?;
            for (value, label) in std::iter::zip(&mut values, labels) {
                *value = number(label)?;
                if *value != 0.0 && *value != 1.0 {
                    return Err(format!("{label} in a list of labels; expected 0, 1 or names"));
                }
            }
        }
        Ok(values)
    }

    fn check_count(&self, found: usize, expected: usize) -> Result<(), String> {
        if found == expected {
            return Ok(());
        }
        Err(format!("there are {found} labels, expected {expected}; {}", self.known()))
    }

    /// Some of the names, for an error.
    fn known(&self) -> String {
        let shown: Vec<_> = self.names.iter().take(SHOWN).map(|name| format!("{name:?}")).collect();
        let rest = match self.len().saturating_sub(SHOWN) {
            0 => String::new(),
            rest => format!(" and {rest} more"),
        };
        format!("the known labels are [{}]{rest}", shown.join(", "))
    }
}

/// The finite number that a label is.
fn number(label: &Label) -> Result<f32, String> {
    let value = match label {
        Label::Int(n) => Some(*n as f32),
        Label::Float(v) => Some(*v as f32),
        Label::Text(text) => text.trim().parse().ok(),
        Label::List(_) => None,
    };
    value.filter(|v| v.is_finite()).ok_or_else(|| format!("the label {label} is not a number"))
}

impl TryFrom<Value> for Label {
    type Error = String;

    fn try_from(value: Value) -> Result<Self, String> {
        let wrong = |value| format!("{value} is not a label; expected text, a number or a list");
        match value {
            Value::Number(n) => match (n.as_i64(), n.as_f64()) {
                (Some(n), _) => Ok(Self::Int(n)),
                (None, Some(v)) => Ok(Self::Float(v)),
                (None, None) => Err(wrong(Value::Number(n))),
            },
            Value::Array(values) => {
                let labels: Vec<Self> =
                    values.into_iter().map(Self::try_from).collect::<Result<_, _>>()?;
                match labels.iter().find(|label| matches!(label, Self::List(_))) {
                    Some(_) => Err("a list of labels holds a list".into()),
                    None => Ok(Self::List(labels)),
                }
            }
            Value::String(text) => Ok(Self::Text(text)),
            other => Err(wrong(other)),
        }
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Int(n) => write!(f, "{n}"),
            Self::Float(v) => write!(f, "{v}"),
            Self::Text(text) => match text.char_indices().nth(SHOWN_CHARS) {
                Some((end, _)) => write!(f, "{:?}...", &text[..end]),
                None => write!(f, "{text:?}"),
            },
            Self::List(labels) => {
                let labels: Vec<_> = labels.iter().map(Self::to_string).collect();
                write!(f, "[{}]", labels.join(", "))
            }
        }
    }
}
