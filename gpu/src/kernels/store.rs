//! store: weighted sums over the samples that count (spec 01 §7.1–7.4).
//!
//! A thread owns one pixel of one orientation: it runs over all images of the batch that count there, sums their shifts
//! as one complex factor Φ = Σ_t w e^{iφ_t}, and inserts the pixel into the volume once.

use cuda_std::prelude::*;

use super::image_share::{add_share, ctf_or_one, weighted_phase};
use crate::samples::{
    Pair, Parent, Sample, model_factor, product, residual, residual_factor, slice_sum,
};
use crate::slice::{SliceAxes, VolumeShape, insertion, slice_value_from};

/// Adds the weighted images to the back-projection volumes and to each image's sums.
///
/// Grid: x = parents × orientation children, y = blocks of pixels. `references` and `sums` hold one volume a class,
/// `class_of` the class of a coarse orientation; a voxel of `sums` is (re, im, weight, unused). `axes` has a row for each
/// child of each coarse orientation. References reach pixel `projected`, sums all `pixel_count`. `scales` are those of
/// the sums (not below 0.001). `shares[image · slots · pixel_count + p]` receives (Σ w Re(conj(sCA)·F), Σ w |sCA|²) over all
/// classes; where `in_scale` is not null (`slots` = 2), `shares[(image · 2 + 1) · pixel_count + p]` the same over those classes
/// alone for which `in_scale[class · pixel_count + p]` is not 0. `max_radius2` limits insertion. `flags`: see `samples`.
///
/// `half_of`, where not null, makes it a gradient iteration: it has the pseudo-half of each image (0 or 1), and what is added
/// is what the reference does not explain, to the volume half · `classes` + class (spec 05 §5). Otherwise all is of half 0.
#[kernel(block = 128, grid = [parent_count * orientation_children, pixel_count.div_ceil(BLOCK), 1], emulate = Apart)]
pub unsafe fn store_orientations(
    #[launch] parent_count: u32,
    #[len(parent_count)] parents: *const Parent,
    #[unchecked] pairs: *const Pair,
    #[unchecked] samples: *const Sample,
    #[unchecked] values: *const f32,
    orientation_children: u32,
    shift_children: u32,
    #[unchecked] axes: *const SliceAxes,
    #[unchecked] class_of: *const u32,
    #[unchecked] references: *const [f32; 2],
    #[len(1)] shape: *const VolumeShape,
    max_radius2: f32,
    #[len(pixel_count)] pixels: *const [i16; 2],
    projected: u32,
    pixel_count: u32,
    #[unchecked] masked: *const [f32; 2],
    #[unchecked] unmasked: *const [f32; 2],
    #[unchecked] ctf: *const f32,
    image_stride: u32,
    #[unchecked] scales: *const f32,
    #[len(pixel_count)] inverse_variance: *const f32,
    #[unchecked] phases: *const [f32; 2],
    phase_stride: u32,
    flags: u32,
    #[unchecked] in_scale: *const u8,
    slots: u32,
    #[unchecked] half_of: *const u32,
    classes: u32,
    #[unchecked] sums: *mut [f32; 4],
    #[unchecked] shares: *mut [f32; 2],
) {
    // SAFETY: the pixel is checked; the other indices come from lists the earlier stages made.
    unsafe {
        let parent = *parents.add((thread::block_idx_x() / orientation_children) as usize);
        let child = thread::block_idx_x() % orientation_children;
        let pixel = thread::block_idx_y() * thread::block_dim_x() + thread::thread_idx_x();
        if pixel >= pixel_count {
            return;
        }
        let p = pixel as usize;
        let [x, y] = *pixels.add(p);
        let o = parent.orientation as usize;
        let axes = *axes.add(o * orientation_children as usize + child as usize);
        let at = axes.position(f32::from(x), f32::from(y));
        let class = *class_of.add(o) as usize;
        let volume = class * (*shape).len();
        let reference = if pixel < projected {
            slice_value_from(|i| memory::load2(references.add(volume), i), &*shape, at)
        } else {
            [0.0, 0.0]
        };
        let v = memory::load(inverse_variance, p);
        let in_scale = !in_scale.is_null() && *in_scale.add(class * pixel_count as usize + p) != 0;
        let (mut sum, mut factor) = ([[0.0f32; 3]; 2], [0.0f32; 2]);
        for pair in parent.begin..parent.end {
            let pair = *pairs.add(pair as usize);
            let children = [orientation_children, shift_children];
            let phases = phases.add(p);
            let (phase, weight) =
                weighted_phase(pair, samples, values, child, children, phases, phase_stride);
            if weight <= 0.0 {
                continue;
            }
            let image = pair.image as usize;
            let at = image * image_stride as usize + p;
            let scale = *scales.add(image);
            let c = scale * ctf_or_one(ctf, at);
            let f = product(memory::load2(unmasked, at), phase);
            let [re, im, power] = slice_sum(f, weight, c, v, flags);
            let explained = weight * residual_factor(scale, c, v, flags);
            let second = !half_of.is_null() && *half_of.add(image) != 0;
            // Indices that are constants, and the same branch for all threads of the block.
            if second {
                sum[1] = [sum[1][0] + re, sum[1][1] + im, sum[1][2] + power];
                factor[1] += explained;
            } else {
                sum[0] = [sum[0][0] + re, sum[0][1] + im, sum[0][2] + power];
                factor[0] += explained;
            }
            if pixel < projected {
                let factor = model_factor(scale, c, flags);
                let f = product(memory::load2(masked, at), phase);
                let share = shares.add(image * slots as usize * pixel_count as usize + p);
                let in_scale = in_scale.then_some(share.add(pixel_count as usize));
                add_share(reference.map(|a| a * factor), f, weight, share, in_scale);
            }
        }
        for half in 0..2 {
            let [mut re, mut im, weight] = sum[half];
            if weight > 0.0 {
                if !half_of.is_null() {
                    [re, im] = residual([re, im], reference, factor[half]);
                }
                let volume = volume + half * classes as usize * (*shape).len();
                insert(sums.add(volume), &*shape, max_radius2, at, [re, im, weight]);
            }
        }
    }
}

