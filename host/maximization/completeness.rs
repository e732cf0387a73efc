//! Estimated resolution and overall Fourier completeness of a class (spec 02 §3.5 end, §3.6).

/// Last shell before ssnr first falls below 1, scanning from shell 0 (0 if shell 0 fails).
pub fn resolved_shell(_ssnr: &[f64]) -> usize {
    todo!()
}

/// `rlnOverallFourierCompleteness`.
pub fn overall_completeness(_ssnr: &[f64], _coverage: &[f64]) -> f64 {
    todo!()
}

/// `rlnEstimatedResolution` in Å (999 for shell 0).
pub fn estimated_resolution(_ssnr: &[f64], _box_size: usize, _pixel_size: f64) -> f64 {
    todo!()
}
