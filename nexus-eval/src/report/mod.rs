//! One report of an evaluation: for machines as JSON, for people as Markdown and as one self-contained HTML page.
//!
//! ```text
//! EvalReport, intervals, confusion, calibration, performance, checks, grade, findings -> ModelReport
//! ModelReport.., Comparison.., settings -> Report -> report.json | report.md | report.html
//! ```
//!
//! The HTML page loads nothing from anywhere, works without scripts, follows the reader's choice of light or dark,
//! and holds its plots as SVG. Every text in it is escaped.

mod check;
mod convert;
mod data;
mod format;
mod html;
mod markdown;
mod page;
mod plot;
mod sections;

pub use data::{
    Bottleneck, ConfusionMatrix, LatencyPercentile, MeasureInterval, ModelReport, Performance,
    ReliabilityBin, ReliabilityDiagram,
};

use crate::quality::Comparison;
use crate::{Error, Result};
use nexus_core::weights::{read_bounded, write_file};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::path::Path;

/// Version of the JSON form; it grows when a field changes its meaning or goes.
pub const SCHEMA_VERSION: u32 = 1;

/// The largest report that is read.
const MAX_BYTES: u64 = 256 << 20;

/// What is known about one or more models.
///
/// [`nexus_core::report::RunReport`] is the account of a training run; this is the account of an evaluation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// [`SCHEMA_VERSION`].
    pub schema_version: u32,
    /// Title for people.
    pub title: String,
    /// Version of Nexus.
    pub nexus_version: String,
    /// When it was made, in words; `None` keeps reports of the same results equal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    /// The models, in the order in which they are shown.
    pub models: Vec<ModelReport>,
    /// Models against each other.
    #[serde(default)]
    pub comparisons: Vec<Comparison>,
    /// The settings behind the numbers.
    #[serde(default)]
    pub settings: Map<String, Value>,
    /// Signatures of measures, such as sacreBLEU's.
    #[serde(default)]
    pub signatures: Vec<String>,
}

impl Report {
    /// A report without models.
    pub fn new(title: &str) -> Self {
        Self {
            schema_version: SCHEMA_VERSION,
            title: title.into(),
            nexus_version: env!("CARGO_PKG_VERSION").into(),
            created: None,
            models: Vec::new(),
            comparisons: Vec::new(),
            settings: Map::new(),
            signatures: Vec::new(),
        }
    }

    /// Reads a report that was written as JSON.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Format`] for another version, and as [`check`](Self::check).
    pub fn read(path: &Path) -> Result<Self> {
        let bytes = read_bounded(path, MAX_BYTES)?;
        let value: Value =
            serde_json::from_slice(&bytes).map_err(|why| Error::format(path, why))?;
        let version = value.get("schema_version").and_then(Value::as_u64);
        if version != Some(u64::from(SCHEMA_VERSION)) {
            let found = version.map_or("none".into(), |version| version.to_string());
            let why = format!("schema_version is {found}, this program reads {SCHEMA_VERSION}");
            return Err(Error::format(path, why));
        }
        let report: Self = serde_json::from_value(value).map_err(|why| Error::format(path, why))?;
        report.check().map_err(|why| Error::format(path, why))?;
        Ok(report)
    }

    /// The report as indented JSON; [`read`](Self::read) gives it back unchanged.
    ///
    /// # Errors
    /// As [`check`](Self::check).
    pub fn to_json(&self) -> Result<String> {
        self.check()?;
        let json = serde_json::to_string_pretty(self);
        Ok(json.map_err(|why| Error::Refused(format!("the report has no JSON form: {why}")))?
            + "\n")
    }

    /// Writes `report.json`, `report.md` and `report.html` into `folder`.
    ///
    /// # Errors
    /// [`Error::Io`]; otherwise as [`check`](Self::check).
    pub fn save(&self, folder: &Path) -> Result<()> {
        let (json, markdown, html) = (self.to_json()?, self.to_markdown()?, self.to_html()?);
        std::fs::create_dir_all(folder).map_err(Error::io("create", folder))?;
        write_file(&folder.join("report.json"), json.as_bytes())?;
        write_file(&folder.join("report.md"), markdown.as_bytes())?;
        write_file(&folder.join("report.html"), html.as_bytes())
    }
}
