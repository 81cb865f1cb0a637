//! The tokenizers of BLEU.

use super::rewrite::{Space, isolate, separate};
use super::unicode::{is_number, is_punctuation, is_space, is_symbol};
use serde::{Deserialize, Serialize};

/// How a segment is cut into words; white space always separates them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BleuTokenizer {
    /// `13a`: ASCII punctuation apart, except inside numbers and words; as `mteval-v13a.pl` of WMT.
    #[default]
    #[serde(rename = "13a")]
    V13a,
    /// `intl`: Unicode punctuation apart, except between numbers, and every symbol; as `mteval-v14.pl`.
    Intl,
    /// `char`: each character is a word.
    Char,
    /// `none`: for texts whose words are already apart.
    None,
}

impl BleuTokenizer {
    /// The name in a signature.
    pub fn name(self) -> &'static str {
        match self {
            Self::V13a => "13a",
            Self::Intl => "intl",
            Self::Char => "char",
            Self::None => "none",
        }
    }

    /// `line` with words separated by white space; `buffers` hold what comes in between.
    pub(super) fn apply<'a>(self, line: &str, buffers: &'a mut [String; 2]) -> &'a str {
        let [a, b] = buffers;
        match self {
            Self::V13a => {
                unescape(line, a);
                isolate(a, b, is_western_punctuation);
                separate_points(b, a);
                b
            }
            Self::Intl => {
                separate(line, a, Space::AfterBoth, |x, y| !is_number(x) && is_punctuation(y));
                separate(a, b, Space::BeforeBoth, |x, y| is_punctuation(x) && !is_number(y));
                isolate(b, a, is_symbol);
                a
            }
            Self::Char => {
                a.clear();
                for c in line.chars().filter(|&c| !is_space(c)) {
                    a.extend([c, ' ']);
                }
                a
            }
            Self::None => {
                a.clear();
                a.push_str(line);
                a
            }
        }
    }
}

/// The language-independent part of 13a: markup and line ends, and a space at both ends.
fn unescape(line: &str, out: &mut String) {
    out.clear();
    out.push(' ');
    out.push_str(line);
    out.push(' ');
    let mut replace = |from: &str, to: &str| {
        if out.contains(from) {
            *out = out.replace(from, to);
        }
    };
    replace("<skipped>", "");
    replace("-\n", "");
    replace("\n", " ");
    if line.contains('&') {
        // In this order, so that "&amp;lt;" becomes "<".
        for (entity, character) in
            [("&quot;", "\""), ("&amp;", "&"), ("&lt;", "<"), ("&gt;", ">")]
        {
            replace(entity, character);
        }
    }
}

/// The last part of 13a, which Tercom shares: sets periods and commas apart unless in a number, and dashes after digits. `buffer` is
/// overwritten.
pub(super) fn separate_points(text: &mut String, buffer: &mut String) {
    let digit = |c: char| c.is_ascii_digit();
    let point = |c: char| matches!(c, '.' | ',');
    separate(text, buffer, Space::AfterBoth, |x, y| point(y) && !digit(x));
    separate(buffer, text, Space::BeforeBoth, |x, y| point(x) && !digit(y));
    separate(text, buffer, Space::AfterBoth, |x, y| y == '-' && digit(x));
    std::mem::swap(text, buffer);
}

/// ASCII punctuation except the apostrophe, comma, dash and period.
pub(super) fn is_western_punctuation(c: char) -> bool {
    c.is_ascii_punctuation() && !matches!(c, '\'' | ',' | '-' | '.')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::text::unicode::words;

    fn tokens(tokenizer: BleuTokenizer, line: &str) -> String {
        let mut buffers = [String::new(), String::new()];
        words(tokenizer.apply(line, &mut buffers)).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn v13a() {
        let v13a = |line| tokens(BleuTokenizer::V13a, line);
        assert_eq!(v13a("It wasn't surprising."), "It wasn't surprising .");
        assert_eq!(v13a("1,000.5 in 2019-20, e.g."), "1,000.5 in 2019 - 20 , e . g .");
        assert_eq!(v13a("&quot;a&amp;lt;b&quot;"), "\" a < b \"");
        assert_eq!(v13a("a<skipped>b c-\nd\ne"), "ab cd e");
        assert_eq!(v13a("x\u{a0}y，z"), "x y，z");
        assert_eq!(v13a(""), "");
    }

    #[test]
    fn intl_char_none() {
        assert_eq!(tokens(BleuTokenizer::Intl, "a，b 1,5 €3."), "a ， b 1,5 € 3.");
        assert_eq!(tokens(BleuTokenizer::Char, "a b\u{3000}日本"), "a b 日 本");
        assert_eq!(tokens(BleuTokenizer::None, " a.  b\u{1c}c"), "a. b c");
    }
}
