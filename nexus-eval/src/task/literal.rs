//! Python literals: what a template prints for a list is read back as one.

use serde_json::Value;

const MAX_DEPTH: usize = 32;

/// The value of a Python literal (`ast.literal_eval`): a list or tuple of texts, numbers, `True`, `False`, `None` and
/// such lists. `None` for anything else.
pub(super) fn literal(text: &str) -> Option<Value> {
    let mut reader = Reader { rest: text.trim(), depth: 0 };
    let value = reader.value()?;
    reader.rest.is_empty().then_some(value)
}

struct Reader<'a> {
    rest: &'a str,
    depth: usize,
}

impl Reader<'_> {
    fn take(&mut self, token: &str) -> bool {
        match self.rest.strip_prefix(token) {
            Some(rest) => {
                self.rest = rest.trim_start();
                true
            }
            None => false,
        }
    }

    fn value(&mut self) -> Option<Value> {
        for (name, value) in [("True", true.into()), ("False", false.into()), ("None", Value::Null)]
        {
            if self.take(name) {
                return Some(value);
            }
        }
        match self.rest.chars().next()? {
            '[' => self.list("[", "]"),
            '(' => self.list("(", ")"),
            '\'' | '"' => {
                let mut text = self.text()?;
                // Literals side by side are one.
                while self.rest.starts_with(['\'', '"']) {
                    text += &self.text()?;
                }
                Some(text.into())
            }
            _ => self.number(),
        }
    }

    fn list(&mut self, open: &str, close: &str) -> Option<Value> {
        self.depth += 1;
        if self.depth > MAX_DEPTH || !self.take(open) {
            return None;
        }
        let mut items = Vec::new();
        let mut comma = false;
        while !self.take(close) {
            if !(items.is_empty() || comma) {
                return None;
            }
            items.push(self.value()?);
            comma = self.take(",");
        }
        self.depth -= 1;
        // A value in parentheses is no tuple.
        if open == "(" && items.len() == 1 && !comma { items.pop() } else { Some(items.into()) }
    }

    fn number(&mut self) -> Option<Value> {
        let end = self.rest.find(|c: char| !(c.is_ascii_alphanumeric() || "+-._".contains(c)));
        let (text, rest) = self.rest.split_at(end.unwrap_or(self.rest.len()));
        let digits = text.trim_start_matches(['+', '-']);
        if !digits.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
            return None;
        }
        let leading_zero = digits.len() > 1 && digits.bytes().all(|b| b.is_ascii_digit());
        if leading_zero && digits.starts_with('0') {
            return None;
        }
        let value = match text.parse::<i64>() {
            Ok(value) => value.into(),
            Err(_) => Value::from(text.parse::<f64>().ok().filter(|value| value.is_finite())?),
        };
        self.rest = rest.trim_start();
        Some(value)
    }

    fn text(&mut self) -> Option<String> {
        let quote = self.rest.chars().next()?;
        let mut chars = self.rest[1..].chars();
        let mut text = String::new();
        loop {
            match chars.next()? {
                c if c == quote => break,
                '\n' => return None,
                '\\' => match chars.next()? {
                    'n' => text.push('\n'),
                    't' => text.push('\t'),
                    'r' => text.push('\r'),
                    '0' => text.push('\0'),
                    '\n' => {}
                    c @ ('\\' | '\'' | '"') => text.push(c),
                    kind @ ('x' | 'u' | 'U') => {
                        let digits = match kind {
                            'x' => 2,
                            'u' => 4,
                            _ => 8,
                        };
                        let hex: String = chars.by_ref().take(digits).collect();
                        if hex.len() != digits || !hex.bytes().all(|b| b.is_ascii_hexdigit()) {
                            return None;
                        }
                        text.push(char::from_u32(u32::from_str_radix(&hex, 16).ok()?)?);
                    }
                    // Python keeps the backslash of an escape that it does not know.
                    other => text.extend(['\\', other]),
                },
                c => text.push(c),
            }
        }
        self.rest = chars.as_str().trim_start();
        Some(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn lists_are_read_as_python_reads_them() {
        for (text, value) in [
            ("['a', \"b'c\"]", json!(["a", "b'c"])),
            (" [ 'a' 'b', 1, -2.5, True, None, ] ", json!(["ab", 1, -2.5, true, null])),
            ("('x', ['\\u00e9\\n\\\\', '\\d'])", json!(["x", ["é\n\\", "\\d"]])),
            ("('x')", json!("x")),
            ("('x',)", json!(["x"])),
            ("[]", json!([])),
            ("12", json!(12)),
            ("['ü', '\"']", json!(["ü", "\""])),
        ] {
            assert_eq!(literal(text), Some(value), "{text}");
        }
        for text in [
            "", "[", "['a'", "[a]", "['a' 1]", "[,]", "{'a': 1}", "['a'] x", "007", "'\\x4'", "f()",
        ] {
            assert_eq!(literal(text), None, "{text}");
        }
        assert_eq!(literal(&"[".repeat(100_000)), None);
    }
}
