//! HTML, every text of it escaped.

/// A text as it may stand in HTML, between tags and in attributes. Control characters that HTML forbids become U+FFFD.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            '\n' | '\t' => escaped.push(letter),
            // Marks that turn the direction of writing could make text look like another.
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => escaped.push('\u{fffd}'),
            control if control.is_control() => escaped.push('\u{fffd}'),
            other => escaped.push(other),
        }
    }
    escaped
}

/// A cell of a table.
#[derive(Clone, Debug)]
pub(super) enum Cell {
    /// Names the row.
    Head(String),
    /// Text.
    Text(String),
    /// A number; set to the right.
    Number(String),
    /// A word with a colour: `good`, `bad`, `warn` or `plain`.
    Badge(&'static str, String),
}

/// Markup that grows from the top to the bottom.
#[derive(Default)]
pub(super) struct Page {
    html: String,
}

impl Page {
    /// Markup that is known to be right.
    pub(super) fn raw(&mut self, markup: &str) -> &mut Self {
        self.html.push_str(markup);
        self
    }

    /// Text, escaped.
    pub(super) fn text(&mut self, text: &str) -> &mut Self {
        self.html.push_str(&escape(text));
        self
    }

    /// An element of text.
    pub(super) fn element(&mut self, tag: &str, text: &str) -> &mut Self {
        self.raw("<").raw(tag).raw(">").text(text).raw("</").raw(tag).raw(">\n")
    }

    /// A paragraph of a class.
    pub(super) fn paragraph(&mut self, class: &str, text: &str) -> &mut Self {
        self.raw("<p class=\"").raw(class).raw("\">").text(text).raw("</p>\n")
    }

    /// A word with a colour.
    pub(super) fn badge(&mut self, kind: &str, text: &str) -> &mut Self {
        self.raw("<span class=\"badge ").raw(kind).raw("\">").text(text).raw("</span>")
    }

    /// A table that scrolls sideways within itself where it is too wide.
    pub(super) fn table(
        &mut self,
        caption: &str,
        header: &[&str],
        rows: &[Vec<Cell>],
    ) -> &mut Self {
        self.raw("<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"")
            .text(caption)
            .raw("\"><table>\n<caption>")
            .text(caption)
            .raw("</caption>\n<thead><tr>");
        for (i, title) in header.iter().enumerate() {
            let number =
                rows.first().is_some_and(|row| matches!(row.get(i), Some(Cell::Number(_))));
            self.raw(if number {
                "<th scope=\"col\" class=\"number\">"
            } else {
                "<th scope=\"col\">"
            });
            self.text(title).raw("</th>");
        }
        self.raw("</tr></thead>\n<tbody>\n");
        for row in rows {
            self.raw("<tr>");
            for cell in row {
                match cell {
                    Cell::Head(text) => self.raw("<th scope=\"row\">").text(text).raw("</th>"),
                    Cell::Text(text) => self.raw("<td>").text(text).raw("</td>"),
                    Cell::Number(text) => self.raw("<td class=\"number\">").text(text).raw("</td>"),
                    Cell::Badge(kind, text) => self.raw("<td>").badge(kind, text).raw("</td>"),
                };
            }
            self.raw("</tr>\n");
        }
        self.raw("</tbody></table></div>\n")
    }

    /// A plot with its caption.
    pub(super) fn figure(&mut self, svg: &str, caption: &str) -> &mut Self {
        self.raw("<figure>")
            .raw(svg)
            .raw("<figcaption>")
            .text(caption)
            .raw("</figcaption></figure>\n")
    }

    pub(super) fn finish(self) -> String {
        self.html
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_gets_through() {
        assert_eq!(escape("<script>\"'&"), "&lt;script&gt;&quot;&#39;&amp;");
        assert_eq!(escape("a\u{0}b\u{202e}c\u{1b}"), "a\u{fffd}b\u{fffd}c\u{fffd}");
        let mut page = Page::default();
        let hostile = "</td><img src=x onerror=alert(1)>";
        page.table(hostile, &[hostile], &[vec![Cell::Head(hostile.into())]]);
        page.figure("", hostile).badge("good", hostile).paragraph("note", hostile);
        assert!(!page.finish().contains("<img"));
    }
}
