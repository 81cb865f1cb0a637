//! Stop strings on the command line.

/// A stop string as it is typed: `\n`, `\t` and `\\` stand for a line end, a tab and a backslash.
///
/// # Errors
/// When it is empty or another letter follows a backslash.
pub fn stop_string(typed: &str) -> Result<String, String> {
    let mut text = String::new();
    let mut letters = typed.chars();
    while let Some(letter) = letters.next() {
        text.push(match letter {
            '\\' => match letters.next() {
                Some('n') => '\n',
                Some('t') => '\t',
                Some('\\') => '\\',
                _ => return Err("after a backslash, n, t or a backslash is expected".into()),
            },
            other => other,
        });
    }
    match text.is_empty() {
        true => Err("an empty text would stop at once".into()),
        false => Ok(text),
    }
}

#[cfg(test)]
mod tests {
    use super::stop_string;

    #[test]
    fn escapes_are_read() {
        assert_eq!(stop_string(r"a\n\t\\n").unwrap(), "a\n\t\\n");
        assert!(stop_string("").is_err());
        assert!(stop_string(r"\q").is_err());
        assert!(stop_string(r"a\").is_err());
    }
}
