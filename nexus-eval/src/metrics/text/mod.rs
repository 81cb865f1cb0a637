//! Measures of texts against reference texts: BLEU, chrF, TER, ROUGE, the measures of SQuAD, and error rates.
//!
//! Each is a struct of checked options. [`CorpusMetric`] has the methods of all but the error rates: `corpus` and `sentence`
//! score hypotheses against their references, which are listed by segment, and `interval` resamples segments. `signature`
//! names the settings in the manner of sacrebleu. Segments are scored in parallel, on rayon's threads. All definitions are those of a reference program, named on the type, to the
//! last digits; only the Unicode tokenizer of ROUGE and the error rates have none.

mod bleu;
mod bleu_tokenizer;
mod chrf;
mod corpus_metric;
mod edit_distance;
mod lcs;
mod ngrams;
mod porter;
mod rewrite;
mod rouge;
mod rouge_tokenizer;
mod segments;
mod squad;
mod ter;
mod ter_alignment;
mod ter_shifts;
mod ter_tokenizer;
mod unicode;

pub use bleu::{Bleu, BleuOptions, BleuScore, BleuStatistics, Smoothing};
pub use bleu_tokenizer::BleuTokenizer;
pub use chrf::{Chrf, ChrfOptions, ChrfScore, ChrfStatistics};
pub use corpus_metric::CorpusMetric;
pub use edit_distance::{EditCount, EditRate, EditUnit, edit_distance};
pub use porter::porter_stem;
pub use rouge::{Rouge, RougeOptions, RougeScore, RougeType};
pub use rouge_tokenizer::RougeTokenizer;
pub use segments::ReferenceCount;
pub use squad::{Squad, SquadScore, normalize_answer};
pub use ter::{Ter, TerOptions, TerScore, TerStatistics};

/// The sacrebleu whose definitions BLEU, chrF and TER follow.
pub const SACREBLEU_VERSION: &str = "2.6.0";

/// The largest n of n-grams that an option accepts: far above what anybody uses, and little enough to compute.
const LARGEST_ORDER: usize = 64;
