//! Measures of predictions, each as its reference library defines it, independent of any model.

pub mod classification;
pub mod regression;
pub mod text;
