//! The pixels over which differences are summed, and how each counts.

use crate::expectation::slices::shell_ratio;
use crate::fourier::image::logical_row;
use crate::fourier::shells::round;
use crate::optics::Ctf;
use crate::refinement::schedule::accuracy::AccuracyInput;

/// A pixel of an optics group: position, model shell and twice the noise variance.
pub(super) struct Place {
    pub x: i32,
    pub y: i32,
    pub shell: usize,
    variance2: f64,
}

impl Place {
    /// C²/(2σ²) with the CTF of a particle.
    pub(super) fn weight(&self, ctf: Option<&Ctf>) -> f64 {
        let c = ctf.map_or(1.0, |ctf| ctf.value(self.x, self.y));
        c * c / self.variance2
    }
}

/// Pixels of an optics group that take part.
pub(super) fn places(input: &AccuracyInput, group: usize) -> Vec<Place> {
    let (size, noise) = (input.sizes[group], &input.model.noise[group]);
    let (box_size, pixel_size) = (input.model.box_size, input.model.pixel_size);
    let ratio = shell_ratio(&input.optics[group], box_size, pixel_size);
    let mut places = Vec::with_capacity(size * (size / 2 + 1));
    for row in 0..size {
        let y = logical_row(row, size);
        for x in 0..=(size / 2) as i32 {
            let shell = round(f64::from(x * x + y * y).sqrt());
            if shell == 0 || shell > (size / 2) as i64 || (x == 0 && y < 0) {
                continue;
            }
            let shell = round(ratio * shell as f64) as usize;
            let Some(&sigma2) = noise.get(shell).filter(|&&s| s > 0.0) else {
                continue;
            };
            places.push(Place {
                x,
                y,
                shell,
                variance2: 2.0 * input.options.sigma2_fudge * sigma2,
            });
        }
    }
    places
}
