//! One batch through the stages: the first pass and the grouping of its samples.

use super::uploaded::Uploaded;
use super::*;
use gerelion::device::View;
use gpu::kernels::columns::WeightedColumns;
use gpu::kernels::grouping::{CountPairs, ListParents, PlacePairs};
use gpu::kernels::half_turns::{JoinHalfTurns, ProjectParts};
use gpu::kernels::product::InnerProducts;
use gpu::kernels::scan::ExclusiveScan;
use gpu::samples::{Pair, Parent, Sample, Selection};
use gpu::slice::slice_value;

/// One batch from slices to sums.
#[test]
fn a_batch_gives_the_sums_of_the_definition() {
    let Some(device) = device() else { return };
    let batch = Batch::new();
    let d = Uploaded::new(&device, &batch);
    let selections = batch.coarse(&device, &d);
    let (samples, first) = batch.check_significance(&device, &d, &selections);
    let groups = batch.group(&device, &samples);
    batch.fine_and_store(&device, &d, &samples, &first, &groups);
}

/// Inputs of a batch.
pub struct Batch {
    pub shape: VolumeShape,
    pub references: Vec<[f32; 2]>,
    pub class_of: Vec<u32>,
    pub axes: Vec<SliceAxes>,
    pub pixels: Vec<[i16; 2]>,
    pub stride: usize,
    pub masked: Vec<[f32; 2]>,
    pub unmasked: Vec<[f32; 2]>,
    pub ctf: Vec<f32>,
    pub scales: Vec<f32>,
    pub weight: Vec<f32>,
    pub phases: Vec<[f32; 2]>,
    pub log_prior: Vec<f32>,
    pub offset_log_prior: Vec<f32>,
}

pub struct Groups {
    pub parents: Buffer<Parent>,
    pub pairs: Buffer<Pair>,
    pub chosen: Buffer<u32>,
    pub host_parents: Vec<Parent>,
}

impl Batch {
    pub fn new() -> Self {
        let pixels = pixels();
        let stride = pixels.len().next_multiple_of(32);
        let shape = VolumeShape::new(2 * (2 * HALF as u32 + 1) + 1, HALF as u32, 2.0);
        let pad = |v: Vec<[f32; 2]>| -> Vec<[f32; 2]> {
            v.chunks_exact(pixels.len())
                .flat_map(|row| {
                    row.iter()
                        .copied()
                        .chain(vec![[0.0; 2]; stride - pixels.len()])
                })
                .collect()
        };
        let phases = (0..SHIFTS * SHIFT_CHILDREN)
            .flat_map(|t| {
                let (tx, ty) = (0.3 * t as f32 - 4.0, 2.0 - 0.17 * t as f32);
                let row = pixels.iter().map(move |[x, y]| {
                    gpu::image::shift_phase(i32::from(*x), i32::from(*y), [tx, ty], BOX as u32)
                });
                row.collect::<Vec<_>>()
            })
            .collect();
        let ctf = values(IMAGES * pixels.len(), 13)
            .chunks_exact(pixels.len())
            .flat_map(|row| row.iter().copied().chain(vec![0.0; stride - pixels.len()]))
            .collect();
        Self {
            references: complex(CLASSES * shape.len(), 10),
            class_of: (0..ORIENTATIONS as u32)
                .map(|o| o % CLASSES as u32)
                .collect(),
            axes: axes(ORIENTATIONS * CHILDREN),
            masked: pad(complex(IMAGES * pixels.len(), 11)),
            unmasked: pad(complex(IMAGES * pixels.len(), 12)),
            ctf,
            scales: values(IMAGES, 14).iter().map(|v| 1.0 + 0.2 * v).collect(),
            weight: values(pixels.len(), 15)
                .iter()
                .map(|v| 0.8 + 0.4 * v)
                .collect(),
            phases: pad(phases),
            log_prior: values(ORIENTATIONS, 16),
            offset_log_prior: values(IMAGES * SHIFTS, 17),
            shape,
            stride,
            pixels,
        }
    }

    pub fn count(&self) -> u32 {
        self.pixels.len() as u32
    }

