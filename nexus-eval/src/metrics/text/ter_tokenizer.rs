//! The tokenizer of Tercom.

use super::bleu_tokenizer::{is_western_punctuation, separate_points};
use super::rewrite::isolate;
use super::ter::TerOptions;
use super::unicode::{is_space, words};

/// The words of `text` as Tercom compares them, with single spaces between.
pub(super) fn tokenize(text: &str, options: &TerOptions) -> String {
    let mut text = text.trim_end_matches(is_space).to_string();
    let mut buffer = String::new();
    if !options.case_sensitive {
        text = text.to_lowercase();
    }
    if options.normalized && !text.is_empty() {
        text = unescape(&text);
        isolate(&text, &mut buffer, is_western_punctuation);
        text = buffer.replace("'s ", " 's ");
        separate_points(&mut text, &mut buffer);
        if options.asian_support {
            isolate(&text, &mut buffer, |c| is_ideograph(c) || is_asian_punctuation(c));
            std::mem::swap(&mut text, &mut buffer);
        }
    }
    if options.no_punct {
        let western = |c| matches!(c, '.' | ',' | '?' | ':' | ';' | '!' | '"' | '(' | ')');
        text.retain(|c| !western(c) && !(options.asian_support && is_asian_punctuation(c)));
    }
    words(&text).collect::<Vec<_>>().join(" ")
}

/// Joins lines, replaces entities, and puts a space at both ends.
fn unescape(text: &str) -> String {
    let mut text = format!(" {text} ");
    for (from, to) in [
        ("\n-", ""),
        ("\n", " "),
        ("&quot;", "\""),
        ("&amp;", "&"),
        ("&lt;", "<"),
        ("&gt;", ">"),
    ] {
        text = text.replace(from, to);
    }
    text
}

/// Characters that are words of their own: Chinese characters and their parts, and compatibility forms. Tercom's range of enclosed letters
/// ends at U+3F22, inside of the Chinese characters of extension A. (Its rules for Japanese syllables never match: they ask for the
/// beginning of a text that begins with a space.)
fn is_ideograph(c: char) -> bool {
    matches!(c,
        '\u{4e00}'..='\u{9fff}'
        | '\u{3400}'..='\u{4dbf}'
        | '\u{31c0}'..='\u{31ef}'
        | '\u{2e80}'..='\u{2eff}'
        | '\u{3300}'..='\u{33ff}'
        | '\u{f900}'..='\u{faff}'
        | '\u{fe30}'..='\u{fe4f}'
        | '\u{3200}'..='\u{3f22}')
}

fn is_asian_punctuation(c: char) -> bool {
    matches!(c,
        '\u{3001}' | '\u{3002}'
        | '\u{3008}'..='\u{3011}'
        | '\u{3014}'..='\u{301f}'
        | '\u{ff61}'..='\u{ff65}'
        | '\u{30fb}'
        | '\u{ff0e}' | '\u{ff0c}' | '\u{ff1f}' | '\u{ff1a}' | '\u{ff1b}'
        | '\u{ff01}' | '\u{ff02}' | '\u{ff08}' | '\u{ff09}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options() {
        let all = TerOptions { normalized: true, no_punct: true, asian_support: true, case_sensitive: true };
        let with = |options: TerOptions, text| tokenize(text, &options);
        let normalized = TerOptions { normalized: true, ..TerOptions::default() };
        assert_eq!(with(TerOptions::default(), "A  B.\u{3000}c "), "a b. c");
        assert_eq!(with(normalized, "John's dog, 1,000.5&lt;"), "john 's dog , 1,000.5 <");
        assert_eq!(with(normalized, "its's[dog's]'s."), "its 's [ dog 's ] 's .");
        assert_eq!(with(normalized, "a\n-b\nc 9-x"), "ab c 9 - x");
        assert_eq!(with(TerOptions { no_punct: true, ..TerOptions::default() }, "A, (b)。"), "a b。");
        assert_eq!(with(all, "学习Ab、。c?"), "学 习 Ab c");
        assert_eq!(with(all, ""), "");
    }
}
