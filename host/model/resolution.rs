//! What a class's spectra say about its resolution: the figures of `model_classes` (spec 02 §3.5–3.6).

use super::ClassModel;

impl ClassModel {
    /// s*: the last shell before the first one (from shell 0) whose data-versus-prior ratio is below 1; 0 when shell 0
    /// fails, N/2 when none does.
    pub fn reliable_shell(&self) -> usize {
        self.ssnr
            .iter()
            .position(|&ratio| ratio < 1.0)
            .unwrap_or(self.ssnr.len())
            .saturating_sub(1)
    }

    /// `rlnEstimatedResolution` in Å for a box of `box_size` pixels of `pixel_size` Å; 999 when no shell is reliable.
    pub fn estimated_resolution(&self, box_size: usize, pixel_size: f64) -> f64 {
        match self.reliable_shell() {
            0 => 999.0,
            shell => box_size as f64 * pixel_size / shell as f64,
        }
    }

    /// `rlnOverallFourierCompleteness`: the coverage of shell ⌊|v|⌋ averaged over all integer lattice points v of a cube
    /// of side 2s*−1 around the origin with ⌊|v|⌋ ≤ s*.
    pub fn overall_completeness(&self) -> f64 {
        let shell = self.reliable_shell();
        let reach = shell as i64 - 1;
        let (mut sum, mut points) = (0.0, 0u64);
        for z in -reach..=reach {
            for y in -reach..=reach {
                for x in -reach..=reach {
                    let s = ((x * x + y * y + z * z) as f64).sqrt() as usize;
                    if s <= shell {
                        sum += self.coverage[s];
                        points += 1;
                    }
                }
            }
        }
        if points == 0 {
            0.0
        } else {
            sum / points as f64
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::Array3;

    fn class(ssnr: Vec<f64>, coverage: Vec<f64>) -> ClassModel {
        let shells = ssnr.len();
        ClassModel {
            map: Array3::zeros((2, 2, 2)),
            fraction: 1.0,
            tau2: vec![0.0; shells],
            sigma2: vec![0.0; shells],
            ssnr,
            coverage,
            fsc: vec![0.0; shells],
            orientability: None,
            direction_prior: vec![1.0],
            accuracy_rotations: 0.0,
            accuracy_translations: 0.0,
        }
    }

    #[test]
    fn resolution_is_the_last_shell_before_the_first_dip() {
        let c = class(vec![999.0, 50.0, 1.0, 0.9, 2.0], vec![1.0; 5]);
        assert_eq!(c.reliable_shell(), 2);
        assert_eq!(c.estimated_resolution(8, 4.0), 16.0);
        assert_eq!(c.overall_completeness(), 1.0);
    }

    #[test]
    fn no_reliable_shell_is_999() {
        let c = class(vec![0.5, 2.0, 2.0], vec![1.0; 3]);
        assert_eq!(c.reliable_shell(), 0);
        assert_eq!(c.estimated_resolution(4, 4.0), 999.0);
        assert_eq!(c.overall_completeness(), 0.0);
    }

    #[test]
    fn every_shell_reliable_is_nyquist() {
        let c = class(vec![5.0; 5], vec![0.25; 5]);
        assert_eq!(c.reliable_shell(), 4);
        assert_eq!(c.estimated_resolution(8, 1.5), 3.0);
        assert_eq!(c.overall_completeness(), 0.25);
    }

    /// Spectra of the reference run `refine3d_c4`, iteration 10: s* = 18, completeness written as 0.903043.
    #[test]
    fn completeness_of_a_reference_run() {
        let ssnr: Vec<f64> = (0..33).map(|s| if s <= 18 { 2.0 } else { 0.5 }).collect();
        let mut coverage = vec![1.0; 33];
        coverage[15] = 0.999651;
        coverage[16] = 0.780855;
        coverage[17] = 0.668019;
        coverage[18] = 0.811174;
        let written = class(ssnr, coverage).overall_completeness();
        assert!((written - 0.903043).abs() < 1e-6, "{written}");
    }
}