    /// Projects the first child of every orientation, and fills the products; returns the slices.
    fn products(&self, device: &Device, d: &Uploaded) -> Vec<[f32; 2]> {
        let (count, stride) = (self.pixels.len(), self.stride);
        let [real, imaginary, powers] = [0; 3].map(|_| poisoned(device, ORIENTATIONS * stride));
        let columns = [0; 2].map(|_| poisoned(device, IMAGES * SHIFTS * stride));
        let column_powers = poisoned(device, IMAGES * stride);
        let coarse_axes: Vec<SliceAxes> = self.axes.iter().step_by(CHILDREN).copied().collect();
        let d_axes = device.upload(&coarse_axes).unwrap();
        // No two of these orientations differ by a half turn.
        let pairs: Vec<[u32; 2]> = (0..ORIENTATIONS as u32).map(|o| [o, o]).collect();
        let pairs = device.upload(&pairs).unwrap();
        // SAFETY: array sizes as the kernels demand.
        unsafe {
            device
                .launch(&ProjectParts {
                    pairs: pairs.view(),
                    pair_count: ORIENTATIONS as u32,
                    volume: d.references.view(),
                    shape: d.shape.view(),
                    axes: d_axes.view(),
                    volume_of: d.class_of.view(),
                    pixels: d.pixels.view(),
                    pixel_count: count as u32,
                    real: real.view(),
                    imaginary: imaginary.view(),
                    half_power: powers.view(),
                    stride: stride as u32,
                })
                .unwrap();
            // The coarse shifts are every fourth row of the phases.
            device
                .launch(&WeightedColumns {
                    image_count: IMAGES as u32,
                    images: d.masked.view(),
                    image_stride: stride as u32,
                    ctf: d.ctf.view(),
                    scales: d.scales.view(),
                    weight: d.weight.view(),
                    phases: d.phases.view(),
                    phase_stride: (stride * SHIFT_CHILDREN) as u32,
                    pixel_count: count as u32,
                    shifts: SHIFTS as u32,
                    real: columns[0].view(),
                    imaginary: columns[1].view(),
                    column_stride: stride as u32,
                    powers: column_powers.view(),
                    power_stride: stride as u32,
                })
                .unwrap();
        }
        let product = |left: &Buffer<f32>, right: &Buffer<f32>, columns: usize| {
            let out = poisoned(device, ORIENTATIONS * columns);
            let product = InnerProducts {
                left: left.view(),
                right: right.view(),
                rows: ORIENTATIONS as u32,
                columns: columns as u32,
                length: stride as u32,
                out: out.view(),
                out_stride: columns as u32,
            };
            // SAFETY: array sizes as the kernel demands.
            unsafe { device.launch(&product).unwrap() };
            out
        };
        let of_real = product(&real, &columns[0], IMAGES * SHIFTS);
        let of_imaginary = product(&imaginary, &columns[1], IMAGES * SHIFTS);
        let of_powers = product(&powers, &column_powers, IMAGES);
        // SAFETY: array sizes as the kernel demands.
        unsafe {
            device
                .launch(&JoinHalfTurns {
                    pairs: pairs.view(),
                    pair_count: ORIENTATIONS as u32,
                    real: of_real.view(),
                    imaginary: of_imaginary.view(),
                    columns: (IMAGES * SHIFTS) as u32,
                    power: of_powers.view(),
                    images: IMAGES as u32,
                    cross: d.cross.view(),
                    norm: d.norm.view(),
                })
                .unwrap();
        }
        let [real, imaginary] =
            [real, imaginary].map(|part| device.download(&part, ORIENTATIONS * stride).unwrap());
        let parts = real.into_iter().zip(imaginary);
        parts.map(|(re, im)| [re, im]).collect()
    }

