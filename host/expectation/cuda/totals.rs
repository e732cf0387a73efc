//! Contribution of a batch to the sums that are not volumes, and the outcome of each particle (spec 01 §6.4, §7.2–7.6).

use super::super::layout::GroupLayout;
use super::super::noise_and_norm::{ClassShells, ParticleSums, ShellSums, estimates_scale};
use super::super::outcome::{BestSample, Evidence};
use super::super::start::ParticleStart;
use super::super::{BatchItem, Criterion, IterationInput, ParticleOutcome, WeightedSums};
use super::batch::BatchContext;
use super::first_pass::FirstPass;
use super::second_pass::Found;
use crate::device::Staging;
use crate::model::ClassModel;
use gpu::samples::{Alignment, Selection};
use rayon::prelude::*;

/// Adds the images of the batch that were `found` to `sums`, when the results have come.
pub(super) fn add(
    batch: &BatchContext,
    first: &FirstPass,
    staging: &Staging,
    found: &Found,
    sums: &mut WeightedSums,
) -> Vec<ParticleOutcome> {
    let &BatchContext {
        input,
        layout,
        items,
        images,
        ..
    } = batch;
    let rows = &first.rows(layout).index;
    let results = Results {
        input,
        items,
        layout: &layout.host,
        shells: layout.shells,
        starts: &images.starts,
        rows,
        selections: &first.list.selections,
        shell_powers: staging.values(&images.shell_powers),
        compared_powers: staging.values(images.compared_powers()),
    };
    let host_ctf = images.host_ctf(staging);
    let per_image = slots(input) * layout.shells;
    let alignments = staging.values(&found.alignments);
    let shares = staging.values(&found.shares);
    let first_image = found.part.start;
    // While the host works these out the device waits; only the sums are added one after the other.
    let of_images: Vec<(ParticleOutcome, ShellSums)> = alignments
        .par_iter()
        .zip(shares.par_chunks_exact(per_image))
        .enumerate()
        .map(|(i, (alignment, shares))| {
            let i = first_image + i;
            (
                results.outcome(i, alignment, shares),
                results.shell_sums(i, alignment, shares),
            )
        })
        .collect();
    let add = |((i, alignment), (mut outcome, shells)): ((usize, &Alignment), (_, ShellSums))| {
        if !input.options.skip_maximize {
            let a_g = layout.host.pixel_size;
            sums.sigma2_offset += f64::from(alignment.offset2) * a_g * a_g;
            let ctf = match host_ctf {
                [] => host_ctf,
                ctf => &ctf[i * layout.stride..],
            };
            let found = ParticleSums {
                start: &images.starts[i],
                shells: &shells,
                ctf,
            };
            sums.add_particle(input, &layout.host, items[i], found, &mut outcome);
        }
        outcome
    };
    let images_of_part = found.part.clone().zip(alignments);
    images_of_part.zip(of_images).map(add).collect()
}

/// Results of a batch on the host.
struct Results<'a> {
    input: &'a IterationInput<'a>,
    items: &'a [&'a BatchItem<'a>],
    layout: &'a GroupLayout,
    /// Shells of the n_g box.
    shells: usize,
    starts: &'a [ParticleStart],
    /// (class, direction · n_psi + psi) of each orientation.
    rows: &'a [(u32, u32)],
    /// Samples of each image that the first pass selected.
    selections: &'a [Selection],
    /// Σ|F|² per shell of the whole transform, of all images.
    shell_powers: &'a [f32],
    /// The same of the images that are compared.
    compared_powers: &'a [f32],
}

impl Results<'_> {
    /// Σ|F|² of the shells above the n_g box, of image `i`.
    fn high_power(&self, i: usize, shell_powers: &[f32]) -> Vec<f64> {
        let shells = self.layout.box_size / 2 + 1;
        let powers = &shell_powers[i * shells..(i + 1) * shells];
        let above = powers[self.shells.min(shells)..].iter();
        above.map(|&v| f64::from(v)).collect()
    }

    /// Pose, likelihood and probability of particle `i`, its norm still the old one.
    fn outcome(&self, i: usize, alignment: &Alignment, shares: &[[f32; 4]]) -> ParticleOutcome {
        let (input, host) = (self.input, self.layout);
        let (class, orientation) = self.rows[alignment.orientation as usize];
        let children = input
            .sampling
            .orientation_children(input.options.oversampling);
        let best = BestSample {
            class: class as usize,
            orientation: orientation as usize,
            child: alignment.best as usize % (children * host.shift_children) / host.shift_children,
            shift: alignment.shift as usize,
        };
        let selection = &alignment.selection;
        let counted = self.selections[i].counted as usize;
        let evidence = match input.criterion {
            Criterion::CrossCorrelation => {
                Evidence::of_correlation(f64::from(selection.max_log), counted)
            }
            Criterion::Likelihood => {
                let powers = shares[..self.shells].iter();
                Evidence::of_weights(
                    host,
                    f64::from(selection.sum).ln() + f64::from(selection.max_log),
                    1.0 / f64::from(selection.sum),
                    self.high_power(i, self.compared_powers).iter().sum(),
                    powers.map(|s| f64::from(s[3])).sum::<f64>() / 2.0,
                    counted,
                )
            }
        };
        ParticleOutcome::new(input, host, self.items[i], &self.starts[i], best, evidence)
    }

    /// Sums per shell of particle `i`, whose `shares` are those of its slots.
    fn shell_sums(&self, i: usize, alignment: &Alignment, shares: &[[f32; 4]]) -> ShellSums {
        let (input, shells) = (self.input, self.shells);
        let column = |shares: &[[f32; 4]], k: usize| -> Vec<f64> {
            shares.iter().map(|s| f64::from(s[k])).collect()
        };
        let (all, scaled) = shares.split_at(shells);
        let of_all = ClassShells {
            class: 0,
            xa: column(all, 0),
            aa: column(all, 1),
        };
        let scale = match scaled {
            // One class: all of it, shell by shell.
            [] => of_all.scale_sums(input),
            scaled => [0, 1].map(|k| column(scaled, k).iter().sum()),
        };
        ShellSums {
            weight: f64::from(alignment.weight),
            power: column(all, 2),
            high_power: self.high_power(i, self.shell_powers),
            xa: of_all.xa,
            aa: of_all.aa,
            scale,
        }
    }
}

/// Sums per image, pixel and shell that the store stage makes: over all classes, and, where scales are estimated with several
/// of them, over each class's shells that [`estimates_scale`].
pub(super) fn slots(input: &IterationInput) -> usize {
    let several = input.references.len() > 1;
    1 + usize::from(several && input.options.scale && input.criterion == Criterion::Likelihood)
}

/// Returns, class by class, which of the pixels with image shells `shell_of` take part in the estimate of scales: 1 or 0. Empty
/// with one slot.
pub(super) fn pixels_in_scale(input: &IterationInput, shell_of: &[usize]) -> Vec<u8> {
    if slots(input) == 1 {
        return Vec::new();
    }
    let of_class = |class: &ClassModel| {
        let takes_part =
            |&shell: &usize| class.ssnr.get(shell).is_some_and(|&s| estimates_scale(s));
        let pixels = shell_of.iter().map(takes_part).map(u8::from);
        pixels.collect::<Vec<u8>>()
    };
    input.model.classes.iter().flat_map(of_class).collect()
}
