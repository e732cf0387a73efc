//! The second pass of the batch, and its sums.

use super::batch::{Batch, Groups};
use super::uploaded::Uploaded;
use super::*;
use gerelion::device::View;
use gpu::kernels::fine::FineDifferences8x4;
use gpu::kernels::groups::{ReferencesViews, SamplesViews, SlicesViews};
use gpu::kernels::project::ProjectSlices;
use gpu::kernels::store::{
    SharesViews, StoreOrientations8, StoredImagesViews, StoredPixelsViews, SumsViews,
};
use gpu::kernels::weights::FineWeights;
use gpu::kernels::wide::FineDifferencesWide;
use gpu::samples::{Alignment, CTF_CORRECTED, Sample, product};
use gpu::shapes::WIDE_IMAGES;
use gpu::slice::insertion;
use rayon::prelude::*;
use std::time::Instant;

/// Checks weights against the exponentials of the differences.
fn check_weights(
    weights: &[f32],
    alignments: &[Alignment],
    samples: &[Sample],
    first: &[u32],
    differences: &[f32],
) {
    let per_sample = CHILDREN * SHIFT_CHILDREN;
    let mut exact = vec![0.0f64; weights.len()];
    for i in 0..IMAGES {
        let range = first[i] as usize * per_sample..first[i + 1] as usize * per_sample;
        let log = |j: usize| f64::from(samples[j / per_sample].log_prior - differences[j]);
        let largest = range.clone().map(log).fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = range.clone().map(|j| (log(j) - largest).exp()).sum();
        for j in range.clone() {
            exact[j] = if weights[j] > 0.0 {
                (log(j) - largest).exp() / sum
            } else {
                0.0
            };
        }
        let kept: f64 = range.clone().map(|j| exact[j]).sum();
        assert!(kept > 0.9989 && kept < 1.0 + 1e-6, "image {i}: {kept}");
        assert!(log(alignments[i].best as usize) >= largest - 1e-6);
    }
    assert_close("fine_weights", weights.iter().copied(), exact, 1e-5);
}

/// The first `count` samples of a list.
fn samples_with_children(list: &Buffer<Sample>, count: usize) -> SamplesViews {
    SamplesViews {
        count: count as u32,
        list: list.view(),
        orientation_children: CHILDREN as u32,
        shift_children: SHIFT_CHILDREN as u32,
    }
}

impl Batch {
    pub fn fine_and_store(
        &self,
        device: &Device,
        d: &Uploaded,
        samples: &[Sample],
        first: &[u32],
        groups: &Groups,
    ) {
        let stride = self.stride;
        let per_sample = CHILDREN * SHIFT_CHILDREN;
        let parent_count = groups.host_parents.len();
        let pair_count = groups.host_parents[parent_count - 1].end;
        let slices = poisoned2(device, parent_count * CHILDREN * stride);
        let d_values = poisoned(device, samples.len() * per_sample);
        let (list, d_first) = (
            device.upload(samples).unwrap(),
            device.upload(first).unwrap(),
        );
        // SAFETY: array sizes as the kernels demand.
        unsafe {
            device
                .launch(&ProjectSlices {
                    orientations: (parent_count * CHILDREN) as u32,
                    volume: d.references.view(),
                    shape: d.shape.view(),
                    axes: d.axes.view(),
                    selection: groups.chosen.view(),
                    volume_of: d.class_of.view(),
                    children: CHILDREN as u32,
                    pixels: d.pixels.view(),
                    pixel_count: self.count(),
                    out: slices.view(),
                    stride: stride as u32,
                })
                .unwrap();
            device
                .launch(&FineDifferences8x4 {
                    pair_count,
                    pairs: groups.pairs.view(),
                    samples: samples_with_children(&list, samples.len()),
                    first_parent: 0,
                    slices: SlicesViews {
                        rows: slices.view(),
                        stride: stride as u32,
                    },
                    compared: d.compared(self),
                    phases: d.phases(self),
                    values: d_values.view(),
                })
                .unwrap();
        }
        let differences = device.download(&d_values, d_values.len()).unwrap();
        self.check_differences("fine_differences_8x4", &differences, samples);
        self.wide_differences(device, d, (samples, &list), &slices, groups);

        let best = device.zeros::<u64>(IMAGES).unwrap();
        let alignments = device.upload(&[Alignment::default(); IMAGES]).unwrap();
        // SAFETY: array sizes as the kernels demand.
        unsafe {
            device
                .launch(&FineWeights {
                    images: IMAGES as u32,
                    samples: list.view(),
                    first: d_first.view(),
                    orientation_children: CHILDREN as u32,
                    shift_children: SHIFT_CHILDREN as u32,
                    fraction: 0.999,
                    limit: u32::MAX,
                    best_only: 0,
                    given: View::null(),
                    values: d_values.view(),
                    best: best.view(),
                    out: alignments.view(),
                    kept: View::null(),
                })
                .unwrap();
        }
        let weights = device.download(&d_values, differences.len()).unwrap();
        let alignments = device.download(&alignments, IMAGES).unwrap();
        check_weights(&weights, &alignments, samples, first, &differences);
        let there = (&list, &d_values);
        self.store(device, d, (samples, &weights), there, groups);
    }