    /// Products of all orientations and their selection.
    fn coarse(&self, device: &Device, d: &Uploaded) -> Vec<Selection> {
        let (count, stride) = (self.pixels.len(), self.stride);
        let slices = self.products(device, d);
        let expected: Vec<[f32; 2]> = (0..ORIENTATIONS)
            .flat_map(|o| {
                self.slice(o * CHILDREN, o)
                    .into_iter()
                    .chain(vec![[0.0; 2]; stride - count])
            })
            .collect();
        assert_close(
            "project_parts",
            flat(&slices),
            flat(&expected).map(f64::from),
            position_rounding(&self.shape),
        );

        let selections = device.upload(&vec![Selection::default(); IMAGES]).unwrap();
        let kept = device.zeros::<u32>(IMAGES).unwrap();
        // SAFETY: array sizes as the kernels demand.
        unsafe {
            let bounds = d.bounds();
            device.launch(&bounds).unwrap();
            let found = (selections.view(), kept.view());
            device
                .launch(&bounds.select(0.999, u32::MAX, found))
                .unwrap();
        }
        let cross = device
            .download(&d.cross, ORIENTATIONS * IMAGES * SHIFTS)
            .unwrap();
        let norm = device.download(&d.norm, ORIENTATIONS * IMAGES).unwrap();
        let (mut expected, mut found) = (Vec::new(), Vec::new());
        for o in (0..ORIENTATIONS).step_by(7) {
            for i in (0..IMAGES).step_by(3) {
                for t in 0..SHIFTS {
                    expected.push(self.difference(o * CHILDREN, o, i, t * SHIFT_CHILDREN));
                    found.push(norm[o * IMAGES + i] - cross[(o * IMAGES + i) * SHIFTS + t]);
                }
            }
        }
        assert_close("coarse differences", found, expected, 2e-6);
        device.download(&selections, IMAGES).unwrap()
    }

    /// Significance against sorting; returns the list of samples and where each image begins in it.
    fn check_significance(
        &self,
        device: &Device,
        d: &Uploaded,
        selections: &[Selection],
    ) -> (Vec<Sample>, Vec<u32>) {
        let mut first = vec![0u32];
        for s in selections {
            first.push(first[first.len() - 1] + s.kept);
        }
        let total = first[IMAGES] as usize;
        let (d_first, d_selections) = (
            device.upload(&first).unwrap(),
            device.upload(selections).unwrap(),
        );
        let list = device.upload(&vec![Sample::default(); total]).unwrap();
        // SAFETY: array sizes as the kernels demand.
        unsafe {
            let out = (list.view(), total as u32);
            device
                .launch(&d.bounds().list(d_selections.view(), d_first.view(), out))
                .unwrap();
        }
        let samples = device.download(&list, total).unwrap();
        let cross = device
            .download(&d.cross, ORIENTATIONS * IMAGES * SHIFTS)
            .unwrap();
        let norm = device.download(&d.norm, ORIENTATIONS * IMAGES).unwrap();
        for i in 0..IMAGES {
            let mut logs: Vec<(f32, u32, u32)> = Vec::new();
            for o in 0..ORIENTATIONS {
                for t in 0..SHIFTS {
                    let difference = norm[o * IMAGES + i] - cross[(o * IMAGES + i) * SHIFTS + t];
                    let prior = self.log_prior[o] + self.offset_log_prior[i * SHIFTS + t];
                    logs.push((prior - difference, o as u32, t as u32));
                }
            }
            let largest = logs.iter().map(|l| l.0).fold(f32::NEG_INFINITY, f32::max);
            let weight = |l: f32| f64::from(l - largest).exp();
            let sum: f64 = logs.iter().map(|l| weight(l.0)).sum();
            assert!((f64::from(selections[i].sum) / sum - 1.0).abs() < 1e-5);
            let mut sorted = logs.clone();
            sorted.sort_by(|a, b| b.0.total_cmp(&a.0));
            let mut at = 0.0;
            let counted = 1 + sorted
                .iter()
                .position(|l| {
                    at += weight(l.0);
                    at > f64::from(0.999f32) * sum
                })
                .unwrap();
            // The sums are rounded differently: a sample or two in a thousand may fall on the other side.
            let found = selections[i].counted as usize;
            assert!(
                found.abs_diff(counted) <= 1 + counted / 500,
                "image {i}: {found} instead of {counted}"
            );
            let mine = &samples[first[i] as usize..first[i + 1] as usize];
            let expected: Vec<(u32, u32)> = logs
                .iter()
                .filter(|l| selections[i].keeps(l.0))
                .map(|l| (l.1, l.2))
                .collect();
            assert!(mine.iter().all(|s| s.image == i as u32));
            let listed: Vec<(u32, u32)> = mine.iter().map(|s| (s.orientation, s.shift)).collect();
            assert_eq!(listed, expected, "image {i}");
        }
        println!("significance agrees; {total} samples of {IMAGES} images");
        (samples, first)
    }

