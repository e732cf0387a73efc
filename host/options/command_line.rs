//! RELION's command-line syntax, read with the option table (spec 03 §3.1).

use super::entry::{Kind, OnContinue, OptionEntry, Treatment};
use super::error::OptionsError;
use super::help::{Help, refused_matches};
use super::table;
use super::values::{check_value, is_default, parse_bytes, parse_integer, parse_real};
use std::collections::HashMap;

/// Task that a command line asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// Start or continue a run.
    Run,
    /// Print a help text (also for an empty command line).
    Help(Help),
    /// Print the version.
    Version,
    /// Print the operators of `--sym`.
    SymmetryOperators,
    /// Print the labels of metadata tables.
    MetadataLabels,
}

/// A command line that has been checked word by word: every option is in the table and none is refused, every number
/// is a number. Getters panic only for names that are not in the table, which is a mistake in this program.
#[derive(Debug, Clone)]
pub struct CommandLine {
    given: HashMap<&'static str, String>,
    joined: String,
    request: Request,
    warnings: Vec<String>,
    notes: Vec<String>,
}

impl CommandLine {
    /// Read the words after the program name. An option's value is the next word; the last of repeated options wins;
    /// flags may stand anywhere.
    ///
    /// # Errors
    /// Words that begin with a dash and are no options, options without their value, values that are not numbers
    /// where numbers are needed, refused options.
    pub fn parse(arguments: impl IntoIterator<Item = String>) -> Result<Self, OptionsError> {
        let words: Vec<String> = arguments.into_iter().collect();
        let mut line = CommandLine {
            given: HashMap::new(),
            joined: words.join(" "),
            request: Request::Run,
            warnings: Vec::new(),
            notes: Vec::new(),
        };
        if let Some(help) = Help::wanted(&words) {
            if let Help::Matching(word) = &help
                && help.text().is_empty()
            {
                return Err(OptionsError::NothingMatches {
                    word: word.clone(),
                    refused: refused_matches(word),
                });
            }
            line.request = Request::Help(help);
            return Ok(line);
        }
        let mut words = words.into_iter().peekable();
        while let Some(word) = words.next() {
            let Some(entry) = table::find(&word) else {
                line.stray_word(word)?;
                continue;
            };
            let value = line.value_of(entry, &mut words)?;
            if let Some(value) = value
                && line.given.insert(entry.name, value).is_some()
            {
                line.warnings.push(format!(
                    "Command-line option {} was specified more than once. The value specified the last is used.",
                    entry.name
                ));
            }
        }
        line.refuse()?;
        line.note_options_without_effect();
        line.request = if line.flag("--version") {
            Request::Version
        } else if line.flag("--print_symmetry_ops") {
            Request::SymmetryOperators
        } else if line.flag("--print_metadata_labels") {
            Request::MetadataLabels
        } else {
            Request::Run
        };
        Ok(line)
    }

    /// A word that is no option and no value: an error if it looks like an option, else a warning.
    fn stray_word(&mut self, word: String) -> Result<(), OptionsError> {
        // Dashes of typesetting come with command lines copied out of documents.
        if is_dashes(&word) {
            return Err(OptionsError::DashesAlone { word });
        }
        if word.starts_with(DASHES) {
            let nearest = table::nearest(&word);
            return Err(OptionsError::Unknown { word, nearest });
        }
        self.warnings.push(format!(
            "the word '{word}' belongs to no option and is ignored; values are single words, so quote names with blanks"
        ));
        Ok(())
    }

