//! Substitutions of regular expressions over one or two characters, by hand: they are most of a tokenizer's time.

/// Writes `text` with each character for which `matches` holds between two spaces: `re.sub("([...])", " \1 ")`.
pub(super) fn isolate(text: &str, out: &mut String, matches: impl Fn(char) -> bool) {
    out.clear();
    for c in text.chars() {
        if matches(c) {
            out.extend([' ', c, ' ']);
        } else {
            out.push(c);
        }
    }
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
    let mut first = None;
    for second in text.chars() {
        match (first.take(), space) {
            (Some(first), Space::AfterBoth) if matches(first, second) => {
                out.extend([first, ' ', second, ' ']);
            }
            (Some(first), Space::BeforeBoth) if matches(first, second) => {
                out.extend([' ', first, ' ', second]);
            }
            (unmatched, _) => {
                out.extend(unmatched);
                first = Some(second);
            }
        }
    }
    out.extend(first);
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
