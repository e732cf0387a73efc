//! The weighted sums against their definition, in the emulator.

use super::groups::{PhasesViews, ReferencesViews, SamplesViews};
use super::store::*;
use crate::kernels::grouping;
use crate::kernels::project;
use crate::kernels::test_data::{self, assert_close};
use crate::samples::{CTF_CORRECTED, PREMULTIPLIED, Sample};
use crate::shapes::children_at_once;
use crate::slice::{SliceAxes, VolumeShape, insertion, slice_value};
use cuda_std::launch::{View, emulate};

/// Orientations of maps have eight children or a multiple, or none.
#[test]
fn sums_follow_the_definition() {
    for children in [[8, 4], [16, 8], [8, 2], [1, 1], [2, 4], [4, 3]] {
        check(
            solid(),
            project::tests::rotations,
            children,
            CTF_CORRECTED,
            false,
        );
    }
}

/// Gradient iterations: images of even and odd particles apart, and without what the reference explains of them.
#[test]
fn residuals_of_pseudo_halves_follow_the_definition() {
    for flags in [CTF_CORRECTED, 0, CTF_CORRECTED | PREMULTIPLIED] {
        check(solid(), project::tests::rotations, [8, 4], flags, true);
        check(flat(), project::tests::turns, CHILDREN, flags, true);
    }
}

/// Class averages are inserted into one plane, between four pixels.
#[test]
fn sums_of_class_averages_follow_the_definition() {
    check(
        flat(),
        project::tests::turns,
        CHILDREN,
        CTF_CORRECTED,
        false,
    );
}

/// Sums may be padded more than the references (`--asymmetric_padding`).
#[test]
fn sums_of_another_padding_follow_the_definition() {
    for children in [[8, 4], [2, 4]] {
        let mut case = Case::new(
            solid(),
            project::tests::rotations,
            children,
            CTF_CORRECTED,
            false,
        );
        case.sums_shape = VolumeShape::new(2 * (12 + 1) + 1, 4, 3.0);
        case.sums_scale = 1.5;
        case.max_radius2 = crate::slice::reach2(12.0);
        check_case(case);
    }
}

fn solid() -> VolumeShape {
    VolumeShape::new(2 * (8 + 1) + 1, 4, 2.0)
}

fn flat() -> VolumeShape {
    VolumeShape::flat(2 * (8 + 1) + 1, 4, 2.0)
}

const IMAGES: usize = 3;
const SHIFTS: usize = 3;
const ORIENTATIONS: usize = 4;
const CLASSES: usize = 2;
/// Children of an orientation and of a shift, of class averages.
const CHILDREN: [usize; 2] = [2, 4];

/// Arguments of a launch.
struct Case {
    flags: u32,
    /// Children of an orientation and of a shift.
    children: [usize; 2],
    /// Pseudo-half of each image, in a gradient iteration.
    half_of: Option<Vec<u32>>,
    shape: VolumeShape,
    sums_shape: VolumeShape,
    sums_scale: f32,
    max_radius2: f32,
    samples: Vec<Sample>,
    values: Vec<f32>,
    axes: Vec<SliceAxes>,
    class_of: Vec<u32>,
    references: Vec<[f32; 2]>,
    pixels: Vec<[i16; 2]>,
    projected: usize,
    masked: Vec<[f32; 2]>,
    unmasked: Vec<[f32; 2]>,
    ctf: Vec<f32>,
    scales: Vec<f32>,
    variance: Vec<f32>,
    phases: Vec<[f32; 2]>,
    in_scale: Vec<u8>,
}

/// Voxels (re, im, weight), and XA and AA of each image, slot and pixel.
struct Stored<T> {
    sums: Vec<[T; 3]>,
    shares: Vec<[T; 2]>,
}