    /// The word after an option; None when the option is the last word, and its default holds.
    fn value_of(
        &mut self,
        entry: &'static OptionEntry,
        words: &mut std::iter::Peekable<std::vec::IntoIter<String>>,
    ) -> Result<Option<String>, OptionsError> {
        if entry.kind == Kind::Flag {
            return Ok(Some(String::new()));
        }
        match words.peek() {
            Some(next) if is_dashes(next) && next != "-" => {
                Err(OptionsError::DashesAlone { word: next.clone() })
            }
            Some(next) if next.starts_with("--") => match entry.kind {
                Kind::OptionalText => Ok(Some(String::new())),
                _ => Err(OptionsError::MissingValue {
                    option: entry.name,
                    next: next.clone(),
                    placeholder: entry.kind.placeholder(),
                }),
            },
            Some(_) => {
                let value = words.next().unwrap_or_default();
                check_value(entry, &value)?;
                Ok(Some(value))
            }
            None if entry.kind == Kind::OptionalText => Ok(Some(String::new())),
            None => {
                self.warnings.push(format!(
                    "{} stands last and has no value; its default '{}' is used",
                    entry.name, entry.default
                ));
                Ok(None)
            }
        }
    }

    /// Stop at refused options. Given with the value it has when absent, an option asks for nothing.
    fn refuse(&self) -> Result<(), OptionsError> {
        for entry in table::all() {
            if let Treatment::Refused(reason) = entry.treatment
                && let Some(value) = self.given.get(entry.name)
                && !(entry.kind != Kind::Flag && is_default(entry, value))
            {
                return Err(OptionsError::Refused {
                    option: entry.name,
                    reason,
                });
            }
        }
        Ok(())
    }

    fn note_options_without_effect(&mut self) {
        let continuing = self.was_given("--continue");
        for entry in table::all().filter(|entry| self.given.contains_key(entry.name)) {
            if let Treatment::WithoutEffect(reason) = entry.treatment
                && self.given.get(entry.name).is_some_and(|v| {
                    entry.kind == Kind::Flag || !is_default(entry, v) || v.is_empty()
                })
            {
                self.notes
                    .push(format!("{} has no effect: {reason}", entry.name));
            }
            if let Some(other) = entry.needs.filter(|other| !self.given.contains_key(other)) {
                self.warnings.push(format!(
                    "{} has an effect only together with {other}; it is ignored",
                    entry.name
                ));
            }
            match entry.on_continue {
                OnContinue::FromFile if continuing && entry.treatment == Treatment::Works => {
                    self.warnings.push(format!(
                        "{} is taken from the optimiser file when a run is continued; the one given is ignored",
                        entry.name
                    ));
                }
                OnContinue::StartOnly if continuing && entry.treatment == Treatment::Works => {
                    self.warnings.push(format!(
                        "{} has an effect at the start of a run only; it is ignored when the run is continued",
                        entry.name
                    ));
                }
                OnContinue::ContinueOnly if !continuing => self.warnings.push(format!(
                    "{} has a meaning only together with --continue; it is ignored",
                    entry.name
                )),
                _ => {}
            }
        }
    }

    /// Returns the request of the command line.
    pub fn request(&self) -> &Request {
        &self.request
    }

    /// Returns warnings about possible mistakes of the user: repeated options, stray words, options that a continued run ignores.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Options on the line that change nothing here, each with the reason.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// The words as given, joined by blanks.
    pub fn joined(&self) -> &str {
        &self.joined
    }

    /// Whether the option stands on the command line.
    pub fn was_given(&self, name: &'static str) -> bool {
        self.given.contains_key(row(name).name)
    }

    /// Whether a flag is on.
    pub fn flag(&self, name: &'static str) -> bool {
        self.was_given(name)
    }

    /// The value as a word: the one given, or the default.
    pub fn text(&self, name: &'static str) -> &str {
        let entry = row(name);
        self.given.get(name).map_or(entry.default, String::as_str)
    }

    /// The word given; None when absent, empty or RELION's "None".
    pub fn name_given(&self, name: &'static str) -> Option<&str> {
        Some(self.text(name)).filter(|word| !word.is_empty() && *word != "None")
    }

    /// The value of a numeric option.
    pub fn real(&self, name: &'static str) -> f64 {
        let text = self.text(name);
        parse_real(text).unwrap_or_else(|| unreachable!("{name} was checked: {text}"))
    }

    /// The value of a numeric option, if it is above zero (RELION's "−1 is off").
    pub fn positive(&self, name: &'static str) -> Option<f64> {
        Some(self.real(name)).filter(|value| *value > 0.0)
    }

