//! Regular expressions as Python's `re` reads them.

use super::yaml::Place;
use crate::{Error, Result};
use fancy_regex::{NoExpand, Regex};

/// A compiled pattern.
///
/// Patterns may look around and refer back. Deviation: `$` without `(?m)` matches before a last line end as in Python,
/// other differences of the two languages in rare forms (nested classes) are not evened out. A search that takes too many
/// steps is an error.
#[derive(Clone, Debug)]
pub(super) struct Pattern {
    regex: Regex,
    source: String,
}

impl Pattern {
    pub(super) fn new(source: &str, place: &Place) -> Result<Self> {
        let regex = Regex::new(&dollars(source));
        let regex = regex.map_err(|why| place.error(format!("the pattern {source:?}: {why}")))?;
        Ok(Self { regex, source: source.into() })
    }

    /// `re.findall`, with all groups of each match: the whole match where there is no group, empty where one took no part.
    pub(super) fn find_all(&self, text: &str) -> Result<Vec<Vec<String>>> {
        let first = usize::from(self.regex.captures_len() > 1);
        let (mut all, mut from) = (Vec::new(), 0);
        while from <= text.len() {
            let captures = self.regex.captures_from_pos(text, from);
            let Some(captures) = captures.map_err(|why| self.failed(&why))? else { break };
            let group = |i| captures.get(i).map_or("", |m| m.as_str()).to_owned();
            all.push((first..captures.len()).map(group).collect());
            let Some(found) = captures.get(0) else { break };
            // An empty match may follow one that is not, but not another empty one at the same place.
            from = match found.start() == found.end() {
                true => found.end() + text[found.end()..].chars().next().map_or(1, char::len_utf8),
                false => found.end(),
            };
        }
        Ok(all)
    }

    /// `re.sub(pattern, "", text)`.
    pub(super) fn remove_from(&self, text: &str) -> Result<String> {
        let removed = self.regex.try_replacen(text, 0, NoExpand(""));
        removed.map(|text| text.into_owned()).map_err(|why| self.failed(&why))
    }

    fn failed(&self, why: &fancy_regex::Error) -> Error {
        Error::Refused(format!("the pattern {:?}: {why}", self.source))
    }
}

/// The pattern with each `$` outside of classes written as Python means it.
fn dollars(source: &str) -> String {
    if source.contains("(?m") || !source.contains('$') {
        return source.into();
    }
    let (mut out, mut escaped, mut class) = (String::new(), false, 0usize);
    for c in source.chars() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '[' => class += 1,
            ']' => class = class.saturating_sub(1),
            '$' if class == 0 => {
                out.push_str(r"(?=\n?\z)");
                continue;
            }
            _ => {}
        }
        out.push(c);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn pattern(source: &str) -> Pattern {
        let place = Place { path: Path::new("t.yaml").into(), line: 3 };
        Pattern::new(source, &place).unwrap()
    }

    #[test]
    fn matches_are_those_of_python() {
        // The right sides are re.findall's of CPython 3.11, with a whole match as a group of its own.
        for (source, text, found) in [
            (r"\d+", "a1 b22", vec![vec!["1"], vec!["22"]]),
            (r"#### (\-?[0-9\.\,]+)", "x #### -1,2.", vec![vec!["-1,2."]]),
            (r"(a)|(b)", "ab", vec![vec!["a", ""], vec!["", "b"]]),
            (r"(?<=is )\w+$", "it is so\n", vec![vec!["so"]]),
            (r"[$]\d", "$1", vec![vec!["$1"]]),
            (r"\$", "a$", vec![vec!["$"]]),
            (r"x*", "xa", vec![vec!["x"], vec![""], vec![""]]),
        ] {
            assert_eq!(pattern(source).find_all(text).unwrap(), found, "{source}");
        }
        assert_eq!(pattern(r"[,$]| *").remove_from("1,000 $ a").unwrap(), "1000a");
    }

    #[test]
    fn endless_searches_are_errors() {
        let error = pattern(r"(?=(a+)+b)\1c").find_all(&"a".repeat(60)).unwrap_err().to_string();
        assert!(error.contains("(a+)+b"), "{error}");
        let place = Place { path: Path::new("t.yaml").into(), line: 3 };
        assert!(Pattern::new("(", &place).unwrap_err().to_string().starts_with("t.yaml:3: "));
    }
}
