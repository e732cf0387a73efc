//! Current resolution, current image size and the boxes of both passes (spec 01 §1.8, spec 02 §4).

use crate::dataset::OpticsGroup;
use crate::expectation::ImageSizes;
use crate::fourier::shape::Dimensions;
use crate::fourier::shells::round;
use std::f64::consts::PI;

/// Resolution according to the data-versus-prior spectra.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResolutionShell {
    /// Highest shell supported by the data.
    pub shell: usize,
    /// Shell of the first crossing, when a later rise of the FSC was used instead.
    pub dipped_at: Option<usize>,
}

/// Last shell before the first one (from shell 1) with data-versus-prior below 1; N/2 − 1 when there is none.
fn first_crossing(ssnr: &[f64]) -> usize {
    let half = ssnr.len() - 1;
    (1..half).find(|&s| ssnr[s] < 1.0).unwrap_or(half) - 1
}

/// Shell of the current resolution from the data-versus-prior spectra (shells 0…N/2) of all classes, at least
/// `minres_map`. In gold-standard runs an FSC that dips below ½ and rises again later counts up to its last rise
/// when that lies more than three shells further out (spec 02 §4.1).
pub fn resolution_shell(
    spectra: &[&[f64]],
    gold_standard: bool,
    minres_map: usize,
) -> ResolutionShell {
    let mut best = ResolutionShell {
        shell: 0,
        dipped_at: None,
    };
    for ssnr in spectra {
        let first = first_crossing(ssnr);
        let mut class = ResolutionShell {
            shell: first,
            dipped_at: None,
        };
        if gold_standard {
            let last = (first..ssnr.len() - 1).rev().find(|&s| ssnr[s] > 1.0);
            if let Some(last) = last.filter(|&last| last > first + 3) {
                class.shell = last;
                class.dipped_at = Some(first);
            }
        }
        if class.shell > best.shell {
            best = class;
        }
    }
    best.shell = best.shell.max(minres_map);
    best
}

/// Parameters of the current size S.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SizeRule {
    /// Box N of the references, pixels.
    pub box_size: usize,
    /// Å per pixel of the references.
    pub pixel_size: f64,
    /// Current resolution, 1/Å.
    pub resolution: f64,
    /// Average Pmax of the last iteration.
    pub average_pmax: f64,
    /// The FSC was still high at the limit of an earlier iteration.
    pub high_fsc_at_limit: bool,
    /// Shells added to the current resolution otherwise.
    pub increment: usize,
    /// Everything up to Nyquist.
    pub use_all_data: bool,
}

/// S: even image size of this iteration, at most the box.
pub fn current_size(rule: &SizeRule) -> usize {
    if rule.use_all_data {
        return rule.box_size;
    }
    let mut shell = round(rule.resolution * rule.pixel_size * rule.box_size as f64) as usize;
    shell += if rule.average_pmax > 0.1 && rule.high_fsc_at_limit {
        round(0.25 * (rule.box_size / 2) as f64) as usize
    } else {
        rule.increment
    };
    (2 * shell).min(rule.box_size)
}

/// Parameters of the boxes of both passes for an optics group.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PassRule {
    /// Box N of the references, pixels.
    pub box_size: usize,
    /// Å per pixel of the references.
    pub pixel_size: f64,
    /// S.
    pub current_size: usize,
    /// D, Å.
    pub particle_diameter: f64,
    /// Dimensionality of the references.
    pub dimensions: Dimensions,
    /// Coarse (not oversampled) angular step, degrees.
    pub angular_step: f64,
    /// Oversampling order; 0 means a single pass.
    pub oversampling: u32,
    /// `--strict_highres_exp`, Å.
    pub strict_highres: Option<f64>,
    /// `--coarse_size`, pixels.
    pub max_coarse_size: Option<usize>,
}

/// κ: blur at the rim of the particle that the coarse pass tolerates, in steps (spec 01 §1.8, spec 04 §8).
fn coarse_step_factor(dimensions: Dimensions) -> f64 {
    match dimensions {
        Dimensions::Two => 1.5,
        Dimensions::Three => 1.2,
    }
}

/// Image boxes of one optics group.
pub fn image_sizes(group: &OpticsGroup, rule: &PassRule) -> ImageSizes {
    let width = rule.box_size as f64 * rule.pixel_size;
    let ratio = group.box_size as f64 * group.pixel_size / width;
    let full = even_ceiling(0.5 * ratio * rule.current_size as f64).min(group.box_size);
    if let Some(limit) = rule.strict_highres {
        let strict = ((2 * round(ratio * width / limit)) as usize).min(full);
        return ImageSizes {
            full,
            fine: strict,
            coarse: strict,
        };
    }
    let coarse = if rule.oversampling > 0 {
        let factor = coarse_step_factor(rule.dimensions);
        let blur = rule.angular_step / 360.0 * PI * rule.particle_diameter / factor;
        let cap = rule
            .max_coarse_size
            .map_or(group.box_size, |limit| (limit as f64 * ratio) as usize);
        even_ceiling(ratio * width / blur).min(cap).min(full)
    } else {
        full
    };
    ImageSizes {
        full,
        fine: full,
        coarse,
    }
}

fn even_ceiling(half: f64) -> usize {
    2 * half.ceil() as usize
}

/// Shells that a gold-standard FSC curve adds to the next image size (spec 02 §4.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FscReach {
    /// Shells to add to the current resolution.
    pub increment: usize,
    /// The curve is still above 0.2 in the last shell before the limit.
    pub high_at_limit: bool,
}

