//! From data files to padded batches.
//!
//! [`RecordStream`] reads a file record by record ([`read_records`] all of it), [`encode`] or
//! [`encode_to_disk`] turns each record into token ids and labels with an encoder
//! ([`TextEncoder`], [`MaskedTextEncoder`], [`SequenceEncoder`], [`TokenEncoder`], [`Seq2SeqEncoder`]), [`epoch_order`]
//! says which examples make an optimizer step and [`collate`] pads them into a [`Batch`].

mod batch;
mod chat;
mod columns;
mod decode_stream;
mod encode;
mod encode_masked;
mod encode_task;
mod encode_text;
mod example;
mod example_file;
mod generation;
mod jinja;
mod label;
mod labeled;
mod protobuf;
mod python_text;
mod record;
mod record_stream;
mod record_template;
mod rows;
mod sentencepiece;
mod strftime;
mod tokenizer;
mod tokenizer_files;
mod tokenizer_folder;
mod tokenizer_pair;
mod tokenizer_save;
mod tokenizer_special;
mod tokenizer_vocabulary;
mod train_bpe;

pub use batch::{Batch, ExampleSource, PairBatch, collate, collate_pairs, epoch_order};
pub use chat::{CHATML, ChatTemplate, Message, Segment};
pub use columns::Columns;
pub use decode_stream::DecodeStream;
pub use encode::{Encode, Encoded, Pieces, encode, encode_to_disk};
pub use encode_masked::MaskedTextEncoder;
pub use encode_task::{Seq2SeqEncoder, SequenceEncoder, TokenEncoder, WordLabels};
pub use encode_text::{EncodeOptions, LossMask, Overflow, TextEncoder, encode_records};
pub use example::{Example, IGNORED, Target, pack_wrapped};
pub use example_file::{ExampleFile, ExampleFileWriter};
pub use label::{Label, LabelMap, Problem};
pub use labeled::{Labeled, LabeledText, SourceTarget, TaggedWords};
pub use python_text::{python_json, python_str};
pub use record::Record;
pub use record_stream::{
    FromRow, Located, RecordStream, read_json_lines, read_jsonl, read_records, read_rows, read_text,
};
pub use record_template::RecordTemplate;
pub use tokenizer::Tokenizer;
