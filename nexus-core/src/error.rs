//! The one error type of the core crate.

use std::path::PathBuf;

/// Everything that can go wrong while reading a model, an adapter or data, or while running a model.
///
/// Every message names the place and what to do about it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file could not be read or written.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was attempted, as an infinitive ("read", "write", "rename").
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// A setting has a value that is not allowed.
    #[error("{field} = {value}: expected {allowed}")]
    Config {
        /// The setting's name as the user wrote it.
        field: String,
        /// The value that was given.
        value: String,
        /// The values that are allowed, in words.
        allowed: String,
    },
    /// A JSON, TOML or Jinja file does not have the expected form.
    #[error("{}: {why}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// What is wrong and how to repair it.
        why: String,
    },
    /// A tensor of a checkpoint is missing, unexpected or of the wrong shape.
    #[error("weights: {key}: expected {expected}, found {found}")]
    Weights {
        /// The tensor's key in the file.
        key: String,
        /// What the model needs.
        expected: String,
        /// What the file holds.
        found: String,
    },
    /// A record of a data file cannot be used.
    #[error("{}:{line}: {why}", path.display())]
    Data {
        /// The data file.
        path: PathBuf,
        /// The line (in Parquet, the row), counted from 1; 0 when the whole file is meant.
        line: usize,
        /// What is wrong and how to repair it.
        why: String,
    },
    /// The tokenizer does not fit, or cannot encode or decode.
    #[error("tokenizer: {why}")]
    Tokenizer {
        /// What is wrong and how to repair it.
        why: String,
    },
    /// An adapter does not fit the model.
    #[error("adapter: {why}")]
    Adapter {
        /// What is wrong and how to repair it.
        why: String,
    },
    /// A device is not compiled in or not present.
    #[error("device '{name}': {why}")]
    Device {
        /// The name as given.
        name: String,
        /// What is wrong and which feature or name to use.
        why: String,
    },
    /// A model cannot be had by its name on the hub.
    #[error("{what}: {why}")]
    Hub {
        /// The model, or a file of it.
        what: String,
        /// What is wrong and what to do about it.
        why: String,
    },
    /// A loss, gradient or weight is NaN or infinite.
    #[error(
        "step {step}: {tensor} is not finite; lower the learning rate or inspect the batch. \
         The last checkpoint is intact"
    )]
    NonFinite {
        /// The optimizer step, counted from 1.
        step: usize,
        /// The loss or the parameter, by its Hugging Face name.
        tensor: String,
    },
    /// The caller's observer asked to stop, or the request cannot be met.
    #[error("{0}")]
    Refused(String),
}

/// The result type of the core crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// An [`Error::Io`] for `path`, for use in `map_err`.
    pub fn io(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { action, path, source }
    }

    /// An [`Error::Config`] for one setting.
    pub fn config(
        field: impl Into<String>,
        value: impl std::fmt::Display,
        allowed: impl Into<String>,
    ) -> Self {
        Self::Config { field: field.into(), value: value.to_string(), allowed: allowed.into() }
    }

    /// An [`Error::Format`] for one file.
    pub fn format(path: impl Into<PathBuf>, why: impl std::fmt::Display) -> Self {
        Self::Format { path: path.into(), why: why.to_string() }
    }
}
