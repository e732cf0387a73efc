//! Contrast transfer function and aberrations (spec 01 §3.7).

use crate::dataset::{CtfFields, OpticsGroup};

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

/// What went wrong with CTF parameters.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct OpticsError(pub String);

/// A particle's CTF, ready to be evaluated at any image frequency.
#[derive(Debug, Clone)]
pub struct Ctf {}

impl Ctf {
    /// Combine particle and optics-group values; errors on missing or absurd parameters.
    pub fn new(
        _fields: &CtfFields,
        _group: &OpticsGroup,
        _flags: CtfFlags,
    ) -> Result<Self, OpticsError> {
        todo!()
    }
    /// C at Fourier pixel (x, y) of an image of the group's box (C², for premultiplied groups).
    pub fn value(&self, _x: i32, _y: i32) -> f64 {
        todo!()
    }
}

/// Phase Φ(x, y) (radians) of the anti-symmetric aberrations of a group (beam tilt, odd Zernike); the image is
/// multiplied by exp(−iΦ). None when the group has none.
pub fn antisymmetric_phase(
    _group: &OpticsGroup,
) -> Option<Box<dyn Fn(i32, i32) -> f64 + Send + Sync>> {
    todo!()
}
