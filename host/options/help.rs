//! The texts of `-h`, `--help` and `--help WORD`.

use super::entry::{Group, Kind, OptionEntry, Treatment};
use super::table;
use std::fmt::Write;

const NAME_WIDTH: usize = 34;
const LINE_WIDTH: usize = 100;
const USUAL_NAME_WIDTH: usize = 33;

/// How much of the option table is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Help {
    /// The options that a usual job has, on one screen.
    Usual,
    /// Every option that works.
    All,
    /// The working options with this word in their names or descriptions.
    Matching(String),
}

impl Help {
    /// Finds what help a command line asks for: an empty one, or `--continue` alone, for the usual options, as `-h` does;
    /// `--help` anywhere for all; either, followed by one last word, for what matches the word (spec 03 §3.1).
    pub fn wanted(words: &[String]) -> Option<Self> {
        if words.is_empty() || words == ["--continue"] {
            return Some(Help::Usual);
        }
        let at = words
            .iter()
            .position(|word| word == "--help" || word == "-h")?;
        match &words[at + 1..] {
            [word] if at == 0 || !word.starts_with('-') => Some(Help::Matching(word.clone())),
            _ if words[at] == "-h" => Some(Help::Usual),
            _ => Some(Help::All),
        }
    }

    /// Returns the text, which is empty where no working option matches the word.
    pub fn text(&self) -> String {
        match self {
            Help::Usual => usual(),
            Help::All => all(),
            Help::Matching(word) => matching(word),
        }
    }
}

/// Returns how many options match `word` and are refused.
pub(super) fn refused_matches(word: &str) -> usize {
    table::all()
        .filter(|entry| is_refused(entry) && matches(entry, word))
        .count()
}

fn is_refused(entry: &OptionEntry) -> bool {
    matches!(entry.treatment, Treatment::Refused(_))
}

fn matches(entry: &OptionEntry, word: &str) -> bool {
    let word = word.trim_start_matches('-').to_lowercase();
    entry.name.to_lowercase().contains(&word) || entry.meaning.to_lowercase().contains(&word)
}

fn usual() -> String {
    let mut text = String::from(
        "relion_refine: 2D and 3D classification, initial models and auto-refinement\n\
         relion_refine --i particles.star --o FOLDER/run [options]   [defaults in brackets]\n",
    );
    for group in Group::ALL {
        let rows = || table::all().filter(|entry| entry.group == group);
        if rows().all(|entry| entry.usual.is_none()) {
            continue;
        }
        let _ = writeln!(text, "{}:", group.title());
        for (entry, words) in rows().filter_map(|entry| Some((entry, entry.usual?))) {
            let head = format!("  {}", with_value(entry));
            let _ = writeln!(text, "{head:<USUAL_NAME_WIDTH$}{words}");
        }
    }
    text.push_str(
        "More:  --help  all options and an example of each job    --help WORD  those about it\n",
    );
    text
}

/// Complete command lines, one per job.
const EXAMPLES: &str = "\
    2D classes:     relion_refine --i particles.star --o Class2D/run --K 50 --iter 25 --tau2_fudge 2 --ctf --zero_mask \\\n  \
                      --flatten_solvent --center_classes --psi_step 12 --particle_diameter 200 --norm --scale\n\
    Initial model:  relion_refine --i particles.star --o InitialModel/run --grad --denovo_3dref --iter 200 --ctf --zero_mask \\\n  \
                      --flatten_solvent --healpix_order 1 --auto_sampling --tau2_fudge 4 --pad 1 --particle_diameter 200\n\
    3D classes:     relion_refine --i particles.star --o Class3D/run --ref map.mrc --ini_high 50 --K 3 --iter 25 --tau2_fudge 4 \\\n  \
                      --ctf --zero_mask --flatten_solvent --firstiter_cc --particle_diameter 200 --norm --scale\n\
    Refinement:     relion_refine --i particles.star --o Refine3D/run --ref map.mrc --ini_high 50 --auto_refine --ctf \\\n  \
                      --split_random_halves --zero_mask --flatten_solvent --firstiter_cc --low_resol_join_halves 40 \\\n  \
                      --particle_diameter 200 --norm --scale\n\
    Going on:       relion_refine --continue Refine3D/run_it010_optimiser.star\n";

fn all() -> String {
    let mut text = format!(
        "relion_refine: 2D and 3D classification, initial models and gold-standard auto-refinement of cryo-EM particles,\n\
         with RELION's options and files.\n\n{EXAMPLES}"
    );
    write_groups(&mut text, |entry| entry.treatment == Treatment::Works);
    let ignored: Vec<&str> = table::all()
        .filter(|entry| matches!(entry.treatment, Treatment::WithoutEffect(_)))
        .map(|entry| entry.name)
        .collect();
    text.push_str("\n====== Accepted without effect ======\n");
    for line in wrap(&ignored.join(" "), LINE_WIDTH) {
        let _ = writeln!(text, "{line}");
    }
    text.push_str(
        "\ndocs/options.md has the reasons, and the options of RELION that are refused.\n",
    );
    text
}

fn matching(word: &str) -> String {
    let mut text = String::new();
    write_groups(&mut text, |entry| {
        !is_refused(entry) && matches(entry, word)
    });
    text
}

