//! Estimated resolution and overall Fourier completeness of a class (spec 02 §3.5 end, §3.6).

use crate::fourier::shells::shell_to_angstrom;

/// Last shell before ssnr first falls below 1, scanning from shell 0 (0 if shell 0 fails).
pub fn resolved_shell(ssnr: &[f64]) -> usize {
    ssnr.iter()
        .position(|&v| v < 1.0)
        .unwrap_or(ssnr.len())
        .saturating_sub(1)
}

/// `rlnOverallFourierCompleteness`: mean coverage over the lattice points inside the resolved shells.
pub fn overall_completeness(ssnr: &[f64], coverage: &[f64]) -> f64 {
    let last = resolved_shell(ssnr);
    let (mut sum, mut count) = (0.0, 0.0);
    // One octant; points off an axis plane stand for their mirror images.
    let mirrors = |i: usize| if i == 0 { 1.0 } else { 2.0 };
    for z in 0..last {
        for y in 0..last {
            for x in 0..last {
                let shell = ((x * x + y * y + z * z) as f64).sqrt() as usize;
                if shell <= last {
                    let points = mirrors(x) * mirrors(y) * mirrors(z);
                    sum += points * coverage[shell];
                    count += points;
                }
            }
        }
    }
    if count > 0.0 { sum / count } else { 0.0 }
}

/// `rlnEstimatedResolution` in Å (999 for shell 0).
pub fn estimated_resolution(ssnr: &[f64], box_size: usize, pixel_size: f64) -> f64 {
    shell_to_angstrom(resolved_shell(ssnr), box_size, pixel_size)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_dip_ends_the_resolved_range() {
        assert_eq!(resolved_shell(&[9.0, 5.0, 1.0, 0.9, 7.0]), 2);
        assert_eq!(resolved_shell(&[0.5, 5.0]), 0);
        assert_eq!(resolved_shell(&[5.0, 5.0, 5.0]), 2);
        assert_eq!(estimated_resolution(&[9.0, 5.0, 1.0, 0.9], 64, 4.0), 128.0);
        assert_eq!(estimated_resolution(&[0.9], 64, 4.0), 999.0);
    }

    #[test]
    fn completeness_is_a_mean_over_lattice_points() {
        let ssnr = [9.0, 9.0, 9.0, 0.0];
        assert_eq!(overall_completeness(&ssnr, &[1.0; 4]), 1.0);
        // Side 3 cube: the origin in shell 0, its 26 neighbours in shell 1.
        let mean = overall_completeness(&ssnr, &[1.0, 0.5, 0.0, 0.0]);
        assert!((mean - (1.0 + 26.0 * 0.5) / 27.0).abs() < 1e-15);
        assert_eq!(overall_completeness(&[0.0; 4], &[1.0; 4]), 0.0);
    }
}
