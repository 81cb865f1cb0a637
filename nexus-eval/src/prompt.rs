//! Text into the tokens that a model reads before it answers.

use nexus_core::data::Tokenizer;
use nexus_core::{Error, Result};

/// The token that stands in front of a text that has nothing else before it: beginning-of-sequence, or else
/// end-of-sequence.
///
/// # Errors
/// [`Error::Tokenizer`] when the tokenizer names neither.
pub fn prefix_token(tokenizer: &Tokenizer) -> Result<u32> {
    tokenizer.bos().or(tokenizer.eos().first().copied()).ok_or_else(|| Error::Tokenizer {
        why: "it has neither a beginning-of-sequence nor an end-of-sequence token to put before the first token; name \
              one in tokenizer_config.json (\"bos_token\" or \"eos_token\")"
            .into(),
    })
}

/// The tokens of a text that is to be continued: with a beginning-of-sequence token where the tokenizer writes one, never
/// two of them, and without the end-of-sequence token that some tokenizers append. An empty text is the
/// [`prefix_token`].
///
/// # Errors
/// [`Error::Tokenizer`] when the text cannot be encoded, or is empty and there is no prefix token.
pub fn encode_prompt(tokenizer: &Tokenizer, text: &str) -> Result<Vec<u32>> {
    let mut ids = tokenizer.encode(text, false)?;
    if ids.is_empty() {
        return Ok(vec![prefix_token(tokenizer)?]);
    }
    if let Some(bos) = tokenizer.bos().filter(|bos| ids.first() != Some(bos)) {
        let processed = tokenizer.encode(text, true)?;
        if processed.first() == Some(&bos) {
            ids.insert(0, bos);
        }
    }
    Ok(ids)
}

/// The tokens of a context and of what follows it, by the boundary rule of lm-evaluation-harness (`_encode_pair`): white
/// space at the end of the context belongs to the continuation, both are encoded together, and the continuation is what
/// comes after as many tokens as the context alone has.
///
/// Deviations: a beginning-of-sequence token is written where the tokenizer does so (the harness's `add_bos_token`), and
/// a context of white space only counts as empty, which is the [`prefix_token`].
///
/// # Errors
/// [`Error::Tokenizer`] when the text cannot be encoded; [`Error::Refused`] when the continuation has no token of its own.
pub fn encode_pair(
    tokenizer: &Tokenizer,
    context: &str,
    continuation: &str,
) -> Result<(Vec<u32>, Vec<u32>)> {
    let kept = context.trim_end_matches(is_space);
    let whole = encode_prompt(tokenizer, &format!("{context}{continuation}"))?;
    let (context, continuation) = if kept.is_empty() {
        let continuation = tokenizer.encode(&format!("{context}{continuation}"), false)?;
        (vec![prefix_token(tokenizer)?], continuation)
    } else {
        let context = encode_prompt(tokenizer, kept)?;
        let continuation = whole.get(context.len()..).unwrap_or_default().to_vec();
        (context, continuation)
    };
    if continuation.is_empty() {
        return Err(Error::Refused(
            "the text merges into the last token before it, so that it has no token of its own; put a space between them"
                .into(),
        ));
    }
    Ok((context, continuation))
}

/// Number of words as lm-evaluation-harness counts them, `len(re.split(r"\s+", text))`: one more than there are runs of
/// white space, so that white space at an end counts an empty word.
pub(crate) fn words(text: &str) -> usize {
    let mut runs = 0;
    let mut inside = false;
    for c in text.chars() {
        runs += usize::from(is_space(c) && !inside);
        inside = is_space(c);
    }
    runs + 1
}

/// White space as Python sees it: Unicode's, and the four separators of ASCII.
pub(crate) fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokenizer() -> Tokenizer {
        let texts = ["the cat sat on the mat. the cat sat.".to_string()];
        Tokenizer::train_bpe(texts.into_iter(), 280, &[]).unwrap()
    }

    #[test]
    fn words_are_counted_as_python_splits_them() {
        for (text, count) in
            [("", 1), ("a", 1), ("a b", 2), (" a\n\nb ", 4), ("a\u{1c}b\u{a0}c", 3), ("\n", 2)]
        {
            assert_eq!(words(text), count, "{text:?}");
        }
    }

    #[test]
    fn spaces_move_to_the_continuation() {
        let tokenizer = tokenizer();
        let moved = encode_pair(&tokenizer, "the ", "cat").unwrap();
        assert_eq!(moved, encode_pair(&tokenizer, "the", " cat").unwrap());
        assert_eq!(moved.0, encode_prompt(&tokenizer, "the").unwrap());
        assert_eq!(tokenizer.decode(&moved.1, false).unwrap(), " cat");
    }

    #[test]
    fn an_empty_context_is_the_prefix_token() {
        let tokenizer = tokenizer();
        for context in ["", " "] {
            let (ids, continuation) = encode_pair(&tokenizer, context, "cat").unwrap();
            assert_eq!(ids, [prefix_token(&tokenizer).unwrap()]);
            assert_eq!(tokenizer.decode(&continuation, false).unwrap(), format!("{context}cat"));
        }
        assert_eq!(
            encode_prompt(&tokenizer, "").unwrap(),
            tokenizer.encode("<|endoftext|>", false).unwrap()
        );
    }

    #[test]
    fn a_continuation_without_a_token_is_refused() {
        let tokenizer = tokenizer();
        // "the" is one token, so "th" and what follows it have no boundary between them.
        assert_eq!(tokenizer.encode("the", false).unwrap().len(), 1);
        let error = encode_pair(&tokenizer, "th", "e").unwrap_err().to_string();
        assert!(error.contains("no token of its own"), "{error}");
    }
}