    fn group(&self, device: &Device, samples: &[Sample]) -> Groups {
        let count = samples.len() as u32;
        let list = device.upload(samples).unwrap();
        let counts = device.zeros::<u32>(ORIENTATIONS).unwrap();
        let cursor = device.zeros::<u32>(ORIENTATIONS).unwrap();
        let first = device.zeros::<u32>(ORIENTATIONS + 1).unwrap();
        let rank = device.zeros::<u32>(ORIENTATIONS + 1).unwrap();
        let pairs = device
            .upload(&vec![Pair::default(); samples.len()])
            .unwrap();
        let parents = device
            .upload(&vec![Parent::default(); ORIENTATIONS])
            .unwrap();
        let chosen = device.zeros::<u32>(ORIENTATIONS).unwrap();
        let orientations = ORIENTATIONS as u32;
        // SAFETY: array sizes as the kernels demand.
        unsafe {
            device
                .launch(&CountPairs {
                    samples: list.view(),
                    count,
                    number: View::null(),
                    counts: counts.view(),
                })
                .unwrap();
            device
                .launch(&ExclusiveScan {
                    values: counts.view(),
                    count: orientations,
                    flags: 0,
                    out: first.view(),
                })
                .unwrap();
            device
                .launch(&ExclusiveScan {
                    values: counts.view(),
                    count: orientations,
                    flags: 1,
                    out: rank.view(),
                })
                .unwrap();
            device
                .launch(&PlacePairs {
                    samples: list.view(),
                    count,
                    number: View::null(),
                    first: first.view(),
                    rank: rank.view(),
                    cursor: cursor.view(),
                    pairs: pairs.view(),
                })
                .unwrap();
            device
                .launch(&ListParents {
                    first: first.view(),
                    rank: rank.view(),
                    orientations,
                    parents: parents.view(),
                    chosen: chosen.view(),
                })
                .unwrap();
        }
        let parent_count = device.download(&rank, ORIENTATIONS + 1).unwrap()[ORIENTATIONS] as usize;
        let host_parents = device.download(&parents, parent_count).unwrap();
        let host_pairs = device.download(&pairs, samples.len()).unwrap();
        let mut seen = vec![false; samples.len()];
        for (rank, parent) in host_parents.iter().enumerate() {
            for pair in &host_pairs[parent.begin as usize..parent.end as usize] {
                assert_eq!(pair.parent as usize, rank);
                for s in pair.begin..pair.end {
                    let sample = samples[s as usize];
                    assert_eq!(
                        (sample.image, sample.orientation),
                        (pair.image, parent.orientation)
                    );
                    assert!(!std::mem::replace(&mut seen[s as usize], true));
                }
            }
        }
        assert!(seen.iter().all(|s| *s));
        println!("grouping agrees; {parent_count} orientations");
        Groups {
            parents,
            pairs,
            chosen,
            host_parents,
        }
    }

    pub fn slice(&self, child: usize, orientation: usize) -> Vec<[f32; 2]> {
        let voxels = self.shape.len();
        let first = self.class_of[orientation] as usize * voxels;
        let volume = &self.references[first..first + voxels];
        self.pixels
            .iter()
            .map(|p| {
                let [x, y] = p.map(f32::from);
                slice_value(volume, &self.shape, self.axes[child].position(x, y))
            })
            .collect()
    }

    /// ½ΣV|mA − Fe^{iφ}|² − ½ΣV|F|², in double precision.
    pub fn difference(
        &self,
        child: usize,
        orientation: usize,
        image: usize,
        phase_row: usize,
    ) -> f64 {
        let slice = self.slice(child, orientation);
        (0..self.pixels.len())
            .map(|p| {
                let at = image * self.stride + p;
                let m = f64::from(self.scales[image]) * f64::from(self.ctf[at]);
                let a = slice[p].map(|v| m * f64::from(v));
                let f = self.masked[at].map(f64::from);
                let e = self.phases[phase_row * self.stride + p].map(f64::from);
                let shifted = [f[0] * e[0] - f[1] * e[1], f[0] * e[1] + f[1] * e[0]];
                let cross = a[0] * shifted[0] + a[1] * shifted[1];
                f64::from(self.weight[p]) * (0.5 * (a[0] * a[0] + a[1] * a[1]) - cross)
            })
            .sum()
    }
}
