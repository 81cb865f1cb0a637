//! The report as one HTML page.

use super::Report;
use super::page::Page;
use super::sections;
use crate::Result;

const STYLE: &str = include_str!("style.css");

/// What the page may do: show its own styles, and nothing else. No script runs and nothing is loaded, even if markup
/// got in.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'";

impl Report {
    /// The report as one HTML page that needs nothing else.
    ///
    /// # Errors
    /// As [`check`](Self::check).
    pub fn to_html(&self) -> Result<String> {
        self.check()?;
        let mut page = Page::default();
        page.raw("<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n")
            .raw("<meta http-equiv=\"Content-Security-Policy\" content=\"")
            .text(POLICY)
            .raw("\">\n<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n")
            .raw("<meta name=\"color-scheme\" content=\"light dark\">\n")
            .element("title", &self.title)
            .raw("<style>\n")
            .raw(STYLE)
            .raw("</style>\n</head>\n<body>\n");
        self.head(&mut page);
        page.raw("<main>\n");
        sections::summary(self, &mut page);
        for (title, _, write) in sections::ALL.iter().filter(|section| section.1(self)) {
            page.raw("<section id=\"").raw(&anchor(title)).raw("\">\n").element("h2", title);
            write(self, &mut page)?;
            page.raw("</section>\n");
        }
        page.raw("</main>\n<footer>").text(&format!("nexus {}", self.nexus_version));
        if let Some(created) = &self.created {
            page.text(&format!(", {created}"));
        }
        page.raw("</footer>\n</body>\n</html>\n");
        Ok(page.finish())
    }

    fn head(&self, page: &mut Page) {
        let count = match self.models.len() {
            1 => "Evaluation of one model".into(),
            n => format!("Evaluation of {n} models"),
        };
        page.raw("<header>\n").paragraph("eyebrow", &count).element("h1", &self.title);
        page.raw("<nav aria-label=\"Sections\">\n");
        for (title, _, _) in sections::ALL.iter().filter(|section| section.1(self)) {
            page.raw("<a href=\"#").raw(&anchor(title)).raw("\">").text(title).raw("</a>\n");
        }
        page.raw("</nav>\n</header>\n");
    }
}

/// The section's name in links.
fn anchor(title: &str) -> String {
    title.to_lowercase().replace(' ', "-")
}
