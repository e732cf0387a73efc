//! Tasks of every engine around its stages: checks before an iteration, empty sums, a batch by optics groups.

use super::layout::GroupLayout;
use super::{BatchItem, ExpectationError, IterationInput, ParticleOutcome, WeightedSums};
use crate::dataset::Particle;
use crate::errors::{Code, Coded, Message};
use crate::fourier::{
    backprojection::BackProjection, reference::ReferenceVolume, shape::VolumeShape,
};
use crate::optics::Ctf;
use gpu::samples::{CTF_CORRECTED, NO_MAP, PREMULTIPLIED};

impl IterationInput<'_> {
    /// One reference a class.
    pub(super) fn check(&self) -> Result<(), ExpectationError> {
        let classes = self.model.classes.len();
        if self.references.len() == classes && self.compared_references().len() == classes {
            return Ok(());
        }
        Err(Message::internal(format!(
            "{} references were prepared for {} classes",
            self.references.len(),
            self.model.classes.len()
        ))
        .into())
    }

    /// As [`Self::check`], for an engine that reads references on the host.
    pub(super) fn check_on_host(&self) -> Result<(), ExpectationError> {
        self.check()?;
        let mut references = self.references.iter().chain(self.compared_references());
        match references.all(|r| r.on_host().is_some()) {
            true => Ok(()),
            false => Err(Message::internal(
                "the references are on a device, but the engine of the host was to compare with them").into()),
        }
    }

    /// Reference of class `class`, for an engine that has called [`Self::check_on_host`].
    pub(super) fn host_reference(&self, class: usize) -> &ReferenceVolume {
        self.references[class]
            .on_host()
            .expect("checked before the first batch")
    }

    /// Geometry of the sums: that of the references, or one of more padding with the same radius (spec 06 §7,
    /// `--asymmetric_padding`).
    pub(super) fn sums_shape(&self) -> VolumeShape {
        let of_references = *self.references[0].shape();
        match self.options.more_padding {
            0.0 => of_references,
            more => of_references.with_padding(self.model.padding + more),
        }
    }

    /// Padding factor of the sums divided by that of the references.
    pub(super) fn sums_scale(&self) -> f32 {
        (self.sums_shape().padding / self.references[0].shape().padding) as f32
    }

    /// Empty sums of one class.
    pub(super) fn empty_backprojection(&self) -> BackProjection {
        BackProjection::zeros(self.sums_shape())
    }
}

impl WeightedSums {
    /// Sums of no particle; the back-projections are the engine's to add when it hands them over.
    pub fn empty(input: &IterationInput) -> Self {
        let shells = input.model.box_size / 2 + 1;
        let (classes, groups) = (input.model.classes.len(), input.optics.len());
        Self {
            backprojections: Vec::new(),
            class_weight: vec![0.0; classes],
            direction_weight: vec![vec![0.0; input.sampling.directions.len()]; classes],
            class_offset: vec![[0.0; 2]; classes],
            noise: vec![vec![0.0; shells]; groups],
            noise_weight: vec![0.0; groups],
            ctf2: vec![vec![0.0; shells]; groups],
            scale_xa: vec![0.0; input.model.scales.len()],
            scale_aa: vec![0.0; input.model.scales.len()],
            signal: [0.0; 2],
            norm: 0.0,
            sigma2_offset: 0.0,
            log_likelihood: 0.0,
            max_probability: 0.0,
            particles: 0,
        }
    }
}

impl WeightedSums {
    /// All sums but the back-projections, in a fixed order.
    pub fn spectra_and_totals(&mut self) -> Vec<&mut [f64]> {
        let mut parts: Vec<&mut [f64]> = vec![&mut self.class_weight];
        let lists = [&mut self.direction_weight, &mut self.noise, &mut self.ctf2];
        parts.extend(lists.into_iter().flatten().map(Vec::as_mut_slice));
        parts.extend([
            self.class_offset.as_flattened_mut(),
            self.noise_weight.as_mut_slice(),
            &mut self.scale_xa,
            &mut self.scale_aa,
            &mut self.signal,
        ]);
        parts.extend(
            [
                &mut self.norm,
                &mut self.sigma2_offset,
                &mut self.log_likelihood,
                &mut self.max_probability,
            ]
            .map(std::slice::from_mut),
        );
        parts
    }

    /// Adds everything but the back-projections of `other`: the sums of another engine, or of the other half-set where the
    /// halves are joined.
    pub fn add_spectra_and_totals(&mut self, other: &mut Self) {
        for (a, b) in self
            .spectra_and_totals()
            .into_iter()
            .zip(other.spectra_and_totals())
        {
            a.iter_mut().zip(b).for_each(|(a, b)| *a += *b);
        }
        self.particles += other.particles;
    }
}

