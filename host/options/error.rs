//! Errors of a command line.

use crate::errors::{Code, Coded, shell_word};
use std::path::PathBuf;

/// An error of the command line; the text says which option, why, and what to try.
#[derive(Debug, thiserror::Error)]
pub enum OptionsError {
    /// A word that begins with a dash and is no option.
    #[error("{word} is not an option of relion_refine{} All options are listed by --help",
        nearest.map_or(".".to_owned(), |name| format!("; did you mean {name}?")))]
    Unknown {
        /// The word as given.
        word: String,
        /// The option with the most similar name, if any is similar.
        nearest: Option<&'static str>,
    },
    /// `--help WORD` with a word that no working option has.
    #[error("no option has '{word}' in its name or description{}; relion_refine --help lists all options",
        match refused { 0 => String::new(), n => format!(", but {n} options that this program refuses have: docs/options.md says why") })]
    NothingMatches {
        /// The word as given.
        word: String,
        /// How many refused options have it.
        refused: usize,
    },
    /// Dashes without a name.
    #[error(
        "the word '{word}' has no option name after its dashes. Remove the blank between the dashes and the name, or \
         remove the dashes"
    )]
    DashesAlone {
        /// The word as given.
        word: String,
    },
    /// An option that needs a value stands before another option.
    #[error(
        "{option} needs a value, but the next word is the option {next}. Write: {option} {placeholder}"
    )]
    MissingValue {
        /// The option.
        option: &'static str,
        /// The word found.
        next: String,
        /// Placeholder of the value in the help.
        placeholder: &'static str,
    },
    /// The value is not a number, or not of the right kind.
    #[error(
        "{option} needs {expected}, but its value is '{value}'; write the number alone, without a unit"
    )]
    NotANumber {
        /// The option.
        option: &'static str,
        /// "a whole number", …
        expected: &'static str,
        /// The word found.
        value: String,
    },
    /// The value is a number, but not a possible one.
    #[error("{option} {value} is not possible: {reason}")]
    OutOfRange {
        /// The option.
        option: &'static str,
        /// The value found.
        value: String,
        /// Rule that the value breaks.
        reason: String,
    },
    /// An option whose meaning this program does not have.
    #[error("{option} is not supported by this program: {reason}")]
    Refused {
        /// The option.
        option: &'static str,
        /// Why, and what to use instead.
        reason: &'static str,
    },
    /// A needed option is absent.
    #[error(
        "{missing} missing: a new run needs both --i (particle STAR file) and --o (output root); \
             a continued one needs --continue (an _optimiser.star file)"
    )]
    InputOrOutputMissing {
        /// "--i is", "--o is" or "--i and --o are".
        missing: &'static str,
    },
    /// No starting reference.
    #[error(
        "--ref is missing: the refinement of half-sets starts from a map (MRC, or SPIDER .dat/.spi). Make one from the particles \
             with --denovo_3dref, without --auto_refine, first"
    )]
    ReferenceMissing,
    /// Two options exclude each other.
    #[error("{0}")]
    Combination(String),
    /// The folder of `--o` is not there.
    #[error("the output folder {} of --o {root} does not exist; make it first: mkdir -p {}",
        folder.display(), shell_word(folder))]
    OutputFolderMissing {
        /// Folder part of the root.
        folder: PathBuf,
        /// `--o`.
        root: String,
    },
    /// The folder of `--o` is there but nothing can be written into it.
    #[error("cannot write into the output folder {} of --o {root}: {source}; check its permissions and the free disk space",
        folder.display())]
    OutputFolderNotWritable {
        /// Folder part of the root.
        folder: PathBuf,
        /// `--o`.
        root: String,
        /// Error of the system.
        source: std::io::Error,
    },
}

impl Coded for OptionsError {
    fn code(&self) -> Code {
        match self {
            Self::Unknown { .. } | Self::NothingMatches { .. } | Self::DashesAlone { .. } => {
                Code::UNKNOWN_OPTION
            }
            Self::MissingValue { .. } => Code::MISSING_VALUE,
            Self::NotANumber { .. } | Self::OutOfRange { .. } => Code::BAD_VALUE,
            Self::Refused { .. } => Code::UNSUPPORTED_OPTION,
            Self::InputOrOutputMissing { .. } | Self::ReferenceMissing => Code::MISSING_OPTION,
            Self::Combination(_) => Code::CONFLICTING_OPTIONS,
            Self::OutputFolderMissing { .. } => Code::OUTPUT_FOLDER,
            Self::OutputFolderNotWritable { .. } => Code::CANNOT_WRITE,
        }
    }
}
