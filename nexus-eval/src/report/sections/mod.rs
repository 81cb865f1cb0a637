//! The sections of the page, in the order in which they stand.

mod comparison;
mod judgement;
mod models;
mod results;

pub(super) use models::summary;

use super::Report;
use super::page::Page;
use crate::Result;

/// A section: its title, whether there is anything to show, and how it is written.
pub(super) type Section = (&'static str, fn(&Report) -> bool, fn(&Report, &mut Page) -> Result<()>);

/// All sections.
pub(super) const ALL: &[Section] = &[
    ("Findings", |r| r.models.iter().any(|m| !m.findings.is_empty()), judgement::findings),
    ("Results", |r| r.models.iter().any(|m| m.measures().next().is_some()), results::measures),
    ("Comparison", |r| !r.comparisons.is_empty(), comparison::comparisons),
    ("Classes", |r| r.models.iter().any(|m| m.confusion.is_some()), results::confusions),
    ("Calibration", |r| r.models.iter().any(|m| m.reliability.is_some()), results::reliabilities),
    (
        "Latency and cost",
        |r| r.models.iter().any(|m| m.performance.is_some()),
        results::performance,
    ),
    ("Checks", |r| r.models.iter().any(|m| !m.checks.is_empty()), judgement::checks),
    ("Grades", |r| r.models.iter().any(|m| m.grade.is_some()), judgement::grades),
    ("Settings", |r| !r.settings.is_empty() || !r.signatures.is_empty(), models::settings),
];
