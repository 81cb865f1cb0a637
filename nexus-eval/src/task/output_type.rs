//! What tasks ask of a model.

use super::keys::{Keys, text};
use crate::Result;

/// What is asked of the model, and so which measures there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutputType {
    /// Which of several continuations is likeliest.
    MultipleChoice,
    /// How likely one continuation is.
    LogLikelihood,
    /// How likely a whole text is.
    LogLikelihoodRolling,
    /// What the model writes.
    GenerateUntil,
    /// Which class a classification head gives a text. Not known to the harness.
    Classification,
}

impl OutputType {
    const ALL: [(&'static str, Self); 5] = [
        ("multiple_choice", Self::MultipleChoice),
        ("loglikelihood", Self::LogLikelihood),
        ("loglikelihood_rolling", Self::LogLikelihoodRolling),
        ("generate_until", Self::GenerateUntil),
        ("classification", Self::Classification),
    ];

    pub(super) fn all() -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().map(|(_, kind)| kind)
    }

    /// Its name in task files.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, kind)| *kind == self).map_or("", |(name, _)| name)
    }
    /// `output_type`; without one, text is generated.
    pub(super) fn read(keys: &mut Keys) -> Result<Self> {
        let Some(node) = keys.take("output_type") else { return Ok(Self::GenerateUntil) };
        let found = text(&node, "output_type")?;
        let known = Self::ALL.iter().find(|(name, _)| *name == found).map(|(_, kind)| *kind);
        known.ok_or_else(|| {
            let names: Vec<&str> = Self::ALL.iter().map(|(name, _)| *name).collect();
            node.place.error(format!("output_type {found:?} is not one of {}", names.join(", ")))
        })
    }
}
