//! Measures of predictions against references, independent of any model.

pub mod text;
