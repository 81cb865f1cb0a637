//! Evaluation of models.