    /// The same differences by the kernel of a thread a sample.
    fn wide_differences(
        &self,
        device: &Device,
        d: &Uploaded,
        (samples, list): (&[Sample], &Buffer<Sample>),
        slices: &Buffer<[f32; 2]>,
        groups: &Groups,
    ) {
        let (stride, per_sample) = (self.stride, CHILDREN * SHIFT_CHILDREN);
        let d_wide = poisoned(device, samples.len() * per_sample);
        // SAFETY: array sizes as the kernel demands.
        unsafe {
            device
                .launch(&FineDifferencesWide {
                    parents: groups.parents.view(),
                    parent_count: groups.host_parents.len() as u32,
                    parts: (IMAGES as u32).div_ceil(WIDE_IMAGES),
                    pairs: groups.pairs.view(),
                    samples: samples_with_children(list, samples.len()),
                    slices: SlicesViews {
                        rows: slices.view(),
                        stride: stride as u32,
                    },
                    compared: d.compared(self),
                    phases: d.phases(self),
                    shifts: SHIFTS as u32,
                    values: d_wide.view(),
                })
                .unwrap();
        }
        let wide = device.download(&d_wide, d_wide.len()).unwrap();
        self.check_differences("fine_differences_wide", &wide, samples);
    }

    /// Some of the differences against double precision.
    fn check_differences(&self, name: &str, differences: &[f32], samples: &[Sample]) {
        let per_sample = CHILDREN * SHIFT_CHILDREN;
        let (mut found, mut expected) = (Vec::new(), Vec::new());
        for s in (0..samples.len()).step_by(samples.len() / 40 + 1) {
            for j in 0..per_sample {
                let o = samples[s].orientation as usize;
                let t = samples[s].shift as usize * SHIFT_CHILDREN + j % SHIFT_CHILDREN;
                let child = o * CHILDREN + j / SHIFT_CHILDREN;
                expected.push(self.difference(child, o, samples[s].image as usize, t));
                found.push(differences[s * per_sample + j]);
            }
        }
        assert_close(name, found, expected, 2e-6);
    }

    /// Samples and their weights are on the host, and on the device.
    fn store(
        &self,
        device: &Device,
        d: &Uploaded,
        (samples, weights): (&[Sample], &[f32]),
        (list, d_values): (&Buffer<Sample>, &Buffer<f32>),
        groups: &Groups,
    ) {
        let (count, stride, voxels) = (self.pixels.len(), self.stride, self.shape.len());
        let sums = device.zeros::<[f32; 4]>(CLASSES * voxels).unwrap();
        let shares = device.zeros::<[f32; 2]>(IMAGES * 2 * count).unwrap();
        let in_scale = device.upload(&self.in_scale()).unwrap();
        let max_radius2 = (2.0 * f32::from(HALF)).powi(2) * (1.0 + 2e-6);
        let clock = Instant::now();
        // SAFETY: array sizes as the kernels demand.
        unsafe {
            device
                .launch(&StoreOrientations8 {
                    parent_count: groups.host_parents.len() as u32,
                    parents: groups.parents.view(),
                    pairs: groups.pairs.view(),
                    samples: samples_with_children(list, samples.len()),
                    values: d_values.view(),
                    references: ReferencesViews {
                        volumes: d.references.view(),
                        shape: d.shape.view(),
                        axes: d.axes.view(),
                        class_of: d.class_of.view(),
                    },
                    pixels: StoredPixelsViews {
                        pixels: d.pixels.view(),
                        inverse_variance: d.weight.view(),
                        projected: self.count(),
                        count: self.count(),
                    },
                    images: StoredImagesViews {
                        count: IMAGES as u32,
                        masked: d.masked.view(),
                        unmasked: d.unmasked.view(),
                        ctf: d.ctf.view(),
                        stride: stride as u32,
                        scales: d.scales.view(),
                        half_of: View::null(),
                    },
                    phases: d.phases(self),
                    flags: CTF_CORRECTED,
                    sums: SumsViews {
                        volumes: sums.view(),
                        side: self.shape.side,
                        scale: 1.0,
                        max_radius2,
                        classes: CLASSES as u32,
                    },
                    shares: SharesViews {
                        sums: shares.view(),
                        slots: 2,
                        in_scale: in_scale.view(),
                    },
                })
                .unwrap();
        }
        device.synchronise().unwrap();
        println!(
            "store_orientations_8 took {:.2} ms",
            clock.elapsed().as_secs_f64() * 1e3
        );
        let sums = device.download(&sums, CLASSES * voxels).unwrap();
        let shares = device.download(&shares, IMAGES * 2 * count).unwrap();
        let (exact, exact_shares) = self.exact_sums(samples, weights, max_radius2);
        for (k, name) in ["sums, real", "sums, imaginary", "sums, weight"]
            .into_iter()
            .enumerate()
        {
            assert_close(
                name,
                sums.iter().map(|v| v[k]),
                exact.iter().map(|v| v[k]),
                position_rounding(&self.shape),
            );
        }
        for (k, name) in ["shares XA", "shares AA"].into_iter().enumerate() {
            assert_close(
                name,
                shares.iter().map(|v| v[k]),
                exact_shares.iter().map(|v| v[k]),
                position_rounding(&self.shape),
            );
        }
    }