/// Adds one pixel to the voxels around it.
#[inline(always)]
unsafe fn insert(
    sums: *mut [f32; 4],
    shape: &VolumeShape,
    max_radius2: f32,
    at: [f32; 3],
    value: [f32; 3],
) {
    let Some(place) = insertion(shape, max_radius2, at) else {
        return;
    };
    let im = if place.conjugate { -value[1] } else { value[1] };
    for corner in 0..shape.corners() {
        let (offset, share) = place.corner(shape, corner);
        let added = [share * value[0], share * im, share * value[2], 0.0];
        // SAFETY: the corners of a position inside the limiting sphere lie in the volume.
        unsafe { atomic::add_f32x4(sums.add(place.base + offset).cast(), added) };
    }
}

/// Sums over the pixels of each shell: `out[row · shells + s]` = (Σ XA, Σ AA, Σ |F|², Σ v|F|²) for
/// row = image · slots + slot, |F|² of the masked image, v from `power_weight`.
///
/// Grid: x = rows; a warp a shell. Shell s is the pixels `shell_begin[s]`…`shell_begin[s + 1]`.
#[kernel(block = 256, grid = [rows, 1, 1], emulate = OneWarp)]
pub unsafe fn reduce_shares(
    #[launch] rows: u32,
    #[len(rows * pixel_count)] shares: *const [f32; 2],
    #[unchecked] masked: *const [f32; 2],
    #[len(pixel_count)] power_weight: *const f32,
    image_stride: u32,
    pixel_count: u32,
    slots: u32,
    #[len(shells + 1)] shell_begin: *const u32,
    shells: u32,
    #[len(rows * shells)] out: *mut [f32; 4],
) {
    // SAFETY: shells are ranges of the pixel list.
    unsafe {
        let row = thread::block_idx_x() as usize;
        let image = row / slots as usize;
        let mut s = thread::thread_idx_x() / warp::WARP_SIZE;
        while s < shells {
            let mut sums = [0.0f32; 4];
            let mut p = *shell_begin.add(s as usize) + warp::lane_id();
            while p < *shell_begin.add(s as usize + 1) {
                let [xa, aa] = *shares.add(row * pixel_count as usize + p as usize);
                let f = *masked.add(image * image_stride as usize + p as usize);
                sums[0] += xa;
                sums[1] += aa;
                let power = f[0] * f[0] + f[1] * f[1];
                sums[2] += power;
                sums[3] += memory::load(power_weight, p as usize) * power;
                p += warp::WARP_SIZE;
            }
            let sums = sums.map(warp::sum);
            if warp::lane_id() == 0 {
                *out.add(row * shells as usize + s as usize) = sums;
            }
            s += thread::block_dim_x() / warp::WARP_SIZE;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::grouping;
    use crate::kernels::project;
    use crate::kernels::test_data::{self, assert_close};
    use crate::samples::{CTF_CORRECTED, PREMULTIPLIED};
    use crate::slice::slice_value;
    use cuda_std::launch::{View, emulate};

    #[test]
    fn sums_follow_the_definition() {
        check(
            VolumeShape::new(2 * (8 + 1) + 1, 4, 2.0),
            project::tests::rotations,
            CTF_CORRECTED,
            false,
        );
    }

    /// Gradient iterations: images of even and odd particles apart, and without what the reference explains of them.
    #[test]
    fn residuals_of_pseudo_halves_follow_the_definition() {
        let (solid, flat) = (
            VolumeShape::new(2 * (8 + 1) + 1, 4, 2.0),
            VolumeShape::flat(2 * (8 + 1) + 1, 4, 2.0),
        );
        for flags in [CTF_CORRECTED, 0, CTF_CORRECTED | PREMULTIPLIED] {
            check(solid, project::tests::rotations, flags, true);
            check(flat, project::tests::turns, flags, true);
        }
    }

    /// Class averages are inserted into one plane, between four pixels.
    #[test]
    fn sums_of_class_averages_follow_the_definition() {
        check(
            VolumeShape::flat(2 * (8 + 1) + 1, 4, 2.0),
            project::tests::turns,
            CTF_CORRECTED,
            false,
        );
    }

    const IMAGES: usize = 3;
    const SHIFTS: usize = 3;
    const ORIENTATIONS: usize = 4;
    const CLASSES: usize = 2;
    /// Children of an orientation and of a shift.
    const CHILDREN: [usize; 2] = [2, 2];

    /// Arguments of a launch.
    struct Case {
        flags: u32,
        /// Pseudo-half of each image, in a gradient iteration.
        half_of: Option<Vec<u32>>,
        shape: VolumeShape,
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
            let values = test_data::values(samples.len() * CHILDREN[0] * CHILDREN[1], 1);
            let variance = test_data::values(count, 6);
            let ctf = test_data::values(IMAGES * count, 5);
            Self {
                flags,
                half_of: gradient.then(|| vec![1, 0, 1]),
                shape,
                max_radius2: crate::slice::reach2(8.0),
                values: values
                    .iter()
                    .map(|v| if *v < -0.3 { 0.0 } else { v.abs() })
                    .collect(),
                samples,
                axes: rotations(ORIENTATIONS * CHILDREN[0], 2.0),
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
                phases: test_data::complex(SHIFTS * CHILDREN[1] * count, 7),
                // Every third pixel of the first class, all but those of the second.
                in_scale: (0..CLASSES * count)
                    .map(|i| u8::from((i % count).is_multiple_of(3) == (i < count)))
                    .collect(),
                pixels,
            }
        }

        /// What the kernel makes of it.
        fn stored(&mut self) -> Stored<f32> {
            let count = self.pixels.len();
            let (mut parents, mut pairs) = grouping::tests::group(&mut self.samples, ORIENTATIONS);
            let mut sums = vec![[0.0f32; 4]; 2 * CLASSES * self.shape.len()];
            let mut shares = vec![[0.0f32; 2]; IMAGES * 2 * count];
            let kernel = StoreOrientations {
                parent_count: parents.len() as u32,
                parents: View::of(&mut parents),
                pairs: View::of(&mut pairs),
                samples: View::of(&mut self.samples),
                values: View::of(&mut self.values),
                orientation_children: CHILDREN[0] as u32,
                shift_children: CHILDREN[1] as u32,
                axes: View::of(&mut self.axes),
                class_of: View::of(&mut self.class_of),
                references: View::of(&mut self.references),
                shape: View::of(std::slice::from_mut(&mut self.shape)),
                max_radius2: self.max_radius2,
                pixels: View::of(&mut self.pixels),
                projected: self.projected as u32,
                pixel_count: count as u32,
                masked: View::of(&mut self.masked),
                unmasked: View::of(&mut self.unmasked),
                ctf: View::of(&mut self.ctf),
                image_stride: count as u32,
                scales: View::of(&mut self.scales),
                inverse_variance: View::of(&mut self.variance),
                phases: View::of(&mut self.phases),
                phase_stride: count as u32,
                flags: self.flags,
                in_scale: View::of(&mut self.in_scale),
                slots: 2,
                half_of: self.half_of.as_mut().map_or(View::null(), |h| View::of(h)),
                classes: CLASSES as u32,
                sums: View::of(&mut sums),
                shares: View::of(&mut shares),
            };
            // SAFETY: array sizes as the kernel demands.
            unsafe { emulate(&kernel) };
            let sums = sums.iter().map(|v| [v[0], v[1], v[2]]).collect();
            Stored { sums, shares }
        }

        /// The definition, sample by sample in double precision.
        fn exact(&self) -> Stored<f64> {
            let count = self.pixels.len();
            let mut exact = Stored {
                sums: vec![[0.0; 3]; 2 * CLASSES * self.shape.len()],
                shares: vec![[0.0; 2]; IMAGES * 2 * count],
            };
            let per_sample = CHILDREN[0] * CHILDREN[1];
            for (s, sample) in self.samples.iter().enumerate() {
                for child in 0..per_sample {
                    let (o, t) = (child / CHILDREN[1], child % CHILDREN[1]);
                    let w = f64::from(self.values[s * per_sample + child]);
                    let axes = &self.axes[sample.orientation as usize * CHILDREN[0] + o];
                    let row = sample.shift as usize * CHILDREN[1] + t;
                    for p in 0..count {
                        self.add_exactly(
                            sample,
                            w,
                            axes,
                            self.phases[row * count + p],
                            p,
                            &mut exact,
                        );
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
            let volume = half * CLASSES * self.shape.len() + first;
            if let Some(place) = insertion(&self.shape, self.max_radius2, at) {
                for corner in 0..self.shape.corners() {
                    let (offset, share) = place.corner(&self.shape, corner);
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
        flags: u32,
        gradient: bool,
    ) {
        let mut case = Case::new(shape, rotations, flags, gradient);
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

    #[test]
    fn shells_are_summed_over_their_pixels() {
        let (images, count) = (2usize, 100usize);
        let mut shares = test_data::complex(images * count, 1);
        let mut masked = test_data::complex(images * count, 2);
        let mut weight: Vec<f32> = (0..count).map(|p| (p % 3) as f32).collect();
        let mut begin = vec![0u32, 1, 40, 40, 100];
        let mut out = vec![[f32::NAN; 4]; images * 4];
        let (s, m) = (View::of(&mut shares), View::of(&mut masked));
        let (b, o) = (View::of(&mut begin), View::of(&mut out));
        let w = View::of(&mut weight);
        // SAFETY: array sizes as the kernel demands.
        unsafe {
            emulate(&ReduceShares {
                rows: 2,
                shares: s,
                masked: m,
                power_weight: w,
                image_stride: 100,
                pixel_count: 100,
                slots: 1,
                shell_begin: b,
                shells: 4,
                out: o,
            })
        };
        for (i, sums) in out.iter().enumerate() {
            let (image, shell) = (i / 4, i % 4);
            let range = begin[shell] as usize..begin[shell + 1] as usize;
            let sum = |f: &dyn Fn(usize) -> f64| range.clone().map(|p| f(image * count + p)).sum();
            let power = |p: usize| -> f64 { masked[p].iter().map(|v| f64::from(*v).powi(2)).sum() };
            let exact: [f64; 4] = [
                sum(&|p| f64::from(shares[p][0])),
                sum(&|p| f64::from(shares[p][1])),
                sum(&power),
                sum(&|p| (p % count % 3) as f64 * power(p)),
            ];
            for (a, b) in sums.iter().zip(exact) {
                assert!((f64::from(*a) - b).abs() < 1e-5);
            }
        }
    }
}
