//! From text records to padded batches.
//!
//! [`read_records`] reads a file, [`encode_records`] turns each record into token ids and labels
//! with a [`Tokenizer`] (and its [`ChatTemplate`]), [`epoch_order`] says which examples make an
//! optimizer step and [`collate`] pads them into a [`Batch`].

mod batch;
mod chat;
mod decode_stream;
mod encode;
mod example;
mod generation;
mod jinja;
mod protobuf;
mod python_text;
mod record;
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

pub use batch::{Batch, ExampleSource, collate, epoch_order};
pub use chat::{CHATML, ChatTemplate, Message, Segment};
pub use decode_stream::DecodeStream;
pub use encode::{EncodeOptions, Encoded, LossMask, Overflow, encode_records};
pub use example::{Example, IGNORED, Target, pack_wrapped};
pub use record::{Located, Record, read_json_lines, read_jsonl, read_records, read_text};
pub use tokenizer::Tokenizer;
