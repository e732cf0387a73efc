//! Pieces of markup. The page is HTML that is well-formed XML too: every element is closed, every attribute quoted.

use std::borrow::Cow;

/// Text as it may stand in an element or a quoted attribute. Control characters, which markup cannot hold, become �.
pub(crate) fn escaped(text: &str) -> Cow<'_, str> {
    let is_plain = |c: char| !matches!(c, '&' | '<' | '>' | '"' | '\'') && !is_forbidden(c);
    if text.chars().all(is_plain) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c if is_forbidden(c) => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    Cow::Owned(out)
}

fn is_forbidden(c: char) -> bool {
    (c.is_control() && !matches!(c, '\t' | '\n' | '\r')) || matches!(c, '\u{fffe}' | '\u{ffff}')
}

/// A section with a heading.
pub(crate) fn section(title: &str, body: &str) -> String {
    format!("<section>\n<h2>{}</h2>\n{body}</section>\n", escaped(title))
}

/// A paragraph of plain text.
pub(crate) fn paragraph(text: &str) -> String {
    format!("<p>{}</p>\n", escaped(text))
}

/// A list of plain texts; nothing for none.
pub(crate) fn list(items: &[String]) -> String {
    if items.is_empty() {
        return String::new();
    }
    let items: String = items
        .iter()
        .map(|item| format!("<li>{}</li>\n", escaped(item)))
        .collect();
    format!("<ul>\n{items}</ul>\n")
}

/// A table of plain texts with column heads. Wide ones scroll by themselves.
pub(crate) fn table(id: &str, heads: &[String], rows: &[Vec<String>]) -> String {
    let cells = |tag: &str, texts: &[String]| -> String {
        let cells: String = texts
            .iter()
            .map(|text| format!("<{tag}>{}</{}>", escaped(text), &tag[..2]))
            .collect();
        format!("<tr>{cells}</tr>\n")
    };
    let body: String = rows.iter().map(|row| cells("td", row)).collect();
    format!(
        "<div class=\"scroll\"><table id=\"{}\">\n<thead>\n{}</thead>\n<tbody>\n{body}</tbody>\n</table></div>\n",
        escaped(id),
        cells("th scope=\"col\"", heads)
    )
}

/// A number with some decimals; a dash for one that is not known.
pub(crate) fn number(value: Option<f64>, decimals: usize) -> String {
    match value.filter(|value| value.is_finite()) {
        Some(value) => format!("{value:.decimals$}"),
        None => "–".into(),
    }
}

/// A number with as many decimals as it needs, up to `most`.
pub(crate) fn short(value: f64, most: usize) -> String {
    let text = format!("{value:.most$}");
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_cannot_become_markup() {
        assert_eq!(
            escaped("--o a&b <script> \"x\" 'y'"),
            "--o a&amp;b &lt;script&gt; &quot;x&quot; &#39;y&#39;"
        );
        assert_eq!(escaped("a\u{0}\u{1b}[0m"), "a\u{fffd}\u{fffd}[0m");
        assert!(matches!(escaped("Å, half 1"), Cow::Borrowed(_)));
    }

    #[test]
    fn unknown_numbers_are_dashes() {
        assert_eq!(number(Some(1.25), 1), "1.2");
        assert_eq!(number(Some(f64::INFINITY), 1), "–");
        assert_eq!(number(None, 3), "–");
        assert_eq!(
            [short(7.5, 2), short(20.0, 2), short(100.0, 0)],
            ["7.5", "20", "100"]
        );
    }
}
