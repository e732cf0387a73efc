//! The repository checks itself: sizes of files and functions, words that must not stay behind, unsafe code, unused
//! dependencies, generated pages, and the floors of `DESIGN.md`. Rust is read as syntax, not as lines.

mod citations;
mod dependencies;
mod floors;
mod lengths;
mod links;
mod pages;
mod shell;
mod sources;
mod unsafe_code;

use sources::sources;

#[test]
fn nothing_unfinished_stays_behind() {
    // Put together here, so that this file does not find itself.
    let words = [
        ["todo", "!("].concat(),
        ["unimplemented", "!("].concat(),
        ["dbg", "!("].concat(),
        ["FIX", "ME"].concat(),
    ];
    let found = places_of(&words, |_| true);
    assert!(found.is_empty(), "{}", found.join("\n"));
}

/// A test that lacks something asks `tests/material` for it, which counts it: no test is ignored, or says in words of its
/// own that it does nothing.
#[test]
fn tests_are_skipped_in_one_way() {
    let words = [
        ["#[", "ignore"].concat(),
        ["println!(\"", "skipped"].concat(),
        ["println!(\"", "SKIPPED"].concat(),
    ];
    let found = places_of(&words, |place| !place.starts_with("tests/material/"));
    assert!(found.is_empty(), "{}", found.join("\n"));
}

/// Lines with one of `words` in the files that `is_read` picks.
fn places_of(words: &[String], is_read: impl Fn(&str) -> bool) -> Vec<String> {
    let mut found = Vec::new();
    for source in sources().iter().filter(|source| is_read(&source.place())) {
        for (number, line) in source.text.lines().enumerate() {
            for word in words.iter().filter(|word| line.contains(word.as_str())) {
                found.push(format!("{}:{}: {word}", source.place(), number + 1));
            }
        }
    }
    found
}
