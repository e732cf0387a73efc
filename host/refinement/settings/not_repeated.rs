//! Options that hold in a continued run only where they are given again.

use crate::options::{CommandLine, OnContinue, table};

/// Returns a warning about options of the command line `before`, which the files of the run begin with, that `line` does not
/// repeat, although they hold only where they are repeated.
pub(crate) fn not_repeated(before: &str, line: &CommandLine) -> Option<String> {
    let had = |option: &&str| before.split_whitespace().any(|word| word == *option);
    let dropped: Vec<&str> = table::all()
        .filter(|entry| entry.on_continue == OnContinue::MustBeRepeated)
        .map(|entry| entry.name)
        .filter(had)
        .filter(|option| !line.was_given(option))
        .collect();
    let (last, others) = dropped.split_last()?;
    let (names, verb) = match others {
        [] => ((*last).to_owned(), "was"),
        _ => (format!("{} and {last}", others.join(", ")), "were"),
    };
    Some(format!(
        "{names} {verb} given before, and here {} not: as in RELION, the run goes on without. To go on as before, give {} again.",
        if others.is_empty() { "is" } else { "are" },
        if others.is_empty() { "it" } else { "them" },
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str) -> CommandLine {
        CommandLine::parse(text.split_whitespace().map(String::from)).unwrap()
    }

    #[test]
    fn options_that_do_not_last_are_missed() {
        let again = line("--continue r_it010_optimiser.star --iter 30 --center_classes");
        let before = "--i a.star --o r --center_classes --minres_map 7 --j 4";
        let text = not_repeated(before, &again).unwrap();
        assert!(text.starts_with("--minres_map was given before"), "{text}");
        assert_eq!(
            not_repeated("--i a.star --o r --center_classes", &again),
            None
        );
        let bare = line("--continue r_it010_optimiser.star");
        let text = not_repeated(before, &bare).unwrap();
        assert!(
            text.starts_with("--center_classes and --minres_map were given"),
            "{text}"
        );
    }

    /// Maps made by another program would be followed by our own without a word.
    #[test]
    fn programs_that_make_maps_are_missed() {
        let bare = line("--continue r_it010_optimiser.star");
        for option in ["--blush", "--external_reconstruct"] {
            let text = not_repeated(&format!("--i a.star --o r {option} --gpu 0"), &bare).unwrap();
            assert!(
                text.starts_with(&format!("{option} was given before")),
                "{text}"
            );
        }
    }
}