impl Case {
    fn new(
        shape: VolumeShape,
        rotations: impl Fn(usize, f32) -> Vec<SliceAxes>,
        children: [usize; 2],
        flags: u32,
        gradient: bool,
    ) -> Self {
        let pixels = test_data::pixels(4);
        let count = pixels.len();
        let mut samples = Vec::new();
        for image in 0..IMAGES as u32 {
            for orientation in [0u32, 2, 3] {
                for shift in 0..(image + orientation) % 3 {
                    samples.push(Sample {
                        image,
                        orientation,
                        shift,
                        log_prior: 0.0,
                    });
                }
            }
        }
        let values = test_data::values(samples.len() * children[0] * children[1], 1);
        let variance = test_data::values(count, 6);
        let ctf = test_data::values(IMAGES * count, 5);
        Self {
            flags,
            children,
            half_of: gradient.then(|| vec![1, 0, 1]),
            shape,
            sums_shape: shape,
            sums_scale: 1.0,
            max_radius2: crate::slice::reach2(8.0),
            // Some children have no weight, and one sample none that has.
            values: (values.iter().enumerate())
                .map(
                    |(i, v)| match *v < -0.3 || i / (children[0] * children[1]) == 1 {
                        true => 0.0,
                        false => v.abs(),
                    },
                )
                .collect(),
            samples,
            axes: rotations(ORIENTATIONS * children[0], 2.0),
            class_of: vec![0, 0, 1, 1],
            references: test_data::complex(CLASSES * shape.len(), 2),
            projected: count - 2,
            masked: test_data::complex(IMAGES * count, 3),
            unmasked: test_data::complex(IMAGES * count, 4),
            // Premultiplied images have squares, which are not negative.
            ctf: match flags & PREMULTIPLIED {
                0 => ctf,
                _ => ctf.iter().map(|c| c * c).collect(),
            },
            scales: vec![1.0, 1.3, 0.8],
            variance: variance.iter().map(|v| 1.5 + v).collect(),
            phases: test_data::complex(SHIFTS * children[1] * count, 7),
            // Every third pixel of the first class, all but those of the second.
            in_scale: (0..CLASSES * count)
                .map(|i| u8::from((i % count).is_multiple_of(3) == (i < count)))
                .collect(),
            pixels,
        }
    }

    /// Returns the sums of the kernel.
    fn stored(&mut self) -> Stored<f32> {
        let count = self.pixels.len();
        let (mut parents, mut pairs) = grouping::tests::group(&mut self.samples, ORIENTATIONS);
        let mut sums = vec![[0.0f32; 4]; 2 * CLASSES * self.sums_shape.len()];
        let mut shares = vec![[0.0f32; 2]; IMAGES * 2 * count];
        let kernel = StoreOrientations8 {
            parent_count: parents.len() as u32,
            parents: View::of(&mut parents),
            pairs: View::of(&mut pairs),
            samples: SamplesViews {
                count: self.samples.len() as u32,
                list: View::of(&mut self.samples),
                orientation_children: self.children[0] as u32,
                shift_children: self.children[1] as u32,
            },
            values: View::of(&mut self.values),
            references: ReferencesViews {
                volumes: View::of(&mut self.references),
                shape: View::of(std::slice::from_mut(&mut self.shape)),
                axes: View::of(&mut self.axes),
                class_of: View::of(&mut self.class_of),
            },
            pixels: StoredPixelsViews {
                pixels: View::of(&mut self.pixels),
                inverse_variance: View::of(&mut self.variance),
                projected: self.projected as u32,
                count: count as u32,
            },
            images: StoredImagesViews {
                count: IMAGES as u32,
                masked: View::of(&mut self.masked),
                unmasked: View::of(&mut self.unmasked),
                ctf: View::of(&mut self.ctf),
                stride: count as u32,
                scales: View::of(&mut self.scales),
                half_of: self.half_of.as_mut().map_or(View::null(), |h| View::of(h)),
            },
            phases: PhasesViews {
                shifts: (SHIFTS * self.children[1]) as u32,
                rows: View::of(&mut self.phases),
                stride: count as u32,
            },
            flags: self.flags,
            sums: SumsViews {
                volumes: View::of(&mut sums),
                side: self.sums_shape.side,
                scale: self.sums_scale,
                max_radius2: self.max_radius2,
                classes: CLASSES as u32,
            },
            shares: SharesViews {
                sums: View::of(&mut shares),
                slots: 2,
                in_scale: View::of(&mut self.in_scale),
            },
        };
        // SAFETY: array sizes as the kernel demands.
        unsafe {
            match children_at_once(self.children[0] as u32, self.children[1] as u32) {
                8 => emulate(&kernel),
                _ => emulate(&StoreOrientations1::from(kernel)),
            }
        };
        let sums = sums.iter().map(|v| [v[0], v[1], v[2]]).collect();
        Stored { sums, shares }
    }

