//! The tokenizers of ROUGE.

use super::porter::stem;
use super::segments::Vocabulary;
use foldhash::HashMap;
use serde::{Deserialize, Serialize};
use unicode_segmentation::UnicodeSegmentation;

/// How a text is cut into tokens. Both put it into lower case first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RougeTokenizer {
    /// rouge_score's: runs of ASCII letters and digits. Everything else separates, so that nothing is left of a Chinese or
    /// Russian text.
    #[default]
    Default,
    /// The words of Unicode text segmentation (UAX #29), for other languages than English: `can't` and `3.14` are one word, a
    /// Chinese character is one. No reference program has it; its scores are not rouge_score's.
    Unicode,
}

/// Turns texts into numbers of tokens, of their stems if those are wanted, and remembers the words it has seen.
pub(super) struct Tokens {
    tokenizer: RougeTokenizer,
    stems: bool,
    /// The token of a word; none for a stem without letters.
    words: HashMap<Box<str>, Option<u32>>,
    vocabulary: Vocabulary,
    word: String,
}

impl Tokens {
    pub(super) fn new(tokenizer: RougeTokenizer, stems: bool) -> Self {
        let (words, vocabulary) = (HashMap::default(), Vocabulary::default());
        Self { tokenizer, stems, words, vocabulary, word: String::new() }
    }

    /// Numbers of tokens are below this.
    pub(super) fn vocabulary(&self) -> usize {
        self.vocabulary.len()
    }

    /// Appends the tokens of `text`.
    pub(super) fn of(&mut self, text: &str, tokens: &mut Vec<u32>) {
        match self.tokenizer {
            RougeTokenizer::Default => {
                for c in text.chars() {
                    if c.is_ascii_alphanumeric() {
                        self.word.push(c.to_ascii_lowercase());
                    } else if c.is_ascii() {
                        self.finish(tokens);
                    } else {
                        // Of the characters outside ASCII, the Kelvin sign and the dotted capital I have an ASCII one in lower
                        // case.
                        for c in c.to_lowercase() {
                            match c.is_ascii_alphanumeric() {
                                true => self.word.push(c),
                                false => self.finish(tokens),
                            }
                        }
                    }
                }
                self.finish(tokens);
            }
            RougeTokenizer::Unicode => {
                for word in text.to_lowercase().unicode_words() {
                    self.word.push_str(word);
                    self.finish(tokens);
                }
            }
        }
    }

    fn finish(&mut self, tokens: &mut Vec<u32>) {
        if self.word.is_empty() {
            return;
        }
        let token = match self.words.get(self.word.as_str()) {
            Some(&token) => token,
            None => self.insert(),
        };
        tokens.extend(token);
        self.word.clear();
    }

    fn insert(&mut self) -> Option<u32> {
        // rouge_score stems words of more than three characters.
        let stems = self.stems && self.word.len() > 3 && self.word.is_ascii();
        let token = match stems {
            true => stem(&self.word),
            false => self.word.as_str().into(),
        };
        let number = (!token.is_empty()).then(|| self.vocabulary.number(&token));
        self.words.insert(self.word.as_str().into(), number);
        number
    }
}
