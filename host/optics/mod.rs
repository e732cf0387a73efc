//! Contrast transfer function and aberrations (spec 01 §3.7).

mod aberrations;
mod ctf;
mod demodulation;
pub mod mtf;
pub mod plausible;
mod rows;
mod zernike;

pub use aberrations::antisymmetric_phase;
pub use ctf::Ctf;
pub use demodulation::demodulation;

use crate::errors::{Code, Coded, Message};

/// How the CTF is used (flags of the command line).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CtfFlags {
    /// `--ctf_intact_first_peak`.
    pub intact_first_peak: bool,
    /// `--ctf_phase_flipped`.
    pub phase_flipped: bool,
    /// `--only_flip_phases`.
    pub only_flip_phases: bool,
}

/// Error of CTF parameters.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct OpticsError(#[from] Message);

impl Coded for OpticsError {
    fn code(&self) -> Code {
        self.0.code
    }
}

/// Electron wavelength (Å) at a voltage in kV.
///
/// ```
/// assert!((gerelion::optics::wavelength(300.0) - 0.0197).abs() < 1e-4);
/// ```
pub fn wavelength(kilovolts: f64) -> f64 {
    let volts = kilovolts * 1e3;
    12.2643247 / (volts * (1.0 + 0.978466e-6 * volts)).sqrt()
}
