//! Measures of predictions, each as its reference library defines it.

pub mod classification;
pub mod regression;
