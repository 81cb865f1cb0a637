//! A classification head that answers a task's requests.

use super::request::{Request, Respond, Response};
use crate::classification::class_logits;
use crate::likelihood::ScoreOptions;
use crate::{Error, Result};
use nexus_core::data::{Encode, Label, LabelMap, LabeledText, Problem, SequenceEncoder, Tokenizer};
use nexus_core::model::Classify;

/// A model that gives a text one of C classes, with its tokenizer.
#[derive(Clone, Debug)]
pub struct Classifier<'a, M> {
    model: &'a M,
    encoder: SequenceEncoder,
    classes: Vec<String>,
    batch_size: usize,
    fingerprint: String,
}

impl<'a, M: Classify> Classifier<'a, M> {
    /// A model under a name for its weights and tokenizer that no other has, such as
    /// [`fingerprint`](super::fingerprint) of its folder. Texts lose what is beyond `max_length` tokens.
    ///
    /// # Errors
    /// [`Error::Config`] for a `max_length` or batch size out of range; [`Error::Refused`] for a model without a head for
    /// one of several classes.
    pub fn new(
        model: &'a M,
        tokenizer: &Tokenizer,
        fingerprint: &str,
        max_length: usize,
        batch_size: usize,
    ) -> Result<Self> {
        ScoreOptions { max_length: Some(max_length), batch_size }.check()?;
        let classes = model.spec().classes().filter(|c| c.problem == Problem::SingleLabel);
        let Some(classes) = classes.map(|classes| classes.names.clone()) else {
            return Err(Error::Refused("the model has no head for one of several classes".into()));
        };
        let encoder = SequenceEncoder {
            tokenizer: tokenizer.clone(),
            labels: LabelMap::numbered(classes.len())?,
            problem: Problem::SingleLabel,
            max_length,
        };
        encoder.check()?;
        let fingerprint = format!("{fingerprint} max_length {max_length}");
        Ok(Self { model, encoder, classes, batch_size, fingerprint })
    }
}

impl<M: Classify> Respond for Classifier<'_, M> {
    fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    fn respond(
        &self,
        requests: &[&Request],
        done: &mut dyn FnMut(usize, Response) -> Result<()>,
    ) -> Result<()> {
        let mut examples = Vec::with_capacity(requests.len());
        for request in requests {
            let Request::Classify { text } = request else {
                return Err(Error::Refused(
                    "a classification head answers tasks of output_type classification only".into(),
                ));
            };
            // The label is not used.
            let record = LabeledText { text: text.clone(), pair: None, label: Label::Int(0) };
            examples.extend(self.encoder.encode(&record)?.examples);
        }
        let pad = self.encoder.tokenizer.pad();
        // A killed run keeps the chunks that are done.
        for (chunk, rows) in examples.chunks(self.batch_size * 16).enumerate() {
            let logits = class_logits(self.model, rows, self.batch_size, pad, &mut |_, _| {})?;
            for (i, logits) in logits.into_iter().enumerate() {
                done(chunk * self.batch_size * 16 + i, Response::Logits(logits))?;
            }
        }
        Ok(())
    }

    fn classes(&self) -> Option<&[String]> {
        Some(&self.classes)
    }
}
