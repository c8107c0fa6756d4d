//! A text of HTML, in which markup and values cannot be mistaken for each other: markup is part of
//! this program, and every value is escaped.

use std::fmt::{self, Display, Write};

/// The text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Html(String);

impl Html {
    /// Adds markup.
    pub fn tag(&mut self, markup: &'static str) -> &mut Self {
        self.0.push_str(markup);
        self
    }

    /// Adds a value, as a text or within the quotes of an attribute.
    pub fn text(&mut self, value: impl Display) -> &mut Self {
        // Writing to a string cannot fail.
        let _ = write!(Escaped(&mut self.0), "{value}");
        self
    }

    /// Adds a value between markup.
    pub fn put(
        &mut self,
        before: &'static str,
        value: impl Display,
        after: &'static str,
    ) -> &mut Self {
        self.tag(before).text(value).tag(after)
    }

    /// The whole text.
    pub fn into_string(self) -> String {
        self.0
    }
}

struct Escaped<'at>(&'at mut String);

impl Write for Escaped<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for letter in text.chars() {
            match letter {
                '&' => self.0.push_str("&amp;"),
                '<' => self.0.push_str("&lt;"),
                '>' => self.0.push_str("&gt;"),
                '"' => self.0.push_str("&quot;"),
                '\'' => self.0.push_str("&#39;"),
                other => self.0.push(other),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_never_markup() {
        let mut html = Html::default();
        html.put("<a title=\"", "\"'><script>&", "\">").text(7).tag("</a>");
        assert_eq!(
            html.into_string(),
            "<a title=\"&quot;&#39;&gt;&lt;script&gt;&amp;\">7</a>"
        );
    }
}
