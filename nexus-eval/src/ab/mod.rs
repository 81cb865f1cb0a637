//! A/B tests of models: assignment, recording, analysis.
//!
//! ```text
//! ExperimentConfig --check--> Experiment --assign(unit)--> Variant
//!                             Experiment --record(variant, outcome)--> ... --analyse()--> Analysis
//!                             SequentialTest --look(treatment, control)--> SequentialLook
//! ```
//!
//! [`Experiment::analyse`] is for one look at a size that was planned; who looks again and again until something is
//! significant finds something almost surely. For that there is [`SequentialTest`]. For two models that answered the *same*
//! examples neither is right: see [`compare_paired`].

mod analysis;
mod assignment;
mod experiment;
mod paired;
mod sequential;

pub use analysis::{Analysis, ArmEstimate, Comparison, Verdict};
pub use assignment::{Assignment, Variant};
pub use experiment::{Arm, Experiment, ExperimentConfig, Outcome};
pub use paired::{PairedComparison, compare_paired};
pub use sequential::{SequentialConfig, SequentialLook, SequentialTest, tau_for};
