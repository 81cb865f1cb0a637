//! Translates `{% generation %}` .. `{% endgeneration %}` into Jinja that minijinja can parse.
//!
//! These block tags mark the text that the assistant produces. In transformers they are a call
//! block of an extension; here they become `{% call __generation() %}` .. `{% endcall %}`, which has
//! the same whitespace rules and the same variable scope.

/// The function that the translated template calls with the block as `caller`.
pub(crate) const FUNCTION: &str = "__generation";

/// The translated source and the number of generation blocks in it.
///
/// Comments, `raw` blocks and string literals are left alone. A malformed template is passed on
/// unchanged from the place where it goes wrong: the parser reports it better.
pub(crate) fn translate(source: &str) -> (String, usize) {
    let mut out = String::with_capacity(source.len());
    let mut blocks = 0;
    let mut rest = source;
    while let Some(open) = rest.find('{') {
        let (before, tail) = rest.split_at(open);
        out.push_str(before);
        let length = match tail.as_bytes().get(1) {
            Some(b'#') => tail.find("#}").map(|end| end + 2),
            Some(b'{') => end_of_tag(tail, "}}"),
            Some(b'%') => match end_of_tag(tail, "%}") {
                Some(end) if keyword(&tail[..end]).1 == "raw" => end_of_raw(tail, end),
                end => end,
            },
            _ => Some(1),
        };
        let Some(length) = length else {
            out.push_str(tail);
            return (out, blocks);
        };
        let (tag, after) = tail.split_at(length);
        match keyword(tag) {
            (left, "generation", right) => {
                blocks += 1;
                out.push_str(&format!("{{%{left} call {FUNCTION}() {right}%}}"));
            }
            (left, "endgeneration", right) => {
                out.push_str(&format!("{{%{left} endcall {right}%}}"));
            }
            _ => out.push_str(tag),
        }
        rest = after;
    }
    out.push_str(rest);
    (out, blocks)
}

/// Splits a whole block tag into its left whitespace control, its content and its right control.
fn keyword(tag: &str) -> (&str, &str, &str) {
    let Some(inner) = tag.strip_prefix("{%").and_then(|t| t.strip_suffix("%}")) else {
        return ("", "", "");
    };
    let control = |c: Option<char>| usize::from(matches!(c, Some('-' | '+')));
    let (left, inner) = inner.split_at(control(inner.chars().next()));
    let (inner, right) = inner.split_at(inner.len() - control(inner.chars().next_back()));
    (left, inner.trim(), right)
}

/// The length of the tag that `text` starts with, strings in it skipped.
fn end_of_tag(text: &str, close: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut quote = None;
    let mut i = 2;
    while i < bytes.len() {
        match (quote, bytes[i]) {
            (Some(_), b'\\') => i += 1,
            (Some(q), b) if q == b => quote = None,
            (None, b @ (b'"' | b'\'')) => quote = Some(b),
            (None, _) if bytes[i..].starts_with(close.as_bytes()) => return Some(i + close.len()),
            _ => {}
        }
        i += 1;
    }
    None
}

/// The length of a whole raw block whose opening tag ends at `start`.
fn end_of_raw(text: &str, start: usize) -> Option<usize> {
    let mut from = start;
    loop {
        let open = from + text[from..].find("{%")?;
        let end = open + text[open..].find("%}")? + 2;
        if keyword(&text[open..end]).1 == "endraw" {
            return Some(end);
        }
        from = open + 2;
    }
}

#[cfg(test)]
mod tests {
    use super::translate;

    #[test]
    fn keeps_whitespace_control() {
        let (out, blocks) = translate("a{%- generation -%}b{% endgeneration +%}c");
        assert_eq!(out, "a{%- call __generation() -%}b{% endcall +%}c");
        assert_eq!(blocks, 1);
    }

    #[test]
    fn leaves_strings_comments_and_raw_alone() {
        let source = "{{ '{% generation %}' }}{# {% generation %} #}\
                      {% raw %}{% generation %}{%- endraw %}{ {% if x == '%}' %}{% endif %}";
        assert_eq!(translate(source), (source.to_owned(), 0));
    }

    #[test]
    fn passes_unfinished_tags_on() {
        for source in ["{% generation", "{{ 'x", "{#", "{", "{% raw %}{% end", "é{% generation"] {
            assert_eq!(translate(source), (source.to_owned(), 0));
        }
    }
}
