//! One step of generation: from tokens to the logits of the next ones, whatever the kind of model.

use crate::Result;
use crate::data::{Example, collate};
use crate::model::{
    Cache, Decoder, EncoderDecoder, Memory, Pass, Seq2SeqCache, TokenBatch, ids_tensor,
};
use burn::tensor::{Device, Tensor};

/// A model that continues N rows of tokens, one token a step.
pub(super) trait Steps {
    /// Logits `[N, V]`, row major, of the tokens behind what is given.
    fn first(&mut self) -> Result<Vec<f32>>;

    /// Goes on with these rows, each followed by a token; row `rows[i]` becomes row `i`. A row may occur several times,
    /// and may be left out. Logits `[N, V]` of the next tokens, row major.
    fn next(&mut self, rows: &[usize], tokens: &[u32]) -> Result<Vec<f32>>;
}

/// A decoder that continues prompts.
pub(super) struct DecoderSteps<'a> {
    model: &'a Decoder,
    prompts: &'a [&'a [u32]],
    cache: Cache,
    /// Number of rows of the cache.
    rows: usize,
    device: &'a Device,
}

impl<'a> DecoderSteps<'a> {
    /// `adapters`: the adapter of each prompt, for a mixed model.
    pub(super) fn new(
        model: &'a Decoder,
        prompts: &'a [&'a [u32]],
        adapters: Option<&[Option<usize>]>,
        device: &'a Device,
    ) -> Self {
        let columns = columns(prompts);
        let padding = prompts.iter().map(|prompt| columns - prompt.len()).collect();
        let mut cache = model.cache_with_padding(padding);
        if let Some(adapters) = adapters {
            cache = cache.with_adapters(adapters);
        }
        Self { model, prompts, cache, rows: prompts.len(), device }
    }

    fn run(&mut self, ids: &[i32]) -> Result<Vec<f32>> {
        let shape = [self.rows, ids.len() / self.rows.max(1)];
        let ids = ids_tensor(ids, shape, self.device);
        let last = self.model.last_cached(ids, &mut self.cache)?;
        Ok(values(self.model.logits(last, &Pass::inference())))
    }
}

impl Steps for DecoderSteps<'_> {
    fn first(&mut self) -> Result<Vec<f32>> {
        let columns = columns(self.prompts);
        let mut ids = Vec::with_capacity(self.rows * columns);
        for prompt in self.prompts {
            // Any token of the vocabulary can pad: it is never attended to.
            ids.resize(ids.len() + columns - prompt.len(), 0);
            ids.extend(prompt.iter().map(|&id| id as i32));
        }
        self.run(&ids)
    }

    fn next(&mut self, rows: &[usize], tokens: &[u32]) -> Result<Vec<f32>> {
        if !is_identity(rows, self.rows) {
            self.cache.reorder(rows);
            self.rows = rows.len();
        }
        self.run(&signed(tokens))
    }
}

/// An encoder-decoder that answers sources.
pub(super) struct Seq2SeqSteps<'a> {
    model: &'a EncoderDecoder,
    memory: Memory,
    cache: Seq2SeqCache,
    /// Which source each row answers.
    sources: Vec<usize>,
    device: &'a Device,
}

impl<'a> Seq2SeqSteps<'a> {
    /// `adapters`: the adapter of each source, for a mixed model.
    pub(super) fn new(
        model: &'a EncoderDecoder,
        sources: &[&[u32]],
        adapters: Option<&[Option<usize>]>,
        device: &'a Device,
    ) -> Result<Self> {
        let example = |ids: &&[u32]| Example::new(ids.to_vec(), Vec::new());
        let batch = collate(&sources.iter().map(example).collect::<Vec<_>>(), 0);
        let pass = match adapters {
            Some(adapters) => Pass::inference().with_adapters(adapters),
            None => Pass::inference(),
        };
        let memory = model.encode(&TokenBatch::new(&batch, device), &pass)?;
        let sources = (0..sources.len()).collect();
        Ok(Self { model, memory, cache: model.cache(), sources, device })
    }

    fn run(&mut self, tokens: &[u32]) -> Vec<f32> {
        let ids = ids_tensor(&signed(tokens), [tokens.len(), 1], self.device);
        let hidden = self.model.decode_cached(ids, &self.memory, &mut self.cache);
        values(self.model.logits(last(hidden), &Pass::inference()))
    }
}

impl Steps for Seq2SeqSteps<'_> {
    fn first(&mut self) -> Result<Vec<f32>> {
        Ok(self.run(&vec![self.model.config().start_token; self.sources.len()]))
    }

    fn next(&mut self, rows: &[usize], tokens: &[u32]) -> Result<Vec<f32>> {
        if !is_identity(rows, self.sources.len()) {
            self.cache.reorder(rows);
            let sources: Vec<usize> = rows.iter().map(|&row| self.sources[row]).collect();
            // Most steps only exchange answers of one source, and what is known of it can stay where it is.
            if sources != self.sources {
                self.cache.reorder_sources(rows);
                self.memory = self.memory.select(rows);
                self.sources = sources;
            }
        }
        Ok(self.run(tokens))
    }
}

fn is_identity(rows: &[usize], count: usize) -> bool {
    rows.iter().copied().eq(0..count)
}

fn columns(prompts: &[&[u32]]) -> usize {
    prompts.iter().map(|prompt| prompt.len()).max().unwrap_or(0)
}

fn signed(tokens: &[u32]) -> Vec<i32> {
    tokens.iter().map(|&id| id as i32).collect()
}

/// The last position of each row: `[N, T, D]` to `[N, D]`.
fn last(hidden: Tensor<3>) -> Tensor<2> {
    let [rows, time, width] = hidden.dims();
    hidden.narrow(1, time - 1, 1).reshape([rows, width])
}

fn values(logits: Tensor<2>) -> Vec<f32> {
    logits.into_data().iter::<f32>().collect()
}
