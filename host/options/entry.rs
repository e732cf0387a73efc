//! A row of the option table.

use super::range::Range;

/// Heading under which an option is listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Group {
    /// Input, output and the aim of the run.
    General,
    /// Starting references.
    Initialisation,
    /// Which orientations and offsets are searched.
    Orientations,
    /// CTF, norm and scale.
    Corrections,
    /// Processes, threads, memory, disks.
    Computation,
    /// For experts.
    Expert,
    /// Effective in RELION but absent from its usage text.
    Hidden,
    /// Only together with `--continue`.
    ContinueOnly,
    /// Options of GeRelion and of older RELION versions.
    Older,
    /// Helical reconstruction.
    Helix,
    /// Stochastic gradient and VDAM.
    Gradient,
    /// Tomography and subtomograms.
    Tomography,
    /// Multi-body refinement.
    MultiBody,
}

impl Group {
    /// Every group, in the order of the help text.
    pub const ALL: [Group; 13] = [
        Group::General,
        Group::Initialisation,
        Group::Orientations,
        Group::Corrections,
        Group::Computation,
        Group::Expert,
        Group::Hidden,
        Group::ContinueOnly,
        Group::Older,
        Group::Helix,
        Group::Gradient,
        Group::Tomography,
        Group::MultiBody,
    ];

    /// Heading in the help text and in the documentation page.
    pub fn title(self) -> &'static str {
        match self {
            Group::General => "General",
            Group::Initialisation => "Initialisation",
            Group::Orientations => "Orientations",
            Group::Corrections => "Corrections",
            Group::Computation => "Computation",
            Group::Expert => "Expert",
            Group::Hidden => "Hidden in RELION's own usage text",
            Group::ContinueOnly => "Only with --continue",
            Group::Older => "From GeRelion and older RELION versions",
            Group::Helix => "Helical reconstruction",
            Group::Gradient => "Stochastic gradient (VDAM)",
            Group::Tomography => "Tomography and subtomograms",
            Group::MultiBody => "Multi-body refinement",
        }
    }
}

/// Kind of the word that follows an option.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// None: on when present.
    Flag,
    /// Any single word.
    Text,
    /// A word, or nothing (`--gpu`).
    OptionalText,
    /// A whole number.
    Integer,
    /// A finite number.
    Real,
    /// A number of bytes, with an optional suffix K, M, G or T (powers of 1024).
    Bytes,
}

impl Kind {
    /// Returns the placeholder of the value in the help text.
    pub fn placeholder(self) -> &'static str {
        match self {
            Kind::Flag => "",
            Kind::Text => "TEXT",
            Kind::OptionalText => "[TEXT]",
            Kind::Integer => "N",
            Kind::Real => "X",
            Kind::Bytes => "SIZE",
        }
    }
}

/// Treatment of an option when a run is continued (spec 03 §3.2 and §5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnContinue {
    /// Not honoured: the value of the optimiser file stays.
    FromFile,
    /// Not honoured: it has an effect at the start of a run only, and the file does not keep it.
    StartOnly,
    /// `c`: honoured when given, otherwise the value of the optimiser file stays.
    IfGiven,
    /// `c`, but not in auto-refine or with automatic sampling.
    IfGivenNotAuto,
    /// `c (on only)`: a flag that can be switched on, not off.
    SwitchOn,
    /// `c!`: always taken from the command line; absent means the default. Results do not depend on it.
    FromCommandLine,
    /// `c!` likewise, and results depend on it: a continued run that no longer has the option warns that it goes on without.
    MustBeRepeated,
    /// Has a meaning with `--continue` only.
    ContinueOnly,
}

impl OnContinue {
    /// Mark in the documentation page.
    pub fn mark(self) -> &'static str {
        match self {
            OnContinue::FromFile => "",
            OnContinue::StartOnly => "start",
            OnContinue::IfGiven => "c",
            OnContinue::IfGivenNotAuto => "c (not auto)",
            OnContinue::SwitchOn => "c (on only)",
            OnContinue::FromCommandLine | OnContinue::MustBeRepeated => "c!",
            OnContinue::ContinueOnly => "only",
        }
    }
}

