//! What a model is asked, and what it answers.

use super::generation::Generation;
use crate::Result;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// A question to a model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    /// How likely a continuation is after a context.
    LogLikelihood {
        /// What stands before; may be empty.
        context: String,
        /// What follows.
        continuation: String,
    },
    /// How likely a whole text is, each token after as many before it as the model reads.
    LogLikelihoodRolling {
        /// The text.
        text: String,
    },
    /// What follows a context.
    Generate {
        /// What stands before.
        context: String,
        /// How it is continued.
        generation: Generation,
    },
    /// The class of a text.
    Classify {
        /// The text.
        text: String,
    },
}

/// The answer to a [`Request`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Response {
    /// To [`Request::LogLikelihood`].
    LogLikelihood {
        /// The summed log-probability of the continuation's tokens, in nats.
        sum: f64,
        /// Whether each of them is the most probable one.
        greedy: bool,
    },
    /// To [`Request::LogLikelihoodRolling`]: the summed log-probability of all tokens, in nats.
    LogLikelihoodRolling(f64),
    /// To [`Request::Generate`].
    Text(String),
    /// To [`Request::Classify`]: the logit of each class.
    Logits(Vec<f32>),
}

impl Request {
    /// Whether a response is one to this request, and finite.
    pub(super) fn fits(&self, response: &Response) -> bool {
        match (self, response) {
            (Self::LogLikelihood { .. }, Response::LogLikelihood { sum, .. }) => sum.is_finite(),
            (Self::LogLikelihoodRolling { .. }, Response::LogLikelihoodRolling(sum)) => {
                sum.is_finite()
            }
            (Self::Generate { .. }, Response::Text(_)) => true,
            (Self::Classify { .. }, Response::Logits(logits)) => {
                !logits.is_empty() && logits.iter().all(|logit| logit.is_finite())
            }
            _ => false,
        }
    }

    /// SHA-256 over the program's version, what names the model, and the request.
    pub(super) fn key(&self, fingerprint: &str) -> String {
        let version = env!("CARGO_PKG_VERSION");
        let json = serde_json::json!([version, fingerprint, self]).to_string();
        sha256(json.as_bytes())
    }
}

/// SHA-256 in hexadecimal.
pub(super) fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A model that answers requests.
pub trait Respond {
    /// Names the model and whatever else its responses depend on; responses are kept under it.
    fn fingerprint(&self) -> &str;

    /// Answers each request, in any order; `done` takes the place of a request in `requests` and its response, as soon as
    /// there is one.
    ///
    /// # Errors
    /// The implementer's, and those of `done`.
    fn respond(
        &self,
        requests: &[&Request],
        done: &mut dyn FnMut(usize, Response) -> Result<()>,
    ) -> Result<()>;

    /// The names of the classes by number, of a model that has classes.
    fn classes(&self) -> Option<&[String]> {
        None
    }
}
