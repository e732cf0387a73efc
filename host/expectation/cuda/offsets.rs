//! Offset priors on the device: those of the coarse shifts, and the sums that the mean offsets of class averages follow from
//! (spec 01 §4.5, spec 04 §4, §7).

use super::super::orientations::common_classes;
use super::super::priors::{offset_centre, offset_factor};
use super::super::start::ParticleStart;
use super::super::{Criterion, ExpectationError, IterationInput};
use super::batch::BatchContext;
use crate::device::{Buffer, Device, DeviceError, Staging, View};
use crate::fourier::shape::Dimensions;
use gpu::kernels::offsets::OffsetLogPriors;

/// Offset priors of an iteration. Class averages have a list of priors each, around their mean offset; maps have
/// one for all, around the prior offset of the particle.
pub(super) struct Offsets {
    /// µ of each list, pixels; (0, 0) for maps, where it is taken off the offset of the particle.
    centres: Buffer<[f64; 2]>,
    /// 1 for lists of classes that particles visit.
    used: Buffer<u32>,
    /// Coarse shifts as the prior takes them.
    translations: Buffer<[f64; 2]>,
    /// µ of each class; None for maps.
    class_centres: Option<Buffer<[f32; 2]>>,
    /// Σ w·(r + t) of each class average, Å.
    sums: Buffer<[f64; 2]>,
}

impl Offsets {
    /// Of the iteration at hand, the sums zero.
    pub(super) fn new(device: &Device, input: &IterationInput) -> Result<Self, DeviceError> {
        let classes = &input.model.classes;
        let (centres, used, class_centres, sums) = match input.model.dimensions() {
            Dimensions::Two => {
                let common = common_classes(input);
                let visited = |k: usize| common.as_ref().is_none_or(|common| common.contains(&k));
                let centres: Vec<[f64; 2]> = classes.iter().map(|c| c.offset_prior).collect();
                let narrow: Vec<[f32; 2]> = centres.iter().map(|c| c.map(|v| v as f32)).collect();
                let used = (0..classes.len()).map(|k| u32::from(visited(k)));
                let class_centres = Some(device.upload(&narrow)?);
                (centres, used.collect(), class_centres, classes.len())
            }
            Dimensions::Three => (vec![[0.0; 2]], vec![1], None, 0),
        };
        Ok(Self {
            centres: device.upload(&centres)?,
            used: device.upload(&used)?,
            translations: device.upload(&input.sampling.translations)?,
            class_centres,
            sums: device.zeros(sums)?,
        })
    }

    /// Lists of priors of a particle.
    pub(super) fn lists(&self) -> usize {
        self.centres.len()
    }

    /// ln of the prior of every coarse shift of every list and image, relative to its mean over what the image visits
    /// (`visited`: a class or all); 0 in cross-correlations.
    pub(super) fn log_priors(
        &self,
        batch: &BatchContext,
        staging: &mut Staging,
        visited: &Buffer<u32>,
    ) -> Result<Buffer<f32>, ExpectationError> {
        let &BatchContext {
            device,
            input,
            layout,
            images,
            ..
        } = batch;
        let (count, shifts) = (images.starts.len(), self.translations.len());
        let length = count * self.lists() * shifts;
        if input.criterion == Criterion::CrossCorrelation {
            return Ok(device.zeros(length)?);
        }
        let starts: Vec<[f64; 2]> = images.starts.iter().map(|s| own_start(input, s)).collect();
        let starts = staging.upload(&starts)?;
        // SAFETY: filled by the kernel below.
        let out = unsafe { device.buffer(length)? };
        // SAFETY: arrays of the sizes the kernel's documentation asks for.
        unsafe {
            device.launch(&OffsetLogPriors {
                images: count as u32,
                starts: starts.view(),
                visited: visited.view(),
                centres: self.centres.view(),
                used: self.used.view(),
                lists: self.lists() as u32,
                translations: self.translations.view(),
                shifts: shifts as u32,
                factor: offset_factor(input, layout.host.pixel_size),
                out: out.view(),
            })?;
        }
        Ok(out)
    }

    /// µ of each class; null for maps.
    pub(super) fn class_centres(&self) -> View<[f32; 2]> {
        self.class_centres
            .as_ref()
            .map_or(View::null(), Buffer::view)
    }

    /// Σ w·(r + t) of each class average, Å.
    pub(super) fn sums(&self) -> &Buffer<[f64; 2]> {
        &self.sums
    }
}

/// r of a particle; for maps less the centre of its own prior.
pub(super) fn own_start(input: &IterationInput, start: &ParticleStart) -> [f64; 2] {
    let centre = match input.model.dimensions() {
        Dimensions::Two => [0.0; 2],
        Dimensions::Three => offset_centre(input, start, 0),
    };
    std::array::from_fn(|i| start.old_offset[i] - centre[i])
}