    /// The value of an option of whole numbers.
    pub fn integer(&self, name: &'static str) -> i64 {
        let text = self.text(name);
        parse_integer(text).unwrap_or_else(|| unreachable!("{name} was checked: {text}"))
    }

    /// The value of an option of whole numbers that are not negative.
    pub fn count(&self, name: &'static str) -> usize {
        usize::try_from(self.integer(name))
            .unwrap_or_else(|_| unreachable!("{name} has a range without negative numbers"))
    }

    /// The same, or None for the −1 that stands for "off" or the default.
    pub fn optional_count(&self, name: &'static str) -> Option<usize> {
        usize::try_from(self.integer(name)).ok()
    }

    /// Returns an error: the value of an option is not possible, and why.
    pub fn impossible(&self, name: &'static str, reason: &str) -> OptionsError {
        OptionsError::OutOfRange {
            option: name,
            value: self.text(name).to_owned(),
            reason: reason.to_owned(),
        }
    }

    /// The value of an option of bytes; None when absent.
    pub fn bytes(&self, name: &'static str) -> Option<u64> {
        parse_bytes(self.text(name))
    }
}

fn row(name: &'static str) -> &'static OptionEntry {
    table::find(name).unwrap_or_else(|| unreachable!("{name} is not in the option table"))
}

/// Dashes that begin a word, those of typesetting among them.
const DASHES: [char; 4] = ['-', '–', '—', '−'];

/// Returns whether a word consists of dashes only.
fn is_dashes(word: &str) -> bool {
    !word.is_empty() && word.chars().all(|c| DASHES.contains(&c))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(text: &str) -> Result<CommandLine, OptionsError> {
        CommandLine::parse(text.split_whitespace().map(String::from))
    }

    fn message(text: &str) -> String {
        parse(text).expect_err("must be refused").to_string()
    }

    #[test]
    fn values_are_the_next_word_and_absent_options_have_their_default() {
        let line = parse("--i a.star --o b/run --K 4 --ctf --perturb 0 --psi_step -1").unwrap();
        assert_eq!(line.text("--i"), "a.star");
        assert_eq!(line.integer("--K"), 4);
        assert!(line.flag("--ctf") && !line.flag("--norm"));
        assert_eq!(line.real("--perturb"), 0.0);
        assert_eq!(line.real("--offset_range"), 6.0);
        assert_eq!(line.positive("--psi_step"), None);
        assert_eq!(line.name_given("--solvent_mask"), None);
        assert!(line.warnings().is_empty());
    }

    #[test]
    fn the_last_of_repeated_options_wins_with_a_warning() {
        let line = parse("--K 2 --K 3").unwrap();
        assert_eq!(line.integer("--K"), 3);
        assert_eq!(
            line.warnings(),
            [
                "Command-line option --K was specified more than once. The value specified the last is used."
            ]
        );
    }

    #[test]
    fn unknown_options_are_errors_that_name_the_nearest_one() {
        assert_eq!(
            message("--i a.star --flaten_solvent"),
            "--flaten_solvent is not an option of relion_refine; did you mean --flatten_solvent? All options are listed by --help"
        );
        assert!(
            message("-- firstiter_cc")
                .starts_with("the word '--' has no option name after its dashes")
        );
        assert!(message("–ctf").contains("did you mean --ctf?"));
        assert!(message("-auto_refine").contains("did you mean --auto_refine?"));
    }

    #[test]
    fn an_option_is_not_taken_for_a_value() {
        assert_eq!(
            message("--iter --K 3"),
            "--iter needs a value, but the next word is the option --K. Write: --iter N"
        );
    }

    #[test]
    fn numbers_are_checked_and_named() {
        assert_eq!(
            message("--K three"),
            "--K needs a whole number, but its value is 'three'; write the number alone, without a unit"
        );
        assert_eq!(
            message("--K 2.5"),
            "--K needs a whole number, but its value is '2.5'; write the number alone, without a unit"
        );
        assert_eq!(
            message("--random_seed 99999999999"),
            "--random_seed needs a whole number of at most 2147483647, but its value is '99999999999'; write the number alone, \
             without a unit"
        );
        assert_eq!(
            message("--ini_high 60A"),
            "--ini_high needs a number, but its value is '60A'; write the number alone, without a unit"
        );
        assert!(message("--ini_high nan").contains("needs a number"));
        assert_eq!(parse("--iter 25.0").unwrap().integer("--iter"), 25);
    }

    #[test]
    fn gpu_takes_a_value_or_none() {
        for (text, value) in [
            ("--gpu --ctf", ""),
            ("--ctf --gpu", ""),
            ("--gpu 0:1 --ctf", "0:1"),
        ] {
            let line = parse(text).unwrap();
            assert!(line.was_given("--gpu") && line.flag("--ctf"));
            assert_eq!(line.text("--gpu"), value);
        }
    }

    #[test]
    fn refused_options_say_why_unless_they_ask_for_nothing() {
        assert_eq!(
            message("--helix"),
            "--helix is not supported by this program: helical processing is not part of this program; use RELION for helices"
        );
        assert!(parse("--local_symmetry None --helical_nr_asu 1 --mu 0.90").is_ok());
        assert!(parse("--helical_nr_asu 2").is_err());
    }

    #[test]
    fn options_without_effect_are_noted_with_the_reason() {
        let line = parse("--i a.star --memory_per_thread 8 --pool 1").unwrap();
        assert_eq!(
            line.notes(),
            ["--memory_per_thread has no effect: memory is planned from what the run needs"]
        );
        assert!(line.warnings().is_empty());
    }

    #[test]
    fn options_that_need_another_one_are_told_without_it() {
        let line = parse("--i a.star --keep_scratch --lowpass 20").unwrap();
        assert_eq!(
            line.warnings(),
            [
                "--lowpass has an effect only together with --lowpass_mask; it is ignored",
                "--keep_scratch has an effect only together with --scratch_dir; it is ignored"
            ]
        );
        let line = parse("--i a.star --keep_scratch --scratch_dir /tmp").unwrap();
        assert!(line.warnings().is_empty());
    }

    #[test]
    fn help_comes_before_errors() {
        for text in [
            "",
            "--help",
            "-h",
            "--nonsense --help",
            "--continue",
            "--help mask",
        ] {
            let request = parse(text).unwrap().request().clone();
            assert!(matches!(request, Request::Help(_)), "{text}");
        }
        assert_eq!(
            message("--help xyzzy"),
            "no option has 'xyzzy' in its name or description; relion_refine --help lists all options"
        );
        assert!(
            message("--help helix")
                .contains("options that this program refuses have: docs/options.md says why")
        );
        assert_eq!(*parse("--version").unwrap().request(), Request::Version);
        assert_eq!(
            *parse("--print_symmetry_ops --sym D2").unwrap().request(),
            Request::SymmetryOperators
        );
    }

    #[test]
    fn options_kept_by_the_optimiser_file_are_noted_on_continue() {
        let line = parse("--continue run_it010_optimiser.star --zero_mask --iter 30").unwrap();
        assert_eq!(line.warnings().len(), 1);
        assert!(line.warnings()[0].starts_with("--zero_mask is taken from the optimiser file"));
        let line = parse("--i a.star --force_converge").unwrap();
        assert!(line.warnings()[0].contains("only together with --continue"));
    }

    proptest! {
        /// Whatever the words, the parser answers and does not panic, and what it accepts can be read back.
        #[test]
        fn any_words_are_answered(words in proptest::collection::vec("(--)?[a-zA-Z0-9_.-]{0,12}", 0..8)) {
            if let Ok(line) = CommandLine::parse(words) {
                for entry in table::all() {
                    match entry.kind {
                        Kind::Integer => { line.integer(entry.name); }
                        Kind::Real => { line.real(entry.name); }
                        _ => { line.text(entry.name); }
                    }
                }
            }
        }

        #[test]
        fn numbers_come_back_as_given(value in 0.001f64..1e6) {
            let line = CommandLine::parse(["--tau2_fudge".into(), format!("{value}")]).unwrap();
            prop_assert_eq!(line.real("--tau2_fudge"), value);
        }
    }
}