    /// The definition, sample by sample in double precision.
    fn exact(&self) -> Stored<f64> {
        let count = self.pixels.len();
        let mut exact = Stored {
            sums: vec![[0.0; 3]; 2 * CLASSES * self.sums_shape.len()],
            shares: vec![[0.0; 2]; IMAGES * 2 * count],
        };
        let per_sample = self.children[0] * self.children[1];
        for (s, sample) in self.samples.iter().enumerate() {
            for child in 0..per_sample {
                let (o, t) = (child / self.children[1], child % self.children[1]);
                let w = f64::from(self.values[s * per_sample + child]);
                let axes = &self.axes[sample.orientation as usize * self.children[0] + o];
                let row = sample.shift as usize * self.children[1] + t;
                for p in 0..count {
                    self.add_exactly(sample, w, axes, self.phases[row * count + p], p, &mut exact);
                }
            }
        }
        exact
    }

    /// Adds pixel `p` of one sample with weight `w`.
    fn add_exactly(
        &self,
        sample: &Sample,
        w: f64,
        axes: &SliceAxes,
        phase: [f32; 2],
        p: usize,
        exact: &mut Stored<f64>,
    ) {
        let (i, count) = (sample.image as usize, self.pixels.len());
        let class = self.class_of[sample.orientation as usize] as usize;
        let first = class * self.shape.len();
        let [x, y] = self.pixels[p].map(f32::from);
        let at = axes.position(x, y);
        let wide = |v: [f32; 2]| v.map(f64::from);
        let turned = |v: [f32; 2]| {
            let (a, b) = (wide(v), wide(phase));
            [a[0] * b[0] - a[1] * b[1], a[0] * b[1] + a[1] * b[0]]
        };
        let c = f64::from(self.scales[i]) * f64::from(self.ctf[i * count + p]);
        let v = f64::from(self.variance[p]);
        let mut u = turned(self.unmasked[i * count + p]);
        let reference = &self.references[first..first + self.shape.len()];
        let a = match p < self.projected {
            true => wide(slice_value(reference, &self.shape, at)),
            false => [0.0; 2],
        };
        let model = match self.flags & CTF_CORRECTED {
            0 => f64::from(self.scales[i]),
            _ => c,
        };
        let half = self.half_of.as_ref().map_or(0, |half_of| {
            u = [u[0] - model * a[0], u[1] - model * a[1]];
            half_of[i] as usize
        });
        // What premultiplied images have of the CTF is in them.
        let (data, power) = match self.flags & PREMULTIPLIED {
            0 => (w * c * v, w * c * c * v),
            _ => (w * v, w * c * v),
        };
        let value = [data * u[0], data * u[1], power];
        let shape = &self.sums_shape;
        let volume = (half * CLASSES + class) * shape.len();
        let at = axes.scaled(self.sums_scale).position(x, y);
        if let Some(place) = insertion(shape, self.max_radius2, at) {
            for corner in 0..shape.corners() {
                let (offset, share) = place.corner(shape, corner);
                let share = f64::from(share);
                let voxel = &mut exact.sums[volume + place.base + offset];
                let sign = if place.conjugate { -1.0 } else { 1.0 };
                voxel[0] += share * value[0];
                voxel[1] += share * sign * value[1];
                voxel[2] += share * value[2];
            }
        }
        if p >= self.projected {
            return;
        }
        let f = turned(self.masked[i * count + p]);
        let slots = 1 + usize::from(self.in_scale[class * count + p]);
        let shares = exact.shares[2 * i * count + p..].iter_mut();
        for share in shares.step_by(count).take(slots) {
            share[0] += w * model * (a[0] * f[0] + a[1] * f[1]);
            share[1] += w * model * model * (a[0] * a[0] + a[1] * a[1]);
        }
    }
}

/// Against a plain double-precision loop over samples, one at a time, as spec 01 §7.1–7.4 and spec 04 §7 write it.
fn check(
    shape: VolumeShape,
    rotations: impl Fn(usize, f32) -> Vec<SliceAxes>,
    children: [usize; 2],
    flags: u32,
    gradient: bool,
) {
    check_case(Case::new(shape, rotations, children, flags, gradient));
}

fn check_case(mut case: Case) {
    let (found, exact) = (case.stored(), case.exact());
    for k in 0..3 {
        let device: Vec<f32> = found.sums.iter().map(|v| v[k]).collect();
        let host: Vec<f64> = exact.sums.iter().map(|v| v[k]).collect();
        assert!(host.iter().any(|v| v.abs() > 0.1));
        assert_close(&device, &host, 2e-6);
    }
    for k in 0..2 {
        let device: Vec<f32> = found.shares.iter().map(|v| v[k]).collect();
        let host: Vec<f64> = exact.shares.iter().map(|v| v[k]).collect();
        assert_close(&device, &host, 2e-6);
    }
}
