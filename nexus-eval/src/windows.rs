//! Long documents in windows of the model's length.

/// A stretch of a document that is predicted in one pass, with the tokens that it is predicted from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    /// The tokens before the predicted ones; at least one.
    pub context: Vec<u32>,
    /// The tokens to predict; at least one.
    pub targets: Vec<u32>,
}

/// Cuts `tokens` into windows in which every token is predicted exactly once: [`rolling_windows_with_context`] with a
/// context of 1, what perplexity tasks of the harness use.
///
/// The first window predicts the first `max_length` tokens from `prefix` on; each later one the next `max_length` from
/// the token before them on. The last is filled up with as much earlier context as fits, so that the model reads
/// `max_length` tokens in every window but that of a short document. `max_length` is at least 1.
pub fn rolling_windows(tokens: &[u32], prefix: u32, max_length: usize) -> Vec<Window> {
    rolling_windows_with_context(tokens, prefix, max_length, 1)
}

/// `get_rolling_token_windows` of lm-evaluation-harness, made disjoint: as [`rolling_windows`], but every window after the
/// first predicts `max_length - context_length + 1` tokens, each of them from at least `context_length` before it. A longer
/// context costs more passes and lowers perplexity.
///
/// `max_length` is at least 1, `context_length` from 1 to `max_length`; what is outside counts as the nearest of these.
pub fn rolling_windows_with_context(
    tokens: &[u32],
    prefix: u32,
    max_length: usize,
    context_length: usize,
) -> Vec<Window> {
    let length = max_length.max(1);
    let step = length - context_length.clamp(1, length) + 1;
    let mut windows = Vec::new();
    let mut start = 0;
    while start < tokens.len() {
        let new = if start == 0 { length } else { step };
        let end = tokens.len().min(start.saturating_add(new));
        let context = match start {
            0 => vec![prefix],
            // The model reads all but the last token of the window.
            _ => tokens[end - length - 1..start].to_vec(),
        };
        windows.push(Window { context, targets: tokens[start..end].to_vec() });
        start = end;
    }
    windows
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PREFIX: u32 = 1000;

    /// What the model reads and what it predicts, as lm-evaluation-harness writes a window.
    fn as_pairs(count: u32, max_length: usize) -> Vec<(Vec<u32>, Vec<u32>)> {
        let tokens: Vec<u32> = (0..count).collect();
        let pair = |window: Window| {
            let mut input = [window.context, window.targets.clone()].concat();
            input.pop();
            (input, window.targets)
        };
        rolling_windows(&tokens, PREFIX, max_length).into_iter().map(pair).collect()
    }

    fn range(from: u32, to: u32) -> Vec<u32> {
        (from..=to).collect()
    }

    #[test]
    fn windows_are_those_of_the_reference() {
        let first = [vec![PREFIX], range(0, 8)].concat();
        let whole =
            [(first, range(0, 9)), (range(9, 18), range(10, 19)), (range(19, 28), range(20, 29))];
        assert_eq!(as_pairs(30, 10), whole);
        let expected = [&whole[..], &[(range(23, 32), range(30, 33))]].concat();
        assert_eq!(as_pairs(34, 10), expected);
        let expected = [
            (vec![PREFIX, 0], vec![0, 1]),
            (vec![1, 2], vec![2, 3]),
            (vec![3, 4], vec![4, 5]),
            (vec![5, 6], vec![6, 7]),
            (vec![6, 7], vec![8]),
        ];
        assert_eq!(as_pairs(9, 2), expected);
        assert_eq!(as_pairs(1, 10), [(vec![PREFIX], vec![0])]);
        assert_eq!(as_pairs(0, 2), []);
    }

    /// Against windows of the harness in `tests/golden/tasks/rolling.json`.
    #[test]
    fn longer_contexts_are_those_of_the_reference() {
        let text = include_str!("../tests/golden/tasks/rolling.json");
        let cases: Vec<serde_json::Value> = serde_json::from_str(text).unwrap();
        assert!(cases.len() >= 6);
        for case in cases {
            let number = |key: &str| case[key].as_u64().unwrap() as usize;
            let tokens: Vec<u32> = (0..number("tokens") as u32).collect();
            let (max_length, context) = (number("max_length"), number("context"));
            let windows = rolling_windows_with_context(&tokens, PREFIX, max_length, context);
            let expected: Vec<(Vec<u32>, Vec<u32>)> =
                serde_json::from_value(case["windows"].clone()).unwrap();
            let found: Vec<_> = windows.into_iter().map(|w| (w.context, w.targets)).collect();
            assert_eq!(found, expected, "{max_length} {context}");
        }
    }

    proptest! {
        #[test]
        fn every_token_is_predicted_once_from_what_stands_before_it(
            count in 0u32..200,
            max_length in 1usize..40,
        ) {
            let document: Vec<u32> = [vec![PREFIX], (0..count).collect()].concat();
            let mut predicted = Vec::new();
            for (input, targets) in as_pairs(count, max_length) {
                prop_assert!(input.len() <= max_length && input.len() >= targets.len());
                let start = document.iter().position(|token| *token == input[0]).unwrap();
                let row = [&input[..], &targets[targets.len() - 1..]].concat();
                prop_assert_eq!(&document[start..start + row.len()], &row[..]);
                prop_assert!(row.ends_with(&targets));
                // Full, unless the document itself is shorter.
                prop_assert!(input.len() == max_length || (count as usize) < max_length);
                predicted.extend(targets);
            }
            prop_assert_eq!(&predicted[..], &document[1..]);
        }
    }
}