impl IterationInput<'_> {
    /// Number of back-projections: one a class, two in a gradient iteration.
    pub(super) fn volumes(&self) -> usize {
        self.references.len() * (1 + usize::from(self.gradient))
    }

    /// The pseudo-half (0 or 1) whose sums a particle enters: by the parity of its id in a gradient iteration (spec 05 §4).
    pub(super) fn pseudo_half(&self, particle: &Particle) -> usize {
        match self.gradient {
            true => particle.id % 2,
            false => 0,
        }
    }

    /// How images of an optics group enter the sums: flags of [`gpu::samples`].
    pub(super) fn store_flags(&self, group: usize) -> u32 {
        let flag = |is_set: bool, flag: u32| if is_set { flag } else { 0 };
        flag(self.references_ctf_corrected, CTF_CORRECTED)
            | flag(self.optics[group].ctf_premultiplied, PREMULTIPLIED)
            | flag(self.options.no_map, NO_MAP)
    }
}

impl BatchItem<'_> {
    /// CTF of the particle.
    pub(super) fn ctf(&self, input: &IterationInput) -> Result<Ctf, ExpectationError> {
        let group = &input.optics[self.particle.optics_group];
        Ctf::new(&self.particle.ctf, group, input.options.ctf_flags).map_err(|e| {
            ExpectationError::Particle {
                code: e.code(),
                image: self.name.clone(),
                message: e.to_string(),
            }
        })
    }
}

impl ExpectationError {
    /// Says why no sample of a particle could be compared. Pixels are described where the host has them.
    pub(super) fn not_comparable(
        input: &IterationInput,
        layout: &GroupLayout,
        item: &BatchItem,
    ) -> Self {
        let pixels = match item.image.is_empty() {
            true => String::new(),
            false => {
                let image = item.image.single();
                let low = image.iter().copied().fold(f32::INFINITY, f32::min);
                let high = image.iter().copied().fold(f32::NEG_INFINITY, f32::max);
                let sum: f64 = image.iter().map(|&v| f64::from(v)).sum();
                let mean = sum / image.len() as f64;
                format!("Its pixels range from {low} to {high} (mean {mean:.4}), ")
            }
        };
        let scales = &input.model.scales;
        Self::Particle {
            code: Code::NOT_COMPARABLE,
            image: item.name.clone(),
            message: format!(
                "no orientation could be compared with it: every squared difference is infinite or NaN. {pixels}\
                 rlnNormCorrection is {}, average norm {}, group scale {}, mask radius {} pixels, box {} pixels. Likely \
                 causes: a corrupt image, an absurd normalisation or scale, or a reference that is empty or not finite",
                item.particle.norm,
                input.model.average_norm,
                scales
                    .get(item.particle.scale_group)
                    .copied()
                    .unwrap_or(1.0),
                layout.mask_radius,
                layout.box_size,
            ),
        }
    }

    /// A call that only makes sense during an iteration.
    pub(super) fn not_begun() -> Self {
        Message::internal("no iteration was begun").into()
    }
}

/// Returns the items of an optics group, and their places in the batch.
pub(super) fn of_group<'b, 'a>(
    batch: &'b [BatchItem<'a>],
    group: usize,
) -> (Vec<usize>, Vec<&'b BatchItem<'a>>) {
    let items = batch.iter().enumerate();
    items
        .filter(|(_, item)| item.particle.optics_group == group)
        .unzip()
}

/// Hands `batch` to `align` in parts of one optics group each; outcomes in the order of the batch. `align` takes the
/// group and what is left of it, and returns outcomes of as many items from the front as it dealt with.
pub(super) fn by_optics_group(
    input: &IterationInput,
    batch: &[BatchItem],
    mut align: impl FnMut(usize, &[&BatchItem]) -> Result<Vec<ParticleOutcome>, ExpectationError>,
) -> Result<Vec<ParticleOutcome>, ExpectationError> {
    let mut outcomes: Vec<Option<ParticleOutcome>> = vec![None; batch.len()];
    for group in 0..input.optics.len() {
        let (members, items) = of_group(batch, group);
        let mut done = 0;
        while done < items.len() {
            let found = align(group, &items[done..])?;
            for (&i, outcome) in members[done..].iter().zip(&found) {
                outcomes[i] = Some(outcome.clone());
            }
            done += found.len();
        }
    }
    outcomes
        .into_iter()
        .zip(batch)
        .map(|(outcome, item)| {
            outcome.ok_or_else(|| ExpectationError::Particle {
                code: Code::INTERNAL,
                image: item.name.clone(),
                message: format!(
                    "optics group {} does not exist",
                    item.particle.optics_group + 1
                ),
            })
        })
        .collect()
}