/// Relation of this program to RELION in an option.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Treatment {
    /// Does what RELION does.
    Works,
    /// Accepted, changes nothing; the reason.
    WithoutEffect(&'static str),
    /// The run stops before it starts; the reason.
    Refused(&'static str),
}

/// One row of the option table.
#[derive(Debug, Clone, Copy)]
pub struct OptionEntry {
    /// With its two dashes.
    pub name: &'static str,
    /// Kind of the word after the name.
    pub kind: Kind,
    /// Value when absent, as it would be typed; empty for flags and for options without default.
    pub default: &'static str,
    /// Unit of the value; empty for plain numbers and words.
    pub unit: &'static str,
    /// Numbers that are possible; any finite one where nothing else is said.
    pub range: Range,
    /// One sentence.
    pub meaning: &'static str,
    /// Heading.
    pub group: Group,
    /// Behaviour with `--continue`.
    pub on_continue: OnContinue,
    /// Relation to RELION.
    pub treatment: Treatment,
    /// Option without which this one has no effect.
    pub needs: Option<&'static str>,
    /// For options of a usual job: what they do, in a few words, for the short help.
    pub usual: Option<&'static str>,
}

impl OptionEntry {
    const fn new(
        name: &'static str,
        kind: Kind,
        default: &'static str,
        unit: &'static str,
        meaning: &'static str,
    ) -> Self {
        OptionEntry {
            name,
            kind,
            default,
            unit,
            range: Range::ANY,
            meaning,
            group: Group::General,
            on_continue: OnContinue::FromFile,
            treatment: Treatment::Works,
            needs: None,
            usual: None,
        }
    }

    /// A flag.
    pub const fn flag(name: &'static str, meaning: &'static str) -> Self {
        Self::new(name, Kind::Flag, "", "", meaning)
    }

    /// An option followed by a word.
    pub const fn text(name: &'static str, default: &'static str, meaning: &'static str) -> Self {
        Self::new(name, Kind::Text, default, "", meaning)
    }

    /// An option that may be followed by a word.
    pub const fn optional_text(name: &'static str, meaning: &'static str) -> Self {
        Self::new(name, Kind::OptionalText, "", "", meaning)
    }

    /// An option followed by a whole number.
    pub const fn integer(
        name: &'static str,
        default: &'static str,
        unit: &'static str,
        meaning: &'static str,
    ) -> Self {
        Self::new(name, Kind::Integer, default, unit, meaning)
    }

    /// An option followed by a number.
    pub const fn real(
        name: &'static str,
        default: &'static str,
        unit: &'static str,
        meaning: &'static str,
    ) -> Self {
        Self::new(name, Kind::Real, default, unit, meaning)
    }

    /// An option followed by a number of bytes.
    pub const fn bytes(name: &'static str, meaning: &'static str) -> Self {
        Self::new(name, Kind::Bytes, "", "bytes", meaning)
    }

    /// The same option with another behaviour on `--continue`.
    pub const fn on_continue(mut self, rule: OnContinue) -> Self {
        self.on_continue = rule;
        self
    }

    /// The same option, whose value must be one of these numbers.
    pub const fn within(mut self, range: Range) -> Self {
        self.range = range;
        self
    }

    /// The same option, which has an effect only together with another.
    pub const fn with(mut self, other: &'static str) -> Self {
        self.needs = Some(other);
        self
    }

    /// Lists the option in the short help, in these words.
    pub const fn usual(mut self, words: &'static str) -> Self {
        self.usual = Some(words);
        self
    }

    /// The same option, accepted without effect.
    pub const fn without_effect(mut self, reason: &'static str) -> Self {
        self.treatment = Treatment::WithoutEffect(reason);
        self
    }

    /// The same option, refused.
    pub const fn refused(mut self, reason: &'static str) -> Self {
        self.treatment = Treatment::Refused(reason);
        self
    }

    /// The same rows under one heading.
    pub const fn under<const N: usize>(
        group: Group,
        mut rows: [OptionEntry; N],
    ) -> [OptionEntry; N] {
        let mut i = 0;
        while i < N {
            rows[i].group = group;
            i += 1;
        }
        rows
    }

    /// The same rows, all refused for one reason.
    pub const fn all_refused<const N: usize>(
        reason: &'static str,
        mut rows: [OptionEntry; N],
    ) -> [OptionEntry; N] {
        let mut i = 0;
        while i < N {
            rows[i].treatment = Treatment::Refused(reason);
            i += 1;
        }
        rows
    }
}
