//! Substitutions of regular expressions over one or two characters, by hand: they are most of a tokenizer's time.

/// Writes `text` with each character for which `matches` holds between two spaces: `re.sub("([...])", " \1 ")`.
pub(super) fn isolate(text: &str, out: &mut String, matches: impl Fn(char) -> bool) {
    out.clear();
    let mut copied = 0;
    for (at, c) in text.char_indices().filter(|&(_, c)| matches(c)) {
        out.push_str(&text[copied..at]);
        out.extend([' ', c, ' ']);
        copied = at + c.len_utf8();
    }
    out.push_str(&text[copied..]);
}

/// Where [`separate`] puts a space around the two characters of a match.
#[derive(Clone, Copy)]
pub(super) enum Space {
    /// Between them and after them: `"\1 \2 "`.
    AfterBoth,
    /// Before them and between them: `" \1 \2"`.
    BeforeBoth,
}

/// Writes `text` with spaces at each pair of neighbours for which `matches` holds, from the left and without overlap, as
/// `re.sub("([...])([...])", ...)` does.
pub(super) fn separate(
    text: &str,
    out: &mut String,
    space: Space,
    matches: impl Fn(char, char) -> bool,
) {
    out.clear();
    let mut copied = 0;
    let mut first = None;
    for (at, second) in text.char_indices() {
        let Some(x) = first.replace(second).filter(|&first| matches(first, second)) else { continue };
        match space {
            Space::AfterBoth => {
                out.push_str(&text[copied..at]);
                out.extend([' ', second, ' ']);
            }
            Space::BeforeBoth => {
                out.push_str(&text[copied..at - x.len_utf8()]);
                out.extend([' ', x, ' ', second]);
            }
        }
        copied = at + second.len_utf8();
        first = None;
    }
    out.push_str(&text[copied..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn separated(text: &str, space: Space) -> String {
        let mut out = String::new();
        separate(text, &mut out, space, |a, b| !a.is_ascii_digit() && b == '.');
        out
    }

    #[test]
    fn matches_do_not_overlap() {
        // In "...", the first two dots are one match; the third has no partner left.
        assert_eq!(separated("a...", Space::AfterBoth), "a . . . ");
        assert_eq!(separated("....", Space::AfterBoth), ". . . . ");
        assert_eq!(separated("...", Space::AfterBoth), ". . .");
        assert_eq!(separated("1.5a.", Space::AfterBoth), "1.5a . ");
        assert_eq!(separated("1.5a.", Space::BeforeBoth), "1.5 a .");
        assert_eq!(separated("", Space::AfterBoth), "");
        assert_eq!(separated("é", Space::AfterBoth), "é");
    }

    #[test]
    fn single_characters() {
        let mut out = "left over".into();
        isolate("a(b)", &mut out, |c| matches!(c, '(' | ')'));
        assert_eq!(out, "a ( b ) ");
    }
}