    /// Sums and shares by their definition, sample by sample in double precision; on all cores, for there are many.
    fn exact_sums(
        &self,
        samples: &[Sample],
        weights: &[f32],
        max_radius2: f32,
    ) -> (Vec<[f64; 3]>, Vec<[f64; 2]>) {
        let (count, voxels) = (self.pixels.len(), self.shape.len());
        let slices: Vec<Vec<[f32; 2]>> = (0..ORIENTATIONS * CHILDREN)
            .into_par_iter()
            .map(|child| self.slice(child, child / CHILDREN))
            .collect();
        let kept: Vec<usize> = (0..weights.len()).filter(|&j| weights[j] > 0.0).collect();
        println!(
            "{} of {} fine samples have a weight",
            kept.len(),
            weights.len()
        );
        let add_of = |kept: &[usize]| {
            let mut exact = vec![[0.0f64; 3]; CLASSES * voxels];
            let mut shares = vec![[0.0f64; 2]; IMAGES * 2 * count];
            let in_scale = self.in_scale();
            for &j in kept {
                let sample = samples[j / (CHILDREN * SHIFT_CHILDREN)];
                let o = sample.orientation as usize;
                let child = o * CHILDREN + j / SHIFT_CHILDREN % CHILDREN;
                let t = sample.shift as usize * SHIFT_CHILDREN + j % SHIFT_CHILDREN;
                let class = self.class_of[o] as usize;
                let row = sample.image as usize * 2;
                self.add_exactly(
                    (sample.image as usize, child, t),
                    f64::from(weights[j]),
                    (&slices[child], max_radius2),
                    &mut exact[class * voxels..(class + 1) * voxels],
                    &in_scale[class * count..(class + 1) * count],
                    &mut shares[row * count..(row + 2) * count],
                );
            }
            (exact, shares)
        };
        let part = kept
            .len()
            .div_ceil(rayon::current_num_threads().min(16))
            .max(1);
        let parts: Vec<_> = kept.par_chunks(part).map(add_of).collect();
        parts
            .into_iter()
            .reduce(|(mut a, mut b), (c, d)| {
                for (a, c) in a.iter_mut().zip(&c) {
                    *a = std::array::from_fn(|k| a[k] + c[k]);
                }
                for (b, d) in b.iter_mut().zip(&d) {
                    *b = std::array::from_fn(|k| b[k] + d[k]);
                }
                (a, b)
            })
            .expect("some sample has a weight")
    }

    /// One sample: image, child of an orientation, row of the phases.
    fn add_exactly(
        &self,
        (i, child, t): (usize, usize, usize),
        weight: f64,
        (slice, max_radius2): (&[[f32; 2]], f32),
        volume: &mut [[f64; 3]],
        in_scale: &[u8],
        shares: &mut [[f64; 2]],
    ) {
        let wide = |v: [f32; 2]| v.map(f64::from);
        let (all, scaled) = shares.split_at_mut(in_scale.len());
        for (p, share) in all.iter_mut().enumerate() {
            let at = i * self.stride + p;
            let c = f64::from(self.scales[i]) * f64::from(self.ctf[at]);
            let v = f64::from(self.weight[p]);
            let e = self.phases[t * self.stride + p];
            let u = wide(product(self.unmasked[at], e));
            let [x, y] = self.pixels[p].map(f32::from);
            if let Some(place) =
                insertion(&self.shape, max_radius2, self.axes[child].position(x, y))
            {
                let sign = if place.conjugate { -1.0 } else { 1.0 };
                for corner in 0..8 {
                    let (offset, part) = place.corner(&self.shape, corner);
                    let part = f64::from(part) * weight * c * v;
                    let voxel = &mut volume[place.base + offset];
                    voxel[0] += part * u[0];
                    voxel[1] += part * sign * u[1];
                    voxel[2] += part * c;
                }
            }
            let (a, f) = (wide(slice[p]), wide(product(self.masked[at], e)));
            let added = [
                weight * c * (a[0] * f[0] + a[1] * f[1]),
                weight * c * c * (a[0] * a[0] + a[1] * a[1]),
            ];
            *share = std::array::from_fn(|k| share[k] + added[k]);
            if in_scale[p] != 0 {
                scaled[p] = std::array::from_fn(|k| scaled[p][k] + added[k]);
            }
        }
    }

    /// Class by class, the pixels that take part in the estimate of scales.
    fn in_scale(&self) -> Vec<u8> {
        let count = self.pixels.len();
        (0..CLASSES * count)
            .map(|i| u8::from((i % count).is_multiple_of(3) == (i < count)))
            .collect()
    }
}
