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
