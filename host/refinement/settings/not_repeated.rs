//! Options that hold in a continued run only where they are given again.

use crate::formats::star::Document;
use crate::options::{CommandLine, Kind, OnContinue, table};
use std::path::Path;

/// Most parts of a run that are looked at, so that files that name each other end the search.
const MOST_PARTS: usize = 100;

/// Returns the command lines of a run, the newest first: `last`, which the files that are continued begin with, and those of the
/// runs that it continued, as far as their optimiser files are still there.
pub(crate) fn command_lines(last: &str) -> Vec<String> {
    let mut lines = vec![last.to_owned()];
    while lines.len() < MOST_PARTS {
        let newest = lines.last().map_or("", String::as_str);
        let Some(earlier) = value_of("--continue", newest).and_then(first_words) else {
            break;
        };
        lines.push(earlier);
    }
    lines
}

/// The command line that an optimiser file begins with.
fn first_words(file: &str) -> Option<String> {
    let document = Document::read(Path::new(file)).ok()?;
    document.header.get(1).map(|line| line.trim().to_owned())
}

/// The word after an option on a command line; a flag has an empty one. The last of repeated options counts.
fn value_of<'a>(option: &str, line: &'a str) -> Option<&'a str> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let at = words.iter().rposition(|word| *word == option)?;
    let is_flag = table::find(option).is_some_and(|entry| entry.kind == Kind::Flag);
    match words.get(at + 1) {
        Some(&value) if !is_flag => Some(value),
        _ => Some(""),
    }
}

/// Returns a warning about options of earlier command lines of the run (the newest first) that `line` does not repeat, although
/// they hold only where they are repeated.
pub(crate) fn not_repeated(before: &[String], line: &CommandLine) -> Option<String> {
    let newest = |option: &str| before.iter().find_map(|line| value_of(option, line));
    let dropped: Vec<String> = table::all()
        .filter(|entry| entry.on_continue == OnContinue::MustBeRepeated)
        .filter(|entry| !line.was_given(entry.name))
        .filter_map(|entry| Some((entry, newest(entry.name)?)))
        // Given with the value that it has when absent, an option is no loss.
        .filter(|(entry, value)| entry.kind == Kind::Flag || *value != entry.default)
        .map(|(entry, value)| (entry.name, value))
        .map(|(option, value)| format!("{option} {value}").trim_end().to_owned())
        .collect();
    let (last, others) = dropped.split_last()?;
    let (names, verb, is, it) = match others {
        [] => (last.clone(), "was", "is", "it"),
        _ => (
            format!("{} and {last}", others.join(", ")),
            "were",
            "are",
            "them",
        ),
    };
    Some(format!(
        "{names} {verb} given before, and here {is} not: as in RELION, the run goes on without. To go on as before, give {it} again."
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str) -> CommandLine {
        CommandLine::parse(text.split_whitespace().map(String::from)).unwrap()
    }

    fn missed(before: &str, now: &str) -> Option<String> {
        not_repeated(&[before.to_owned()], &line(now))
    }

    #[test]
    fn options_that_do_not_last_are_missed_with_their_values() {
        let again = "--continue r_it010_optimiser.star --iter 30 --center_classes";
        let before = "--i a.star --o r --center_classes --minres_map 7 --j 4";
        let text = missed(before, again).unwrap();
        assert!(
            text.starts_with("--minres_map 7 was given before"),
            "{text}"
        );
        assert_eq!(missed("--i a.star --o r --center_classes", again), None);
        let text = missed(before, "--continue r_it010_optimiser.star").unwrap();
        assert!(
            text.starts_with("--center_classes and --minres_map 7 were given"),
            "{text}"
        );
    }

    /// Maps made by another program would be followed by our own without a word.
    #[test]
    fn programs_that_make_maps_are_missed() {
        for option in ["--blush", "--external_reconstruct"] {
            let before = format!("--i a.star --o r {option} --gpu 0");
            let text = missed(&before, "--continue r_it010_optimiser.star").unwrap();
            assert!(
                text.starts_with(&format!("{option} was given before")),
                "{text}"
            );
        }
    }

    /// The run was continued twice before; its first part had options that the second had not, and another value of one.
    #[test]
    fn all_parts_of_a_run_are_looked_at() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, words: &str| {
            let path = folder.path().join(name);
            std::fs::write(
                &path,
                format!(
                    "# version\n# {words}\n\ndata_optimiser_general\n\n_rlnCurrentIteration 3\n"
                ),
            )
            .unwrap();
            path.display().to_string()
        };
        let first = write(
            "a_it003_optimiser.star",
            "--i a.star --o a --center_classes --minres_map 7 --skip_align",
        );
        let second = format!("--continue {first} --minres_map 8");
        let second_file = write("b_it003_optimiser.star", &second);
        let before = command_lines(&format!("--continue {second_file}"));
        assert_eq!(before.len(), 3, "{before:?}");
        assert_eq!(before[1], second);
        let text = not_repeated(
            &before,
            &line("--continue c_it005_optimiser.star --skip_align"),
        )
        .unwrap();
        assert!(
            text.starts_with("--center_classes and --minres_map 8 were given"),
            "{text}"
        );
        // A file that names itself ends the search.
        let circle = folder.path().join("c.star").display().to_string();
        write("c.star", &format!("--continue {circle}"));
        assert_eq!(
            command_lines(&format!("--continue {circle}")).len(),
            MOST_PARTS
        );
    }
}
