//! Options that hold in a continued run only where they are given again.

use crate::options::CommandLine;

/// Options that change results and hold in a continued run only when they are given again (spec 03 §3.2, "c!").
const TO_BE_REPEATED: [&str; 20] = [
    "--center_classes",
    "--lowpass_mask",
    "--lowpass",
    "--auto_iter_max",
    "--skip_align",
    "--skip_rotate",
    "--auto_ignore_angles",
    "--auto_resol_angles",
    "--allow_coarser_sampling",
    "--minimum_angular_sampling",
    "--maximum_angular_sampling",
    "--min_sigma2_offset",
    "--always_cc",
    "--dont_skip_gridding",
    "--gridding_iter",
    "--no_map",
    "--minres_map",
    "--sigma2_fudge",
    "--always_join_random_halves",
    "--use_all_data",
];

/// Returns a warning about options of the command line `before`, which the files of the run begin with, that `line` does not
/// repeat, although they hold only where they are repeated.
pub(crate) fn not_repeated(before: &str, line: &CommandLine) -> Option<String> {
    let had = |option: &&str| before.split_whitespace().any(|word| word == *option);
    let dropped: Vec<&str> = TO_BE_REPEATED
        .into_iter()
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
    use crate::options::{OnContinue, table};

    fn line(text: &str) -> CommandLine {
        CommandLine::parse(text.split_whitespace().map(String::from)).unwrap()
    }

    #[test]
    fn options_that_do_not_last_are_missed() {
        for option in TO_BE_REPEATED {
            let rule = table::find(option).unwrap().on_continue;
            assert_eq!(rule, OnContinue::FromCommandLine, "{option}");
        }
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
}
