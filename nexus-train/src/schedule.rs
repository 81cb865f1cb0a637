//! Learning-rate schedules.

use serde::{Deserialize, Serialize};

/// How the learning rate moves after the warm-up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ScheduleKind {
    /// Stays at the peak.
    Constant,
    /// Falls to 0 in a straight line.
    #[default]
    Linear,
    /// Falls to 0 along half a cosine (arXiv:1608.03983).
    Cosine,
}

/// A learning rate for every step: a linear rise over the warm-up, then the kind's course. A pure function of the
/// step, as in transformers' `get_scheduler`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Schedule {
    /// The course after the warm-up.
    pub kind: ScheduleKind,
    /// The highest rate.
    pub peak: f64,
    /// Steps of the rise from 0.
    pub warmup_steps: usize,
    /// Steps in all.
    pub max_steps: usize,
}

impl Schedule {
    /// The rate of the step with this index, counted from 0.
    pub fn rate(&self, index: usize) -> f64 {
        if index < self.warmup_steps {
            return self.peak * index as f64 / self.warmup_steps as f64;
        }
        let after = (index - self.warmup_steps) as f64;
        let span = self.max_steps.saturating_sub(self.warmup_steps).max(1) as f64;
        match self.kind {
            ScheduleKind::Constant => self.peak,
            ScheduleKind::Linear => self.peak * (1.0 - after / span).max(0.0),
            ScheduleKind::Cosine => {
                let share = (after / span).min(1.0);
                self.peak * 0.5 * (1.0 + (std::f64::consts::PI * share).cos())
            }
        }
    }
}