/// Read the next increment and the "high at limit" flag off a curve; both only ever grow.
pub fn fsc_reach(
    fsc: &[f64],
    current_size: usize,
    increment: usize,
    high_at_limit: bool,
) -> FscReach {
    let first_below = |limit: f64| {
        fsc.iter()
            .position(|&value| value < limit)
            .map_or(-1, |shell| shell as i64)
    };
    let spread = first_below(0.143) - first_below(0.5) + 5;
    let limit = (current_size / 2).saturating_sub(1);
    FscReach {
        increment: increment.max(spread.max(0) as usize),
        high_at_limit: high_at_limit || fsc.get(limit).is_some_and(|&value| value > 0.2),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn group(box_size: usize, pixel_size: f64) -> OpticsGroup {
        OpticsGroup::new(pixel_size, box_size)
    }

    fn rule(box_size: usize, pixel_size: f64, diameter: f64, step: f64) -> PassRule {
        PassRule {
            box_size,
            pixel_size,
            current_size: box_size,
            particle_diameter: diameter,
            dimensions: Dimensions::Three,
            angular_step: step,
            oversampling: 1,
            strict_highres: None,
            max_coarse_size: None,
        }
    }

    #[test]
    fn coarse_sizes_of_the_worked_examples() {
        // Spec 01 §1.8 and Appendix B: (N, a, D, step) → c.
        for (n, a, d, step, c) in [
            (256, 1.2156, 200.0, 7.5, 58),
            (256, 1.2156, 200.0, 15.0, 30),
            (192, 3.54, 150.0, 15.0, 84),
            (192, 3.54, 150.0, 7.5, 168),
        ] {
            assert_eq!(
                image_sizes(&group(n, a), &rule(n, a, d, step)).coarse,
                c,
                "N {n}, a {a}, D {d}, step {step}"
            );
        }
    }

    /// Spec 04 §6: N a = 256 Å, D = 170 Å.
    #[test]
    fn coarse_sizes_of_class_averages() {
        for (step, coarse) in [(12.0, 44), (6.0, 64)] {
            let mut r = rule(64, 4.0, 170.0, step);
            r.dimensions = Dimensions::Two;
            assert_eq!(image_sizes(&group(64, 4.0), &r).coarse, coarse);
        }
    }

    #[test]
    fn coarse_size_never_exceeds_the_fine_one() {
        let mut r = rule(192, 3.54, 150.0, 7.5);
        r.current_size = 60;
        let sizes = image_sizes(&group(192, 3.54), &r);
        assert_eq!((sizes.fine, sizes.coarse), (60, 60));
    }

    #[test]
    fn strict_limit_applies_to_both_passes_but_not_to_the_sums() {
        let mut r = rule(256, 1.0, 200.0, 7.5);
        r.current_size = 128;
        r.strict_highres = Some(8.0);
        let sizes = image_sizes(&group(256, 1.0), &r);
        assert_eq!((sizes.full, sizes.fine, sizes.coarse), (128, 64, 64));
    }

    #[test]
    fn groups_with_other_pixels_cover_the_same_frequencies() {
        let mut r = rule(256, 1.0, 200.0, 15.0);
        r.current_size = 128;
        // Same width in Å (256 Å) at half the sampling: the same shells.
        assert_eq!(image_sizes(&group(128, 2.0), &r).full, 128);
        // Twice the width: twice the shells.
        assert_eq!(image_sizes(&group(512, 1.0), &r).full, 256);
    }

    #[test]
    fn resolution_stops_at_the_first_dip() {
        let ssnr = [999.0, 50.0, 9.0, 3.0, 0.9, 2.0, 0.5, 0.1, 0.0];
        assert_eq!(resolution_shell(&[&ssnr], false, 1).shell, 3);
        assert_eq!(resolution_shell(&[&ssnr], false, 5).shell, 5);
    }

    #[test]
    fn gold_standard_curves_may_dip_once() {
        let mut ssnr = vec![5.0; 20];
        ssnr[4] = 0.9;
        ssnr[12..].fill(0.1);
        let found = resolution_shell(&[&ssnr], true, 5);
        assert_eq!((found.shell, found.dipped_at), (11, Some(3)));
        ssnr[7..].fill(0.1);
        let found = resolution_shell(&[&ssnr], true, 1);
        assert_eq!((found.shell, found.dipped_at), (3, None));
    }

    #[test]
    fn a_spectrum_above_one_everywhere_reaches_the_last_shell_but_one() {
        assert_eq!(resolution_shell(&[&[9.0; 33]], false, 5).shell, 31);
    }

    #[test]
    fn the_increment_follows_the_slope_of_the_curve_and_never_shrinks() {
        let fsc: Vec<f64> = (0..33).map(|s| 1.0 - s as f64 / 32.0).collect();
        // Below 0.5 from shell 17, below 0.143 from shell 28.
        let reach = fsc_reach(&fsc, 64, 10, false);
        assert_eq!(reach.increment, 16);
        assert!(!reach.high_at_limit);
        assert_eq!(fsc_reach(&fsc, 64, 30, true).increment, 30);
        assert!(fsc_reach(&fsc, 40, 10, false).high_at_limit);
    }

    proptest! {
        #[test]
        fn sizes_are_even_and_inside_the_box(
            half in 16usize..200, resolution in 0.0f64..0.5, pmax in 0.0f64..1.0,
            high: bool, increment in 0usize..40,
        ) {
            let s = current_size(&SizeRule {
                box_size: 2 * half, pixel_size: 1.3, resolution, average_pmax: pmax,
                high_fsc_at_limit: high, increment, use_all_data: false,
            });
            prop_assert_eq!(s % 2, 0);
            prop_assert!(s <= 2 * half);
        }
    }
}
