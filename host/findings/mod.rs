//! Signs that a run or a map says less than it seems to, each a rule on numbers, and its words for the user.
//!
//! The rules stand here once: the end of a run, the page about it and the examination of finished maps call them.
//! `docs/findings.md` describes them.

pub mod contrast;
pub mod duplicates;
pub mod half_sets;
pub mod masks;
pub mod resolution;
pub mod scale;
pub mod views;

/// Kind of trouble that a finding is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The resolution has not got beyond that of the first reference.
    ResolutionStuck,
    /// Some directions of Fourier space hold hardly any data.
    PreferredOrientation,
    /// Signal that both half maps share lies outside the mask.
    MaskTooTight,
    /// Much of the map's power lies where no particle is.
    MaskAbsent,
    /// The map and the reference differ in size.
    PixelSize,
    /// The half maps share noise.
    HalfSetsAlike,
    /// The particle is darker than the solvent.
    InvertedContrast,
    /// Particles lie on each other.
    Duplicates,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Self; 8] = [
        Self::ResolutionStuck,
        Self::PreferredOrientation,
        Self::MaskTooTight,
        Self::MaskAbsent,
        Self::PixelSize,
        Self::HalfSetsAlike,
        Self::InvertedContrast,
        Self::Duplicates,
    ];

    /// Returns the name in `--json_log`.
    pub fn name(self) -> &'static str {
        match self {
            Self::ResolutionStuck => "resolution_stuck",
            Self::PreferredOrientation => "preferred_orientation",
            Self::MaskTooTight => "mask_too_tight",
            Self::MaskAbsent => "mask_absent",
            Self::PixelSize => "pixel_size",
            Self::HalfSetsAlike => "half_sets_alike",
            Self::InvertedContrast => "inverted_contrast",
            Self::Duplicates => "duplicates",
        }
    }
}

/// One finding.
#[derive(Debug, Clone, PartialEq)]
pub struct Finding {
    /// Kind of the trouble.
    pub kind: Kind,
    /// In words and numbers, with what to try.
    pub text: String,
}

impl Finding {
    fn new(kind: Kind, text: String) -> Self {
        Self { kind, text }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_describes_every_kind() {
        let page = include_str!("../../docs/findings.md");
        for kind in Kind::ALL {
            assert!(page.contains(&format!("`{}`", kind.name())), "{kind:?}");
        }
    }
}
