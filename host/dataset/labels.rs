//! Types of the labels that particle and optics tables carry along.
//!
//! A column that this program only carries along is written in the format of its type, as RELION does; columns
//! of unknown labels keep their text.

use crate::formats::star::{LoopWriter, number};
use std::io::Write;

/// How a column's cells are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// As a real number.
    Real,
    /// As the text that was read.
    AsRead,
}

/// Real-valued labels of particle and optics tables (spec 03 §1.3, §1.5 and the columns that picking, CTF
/// estimation and extraction add).
pub const REAL_LABELS: &[&str] = &[
    "rlnAmplitudeContrast",
    "rlnAnglePsi",
    "rlnAnglePsiFlipRatio",
    "rlnAnglePsiPrior",
    "rlnAngleRot",
    "rlnAngleRotFlipRatio",
    "rlnAngleRotPrior",
    "rlnAngleTilt",
    "rlnAngleTiltPrior",
    "rlnAutopickFigureOfMerit",
    "rlnBeamTiltX",
    "rlnBeamTiltY",
    "rlnCoordinateX",
    "rlnCoordinateY",
    "rlnCoordinateZ",
    "rlnCtfAstigmatism",
    "rlnCtfBfactor",
    "rlnCtfFigureOfMerit",
    "rlnCtfMaxResolution",
    "rlnCtfScalefactor",
    "rlnDefocusAngle",
    "rlnDefocusU",
    "rlnDefocusV",
    "rlnDetectorPixelSize",
    "rlnHelicalTrackLength",
    "rlnHelicalTrackLengthAngst",
    "rlnImagePixelSize",
    "rlnLogLikeliContribution",
    "rlnMagMat00",
    "rlnMagMat01",
    "rlnMagMat10",
    "rlnMagMat11",
    "rlnMagnification",
    "rlnMaxValueProbDistribution",
    "rlnMicrographOriginalPixelSize",
    "rlnMicrographPixelSize",
    "rlnMicrographPreExposure",
    "rlnNormCorrection",
    "rlnOriginXAngst",
    "rlnOriginXPriorAngst",
    "rlnOriginYAngst",
    "rlnOriginYPriorAngst",
    "rlnOriginZAngst",
    "rlnOriginZPriorAngst",
    "rlnParticleSelectZScore",
    "rlnPhaseShift",
    "rlnSphericalAberration",
    "rlnVoltage",
];

/// Kind of a label.
pub(super) fn kind(label: &str) -> Kind {
    match REAL_LABELS.binary_search(&label) {
        Ok(_) => Kind::Real,
        Err(_) => Kind::AsRead,
    }
}

/// Add a carried cell to a row; a text that is no number is kept whatever the label.
pub(super) fn carry<W: Write>(row: &mut LoopWriter<'_, W>, kind: Kind, text: &str) {
    match (kind, number::parse_real(text)) {
        (Kind::Real, Some(value)) => row.real(value),
        _ => row.text(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_sorted_so_that_the_search_finds_all() {
        assert!(REAL_LABELS.is_sorted());
        assert_eq!(kind("rlnVoltage"), Kind::Real);
        assert_eq!(kind("rlnMicrographName"), Kind::AsRead);
    }
}
