//! Character classes as Python and its `regex` module define them, which the reference programs rely on.

use icu_properties::CodePointMapData;
use icu_properties::props::{GeneralCategory, GeneralCategoryGroup};

fn is_in(c: char, group: GeneralCategoryGroup) -> bool {
    group.contains(CodePointMapData::<GeneralCategory>::new().get(c))
}

/// What `str.split`, `str.strip` and `\s` take for white space: the Unicode property and U+001C to U+001F.
pub(super) fn is_space(c: char) -> bool {
    c.is_whitespace() || matches!(c, '\u{1c}'..='\u{1f}')
}

/// `\p{P}`: punctuation.
pub(super) fn is_punctuation(c: char) -> bool {
    match c.is_ascii() {
        true => c.is_ascii_punctuation() && !is_symbol(c),
        false => is_in(c, GeneralCategoryGroup::Punctuation),
    }
}

/// `\p{S}`: symbols.
pub(super) fn is_symbol(c: char) -> bool {
    match c.is_ascii() {
        true => matches!(c, '$' | '+' | '<' | '=' | '>' | '^' | '`' | '|' | '~'),
        false => is_in(c, GeneralCategoryGroup::Symbol),
    }
}

/// `\p{N}`: numbers.
pub(super) fn is_number(c: char) -> bool {
    match c.is_ascii() {
        true => c.is_ascii_digit(),
        false => is_in(c, GeneralCategoryGroup::Number),
    }
}

/// `\w` of `re`: letters, numbers and the underscore, but no marks.
pub(super) fn is_word(c: char) -> bool {
    match c.is_ascii() {
        true => c.is_ascii_alphanumeric() || c == '_',
        false => is_in(c, GeneralCategoryGroup::Letter) || is_number(c),
    }
}

/// The words between white space.
pub(super) fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(is_space).filter(|word| !word.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;
    use std::collections::BTreeMap;

    fn golden() -> BTreeMap<String, Vec<Value>> {
        let file = include_str!("../../../tests/golden/text_metrics/unicode.json");
        let rows: Vec<Vec<Value>> = serde_json::from_str(file).unwrap();
        let named = |mut row: Vec<Value>| (row.remove(0).as_str().unwrap().to_string(), row);
        rows.into_iter().map(named).collect()
    }

    fn number(value: &Value) -> u32 {
        value.as_u64().unwrap() as u32
    }

    /// By scalar value: whether it is in the ranges.
    fn members(ranges: &[Value]) -> Vec<bool> {
        let mut members = vec![false; 0x11_0000];
        for range in ranges {
            members[number(&range[0]) as usize..=number(&range[1]) as usize].fill(true);
        }
        members
    }

    #[test]
    fn every_character_is_in_the_reference_s_classes() {
        let golden = golden();
        let unknown = members(&golden["unknown"]);
        let classes: [(&str, fn(char) -> bool); 5] = [
            ("P", is_punctuation),
            ("S", is_symbol),
            ("N", is_number),
            ("space", is_space),
            ("word", is_word),
        ];
        for (name, test) in classes {
            let expected = members(&golden[name]);
            // \w is Python's own, whose table is older than that of the regex module.
            let skipped = |c: char| name == "word" && unknown[c as usize];
            for c in (0..=char::MAX as u32).filter_map(char::from_u32).filter(|&c| !skipped(c)) {
                assert_eq!(test(c), expected[c as usize], "{name} {:x}", c as u32);
            }
        }
    }

    #[test]
    fn lower_case_is_python_s() {
        let golden = golden();
        let unknown = members(&golden["unknown"]);
        let lower: BTreeMap<u32, &str> = golden["lower"]
            .iter()
            .map(|row| (number(&row[0]), row[1].as_str().unwrap()))
            .collect();
        for c in (0..=char::MAX as u32).filter_map(char::from_u32) {
            let found = c.to_string().to_lowercase();
            let expected = lower.get(&(c as u32)).map_or(c.to_string(), |lower| lower.to_string());
            let new = unknown[c as usize] || found.chars().any(|c| unknown[c as usize]);
            assert!(found == expected || new, "{:x}: {found:?} {expected:?}", c as u32);
        }
    }
}
