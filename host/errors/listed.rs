//! Long texts and long lists, shortened for messages.

/// Words of a list that a message shows; a STAR file by mistake can have a million.
const MOST_WORDS: usize = 64;

/// Characters of a text that a message shows.
const LONGEST: usize = 60;

/// Returns the beginning of a text, for messages.
pub fn shortened(text: &str) -> String {
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_string(),
    }
}

/// Joins the words of a list for a message; of a long list the first ones and the number of the others.
pub fn listed<'a>(words: impl IntoIterator<Item = &'a str>, separator: &str) -> String {
    let mut words = words.into_iter();
    let shown: Vec<String> = words.by_ref().take(MOST_WORDS).map(shortened).collect();
    let shown = shown.join(separator);
    match words.count() {
        0 => shown,
        more => format!("{shown}{separator}… and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_usual_length_are_whole_and_long_ones_are_counted() {
        assert_eq!(listed(["a", "b"], ", "), "a, b");
        assert_eq!(listed([], ", "), "");
        let many = vec!["label"; 1_000_000];
        let text = listed(many, " ");
        assert!(text.len() < 500, "{}", text.len());
        assert!(text.ends_with("label … and 999936 more"), "{text}");
    }

    #[test]
    fn words_are_shortened_at_a_character() {
        assert_eq!(shortened(&"å".repeat(60)), "å".repeat(60));
        assert_eq!(shortened(&"å".repeat(61)), format!("{}…", "å".repeat(60)));
        assert!(listed([&*"x".repeat(1 << 20)], " ").len() < 100);
    }
}
