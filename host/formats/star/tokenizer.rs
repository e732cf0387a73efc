//! Splitting a line into tokens: blanks, quotes, comments (spec 03 §1.2).

use std::borrow::Cow;

/// Marks a quote character that does not close a quoted string.
pub(super) const BEL: char = '\x07';

/// Why a line could not be split, and the 1-based column where.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct OpenQuote {
    pub column: usize,
}

/// One token of a line.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Token<'a> {
    /// Text without quotes.
    pub text: Cow<'a, str>,
    /// 1-based byte column of its first character.
    pub column: usize,
    /// It was written in quotes (so `#`, `_` or `data_` at its start mean nothing special).
    pub quoted: bool,
}

/// The tokens of one line, up to a comment.
pub(super) struct Tokens<'a> {
    line: &'a str,
    position: usize,
}

/// Split `line` at blanks and tabs; a token that starts with `#` ends it.
pub(super) fn tokens(line: &str) -> Tokens<'_> {
    Tokens { line, position: 0 }
}

/// White space inside a line.
pub(super) fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | 0x0b | 0x0c)
}

impl<'a> Iterator for Tokens<'a> {
    type Item = Result<Token<'a>, OpenQuote>;

    fn next(&mut self) -> Option<Self::Item> {
        let bytes = self.line.as_bytes();
        let mut start = self.position;
        while start < bytes.len() && is_blank(bytes[start]) {
            start += 1;
        }
        self.position = start;
        let column = start + 1;
        match bytes.get(start) {
            None | Some(b'#') => {
                self.position = bytes.len();
                None
            }
            Some(&quote @ (b'"' | b'\'')) => {
                let body = start + 1;
                let closing = (body..bytes.len()).find(|&i| {
                    bytes[i] == quote
                        && bytes[i - 1] != BEL as u8
                        && bytes.get(i + 1).is_none_or(|&b| is_blank(b))
                });
                let Some(closing) = closing else {
                    self.position = bytes.len();
                    return Some(Err(OpenQuote { column }));
                };
                self.position = closing + 1;
                let raw = &self.line[body..closing];
                let text = if raw.contains(BEL) {
                    Cow::Owned(unescape(raw, quote as char))
                } else {
                    Cow::Borrowed(raw)
                };
                Some(Ok(Token {
                    text,
                    column,
                    quoted: true,
                }))
            }
            Some(_) => {
                let length = bytes[start..].iter().take_while(|&&b| !is_blank(b)).count();
                self.position = start + length;
                Some(Ok(Token {
                    text: Cow::Borrowed(&self.line[start..start + length]),
                    column,
                    quoted: false,
                }))
            }
        }
    }
}

/// Drop the BEL in front of inner quotes.
fn unescape(raw: &str, quote: char) -> String {
    let mut text = String::with_capacity(raw.len());
    let mut characters = raw.chars().peekable();
    while let Some(c) = characters.next() {
        if c != BEL || characters.peek() != Some(&quote) {
            text.push(c);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(line: &str) -> Vec<String> {
        tokens(line).map(|t| t.unwrap().text.into_owned()).collect()
    }

    #[test]
    fn blanks_tabs_and_comments_separate() {
        assert_eq!(texts("  a\tb  c#d # rest"), ["a", "b", "c#d"]);
        assert_eq!(texts("# all comment"), Vec::<String>::new());
        assert_eq!(texts(" \t "), Vec::<String>::new());
    }

    #[test]
    fn quotes_keep_blanks_and_close_only_before_white_space() {
        assert_eq!(texts(r#""a b" 'c "d' """#), ["a b", "c \"d", ""]);
        assert_eq!(texts(r#""say "hi"there" x"#), ["say \"hi\"there", "x"]);
        assert_eq!(texts("\"a\x07\" b\" c"), ["a\" b", "c"]);
        assert_eq!(texts(r##""# no comment" 5'"##), ["# no comment", "5'"]);
    }

    #[test]
    fn an_open_quote_names_its_column() {
        let error = tokens("a 'b c").nth(1).unwrap().unwrap_err();
        assert_eq!(error, OpenQuote { column: 3 });
    }
}