/// Writes the options that `is_shown` picks, under the headings of their groups.
fn write_groups(text: &mut String, is_shown: impl Fn(&OptionEntry) -> bool) {
    for group in Group::ALL {
        let mut rows = table::all()
            .filter(|entry| entry.group == group && is_shown(entry))
            .peekable();
        if rows.peek().is_some() {
            let _ = writeln!(text, "\n====== {} ======", group.title());
        }
        for entry in rows {
            write_entry(text, entry);
        }
    }
}

/// Returns the option's name with what stands for its value.
fn with_value(entry: &OptionEntry) -> String {
    match entry.kind {
        Kind::Flag => entry.name.to_owned(),
        kind => format!("{} {}", entry.name, kind.placeholder()),
    }
}

fn write_entry(text: &mut String, entry: &OptionEntry) {
    let head = format!("  {}", with_value(entry));
    let mut body = String::from(entry.meaning);
    if !entry.default.is_empty() {
        let unit = if entry.unit.is_empty() { "" } else { " " };
        let _ = write!(body, " [{}{unit}{}]", entry.default, entry.unit);
    }
    let numbers = entry.range.stated();
    if !numbers.is_empty() && entry.treatment == Treatment::Works {
        let _ = write!(body, " ({numbers})");
    }
    if let Treatment::WithoutEffect(reason) = entry.treatment {
        let _ = write!(body, ". No effect: {reason}");
    }
    let lines = wrap(&body, LINE_WIDTH - NAME_WIDTH);
    for (number, line) in lines.iter().enumerate() {
        let left = if number == 0 { head.as_str() } else { "" };
        let _ = writeln!(text, "{left:<NAME_WIDTH$}{line}");
    }
}

/// Breaks a text at blanks into lines of at most `width` characters.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let last = lines.len() - 1;
        let line = &mut lines[last];
        if !line.is_empty() && line.chars().count() + 1 + word.chars().count() > width {
            lines.push(word.to_owned());
        } else {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::CommandLine;

    /// Whether an option heads a line.
    fn lists(text: &str, name: &str) -> bool {
        text.lines().any(|line| {
            line.strip_prefix("  ")
                .and_then(|line| line.strip_prefix(name))
                .is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
        })
    }

    #[test]
    fn the_usual_help_fits_one_screen() {
        let text = usual();
        assert!(text.lines().count() <= 52, "{text}");
        for line in text.lines() {
            assert!(line.chars().count() <= 84, "{line}");
        }
        let shown = table::all().filter(|entry| lists(&text, entry.name));
        assert_eq!(shown.count(), 40);
        for entry in table::all().filter(|entry| entry.usual.is_some()) {
            assert_eq!(entry.treatment, Treatment::Works, "{}", entry.name);
        }
    }

    #[test]
    fn help_has_every_option_that_works_and_none_that_is_refused() {
        let text = all();
        for entry in table::all() {
            let shown = lists(&text, entry.name);
            assert_eq!(shown, entry.treatment == Treatment::Works, "{}", entry.name);
            let named = text.split_whitespace().any(|word| word == entry.name);
            assert_eq!(named, !is_refused(entry), "{}", entry.name);
        }
    }

    #[test]
    fn examples_are_command_lines_that_are_accepted() {
        let text = EXAMPLES.replace("\\\n", " ");
        let mut count = 0;
        for line in text.lines() {
            let (_, command) = line.split_once("relion_refine ").unwrap();
            let words = command.split_whitespace().map(String::from);
            let line = CommandLine::parse(words).unwrap();
            assert!(line.warnings().is_empty() && line.notes().is_empty());
            count += 1;
        }
        assert_eq!(count, 5);
    }

    #[test]
    fn a_word_finds_names_and_descriptions() {
        let text = matching("Mask");
        for name in [
            "--solvent_mask",
            "--zero_mask",
            "--particle_diameter",
            "--maskedge",
        ] {
            assert!(lists(&text, name), "{name}: {text}");
        }
        assert!(!lists(&text, "--sym") && !text.contains("multibody"));
        assert!(matching("helix").is_empty() && refused_matches("helix") > 1);
        assert!(lists(&matching("--sym"), "--sym"));
    }

    #[test]
    fn what_is_asked_for() {
        let wanted = |text: &str| {
            let words: Vec<String> = text.split_whitespace().map(String::from).collect();
            Help::wanted(&words)
        };
        let on = |word: &str| Some(Help::Matching(word.to_owned()));
        for text in ["", "-h", "--continue", "--nonsense -h", "-h --i a.star"] {
            assert_eq!(wanted(text), Some(Help::Usual), "{text}");
        }
        for text in [
            "--help",
            "--i a.star --help",
            "--help --i a.star",
            "--ctf --help --norm",
        ] {
            assert_eq!(wanted(text), Some(Help::All), "{text}");
        }
        assert_eq!(wanted("--help mask"), on("mask"));
        assert_eq!(wanted("-h mask"), on("mask"));
        assert_eq!(wanted("--help --sym"), on("--sym"));
        assert_eq!(wanted("--i a.star --ctf"), None);
    }

    #[test]
    fn lines_are_short_enough_to_read() {
        for line in all().lines().skip(16) {
            assert!(line.chars().count() <= LINE_WIDTH + 8, "{line}");
        }
    }

    #[test]
    fn wrapping_loses_no_word() {
        assert_eq!(wrap("one two three", 7), ["one two", "three"]);
        assert_eq!(wrap("unbreakable", 3), ["unbreakable"]);
    }
}
