//! The name of a model on the hub.

use super::hub_error;
use crate::Result;

/// The revision that is meant when none is written.
const DEFAULT_REVISION: &str = "main";

/// `org/name@revision`, checked, so that its parts can stand in a path and in a URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ModelName {
    /// `org/name`.
    pub(super) id: String,
    /// A branch, a tag or a commit.
    pub(super) revision: String,
}

impl ModelName {
    pub(super) fn parse(text: &str) -> Result<Self> {
        let (id, revision) = text.split_once('@').unwrap_or((text, DEFAULT_REVISION));
        let valid = match id.split('/').collect::<Vec<_>>()[..] {
            [organization, name] => is_name(organization) && is_name(name) && !id.ends_with(".git"),
            _ => false,
        };
        if !valid {
            return Err(hub_error(
                text,
                "neither a folder nor a name on the hub; expected the path of a model folder, or \
                 org/name or org/name@revision with letters, digits, '-', '_' and '.'",
            ));
        }
        if !is_revision(revision) {
            return Err(hub_error(
                text,
                "the revision after the @ is not a branch, a tag or a commit",
            ));
        }
        Ok(Self { id: id.into(), revision: revision.into() })
    }

    /// The name of the model's folder in the cache.
    pub(super) fn folder(&self) -> String {
        format!("models--{}", self.id.replace('/', "--"))
    }

    /// The commit, when the revision is one.
    pub(super) fn commit(&self) -> Option<&str> {
        is_commit(&self.revision).then_some(&self.revision)
    }
}

impl std::fmt::Display for ModelName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}@{}", self.id, self.revision)
    }
}

/// A git commit in full: 40 lowercase hexadecimal digits.
pub(super) fn is_commit(text: &str) -> bool {
    is_hex(text, 40)
}

/// `digits` lowercase hexadecimal digits.
pub(super) fn is_hex(text: &str, digits: usize) -> bool {
    text.len() == digits && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

/// The rules of the hub for each half of a repository's name; `--` would make the cache folder ambiguous.
fn is_name(part: &str) -> bool {
    let edge = |c: char| c == '-' || c == '.';
    (1..=96).contains(&part.len())
        && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
        && !part.starts_with(edge)
        && !part.ends_with(edge)
        && !part.contains("--")
        && !part.contains("..")
}

/// A revision names a file below `refs/`, so it must not lead out of that folder.
fn is_revision(text: &str) -> bool {
    text.len() <= 200
        && text.split('/').all(|part| !part.is_empty() && part != "." && part != "..")
        && !text.contains(|c: char| c.is_control() || c.is_whitespace() || "\\:*?\"<>|".contains(c))
}

/// `text` as one segment of a URL's path.
pub(super) fn percent_encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_taken_apart() {
        let name = ModelName::parse("org/name").unwrap();
        assert_eq!((name.id.as_str(), name.revision.as_str()), ("org/name", "main"));
        assert_eq!(name.folder(), "models--org--name");
        let name = ModelName::parse("o.r_g/na-me@refs/pr/1").unwrap();
        assert_eq!(name.revision, "refs/pr/1");
        assert_eq!(percent_encode(&name.revision), "refs%2Fpr%2F1");
        assert_eq!(name.commit(), None);
    }

    #[test]
    fn what_could_leave_the_cache_is_refused() {
        for text in [
            "",
            "name",
            "/etc/passwd",
            "../name",
            "org/..",
            "a/b/c",
            "org/-x",
            "org/a--b",
            "org/a b",
            "org/x.git",
            "org/name@",
            "org/name@../../x",
            "org/name@/x",
            "org/name@a\\b",
            "org/name@a\nb",
            "org/name@..",
            "C:\\models",
        ] {
            assert!(ModelName::parse(text).is_err(), "{text}");
        }
    }
}
