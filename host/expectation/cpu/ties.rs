//! Ties of the cross-correlation iteration, decided in double precision.
//!
//! Only the children of the single best coarse sample are examined there, so a near-tie (symmetry mates of a reference
//! searched without its symmetry) that falls the other way by rounding costs a particle its pose, and the first map
//! differs for good. Products in single precision tell samples apart to about 1e-6.

use super::super::layout::GroupLayout;
use super::super::orientations::matrices;
use super::super::{BatchItem, IterationInput};
use super::prepare::PreparedImage;

/// A coarse sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sample {
    /// 0-based class.
    pub class: usize,
    /// Coarse orientation index.
    pub orientation: u32,
    /// Coarse shift index.
    pub shift: usize,
}

/// Position of the best of several coarse samples, the first one when equal.
pub(super) fn best(
    input: &IterationInput,
    layout: &GroupLayout,
    item: &BatchItem,
    image: &PreparedImage,
    samples: impl Iterator<Item = Sample>,
) -> Option<usize> {
    let mut best: Option<(usize, f64)> = None;
    for (i, sample) in samples.enumerate() {
        let value = correlation(input, layout, item, image, sample);
        if best.is_none_or(|(_, b)| value > b) {
            best = Some((i, value));
        }
    }
    best.map(|(i, _)| i)
}

/// Re Σ conj(sCA)·F e^{iφ} / √Σ|sCA|², up to the image's own √Σ|F|² (spec 01 §5.3).
fn correlation(
    input: &IterationInput,
    layout: &GroupLayout,
    item: &BatchItem,
    image: &PreparedImage,
    sample: Sample,
) -> f64 {
    let reference = input.host_compared(sample.class);
    let volume: &[[f32; 2]] = bytemuck::cast_slice(&reference.data);
    let shape = reference.shape.for_kernels();
    let matrix = matrices(input, item.particle, sample.orientation, 0)[0];
    let exact = layout.exact_sample(&matrix, sample.shift, 0, sample.class);
    let mut sums = [0.0; 2];
    for i in 0..layout.coarse_projected() {
        let pixel = [layout.pixels.x[i] as i16, layout.pixels.y[i] as i16];
        let value = image.compared()[i];
        let [cross, power] = exact.pixel(
            pixel,
            [value.re, value.im],
            image.model_factor[i],
            layout.coarse_comparison_weight[i],
            |at| volume[at],
            &shape,
        );
        sums = [sums[0] + cross, sums[1] + power];
    }
    sums[0] / sums[1].sqrt()
}
