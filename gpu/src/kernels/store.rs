//! store: weighted sums over the samples that count (spec 01 §7.1–7.4).
//!
//! A thread owns one pixel of one orientation: it runs over all images of the batch that count there, sums their shifts
//! as one complex factor Φ = Σ_t w e^{iφ_t}, and inserts the pixel into the volume once.

use cuda_std::prelude::*;

use crate::samples::{Pair, Parent, Sample, model_factor, product, slice_sum};
use crate::slice::{SliceAxes, VolumeShape, insertion, slice_value_from};

/// Adds the weighted images to the back-projection volumes and to each image's sums.
///
/// Grid: x = parents × orientation children, y = blocks of pixels. `references` and `sums` hold one volume a class,
/// `class_of` the class of a coarse orientation; a voxel of `sums` is (re, im, weight, unused). `axes` has a row for each
/// child of each coarse orientation. References reach pixel `projected`, sums all `pixel_count`. `scales` are those of
/// the sums (not below 0.001). `shares[image · slots · pixel_count + p]` receives (Σ w Re(conj(sCA)·F), Σ w |sCA|²) over all
/// classes; where `in_scale` is not null (`slots` = 2), `shares[(image · 2 + 1) · pixel_count + p]` the same over those classes
/// alone for which `in_scale[class · pixel_count + p]` is not 0. `max_radius2` limits insertion. `flags`: see `samples`.
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
        let mut sum = [0.0f32; 3];
        for pair in parent.begin..parent.end {
            let pair = *pairs.add(pair as usize);
            let (mut phase, mut weight) = ([0.0f32; 2], 0.0f32);
            for s in pair.begin..pair.end {
                let row = s as usize * orientation_children as usize + child as usize;
                let shift = (*samples.add(s as usize)).shift * shift_children;
                for t in 0..shift_children {
                    // The same for all threads of the block: no divergence.
                    let w = *values.add(row * shift_children as usize + t as usize);
                    if w > 0.0 {
                        let at = (shift + t) as usize * phase_stride as usize + p;
                        let e = memory::load2(phases, at);
                        phase[0] = w.mul_add(e[0], phase[0]);
                        phase[1] = w.mul_add(e[1], phase[1]);
                        weight += w;
                    }
                }
            }
            if weight <= 0.0 {
                continue;
            }
            let image = pair.image as usize;
            let at = image * image_stride as usize + p;
            let scale = *scales.add(image);
            let c = scale
                * if ctf.is_null() {
                    1.0
                } else {
                    memory::load(ctf, at)
                };
            let f = product(memory::load2(unmasked, at), phase);
            let [re, im, power] = slice_sum(f, weight, c, v, flags);
            sum = [sum[0] + re, sum[1] + im, sum[2] + power];
            if pixel < projected {
                let factor = model_factor(scale, c, flags);
                let model = reference.map(|a| a * factor);
                let f = product(memory::load2(masked, at), phase);
                let xa = model[0] * f[0] + model[1] * f[1];
                let aa = weight * (model[0] * model[0] + model[1] * model[1]);
                let row = image * slots as usize;
                let share = shares.add(row * pixel_count as usize + p);
                atomic::add_f32x2(share.cast(), [xa, aa]);
                if in_scale {
                    atomic::add_f32x2(share.add(pixel_count as usize).cast(), [xa, aa]);
                }
            }
        }
        if sum[2] > 0.0 {
            insert(sums.add(volume), &*shape, max_radius2, at, sum);
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
    use crate::samples::CTF_CORRECTED;
    use crate::slice::slice_value;
    use cuda_std::launch::{View, emulate};

    #[test]
    fn sums_follow_the_definition() {
        check(
            VolumeShape::new(2 * (8 + 1) + 1, 4, 2.0),
            project::tests::rotations,
        );
    }

    /// Class averages are inserted into one plane, between four pixels.
    #[test]
    fn sums_of_class_averages_follow_the_definition() {
        check(
            VolumeShape::flat(2 * (8 + 1) + 1, 4, 2.0),
            project::tests::turns,
        );
    }

    /// Against a plain double-precision loop over samples, one at a time, as spec 01 §7.1–7.4 and spec 04 §7 write it.
    fn check(mut shape: VolumeShape, rotations: impl Fn(usize, f32) -> Vec<SliceAxes>) {
        let (images, shifts, orientations, classes) = (3usize, 3usize, 4usize, 2usize);
        let (orientation_children, shift_children) = (2usize, 2usize);
        let voxels = shape.len();
        let mut pixels = test_data::pixels(4);
        let count = pixels.len();
        let projected = count - 2;
        let mut samples = Vec::new();
        for image in 0..images as u32 {
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
        let (mut parents, mut pairs) = grouping::tests::group(&mut samples, orientations);
        let per_sample = orientation_children * shift_children;
        let mut values: Vec<f32> = test_data::values(samples.len() * per_sample, 1)
            .iter()
            .map(|v| if *v < -0.3 { 0.0 } else { v.abs() })
            .collect();
        let mut axes = rotations(orientations * orientation_children, 2.0);
        let mut class_of = vec![0u32, 0, 1, 1];
        let mut references = test_data::complex(classes * voxels, 2);
        let mut masked = test_data::complex(images * count, 3);
        let mut unmasked = test_data::complex(images * count, 4);
        let mut ctf = test_data::values(images * count, 5);
        let mut scales = vec![1.0f32, 1.3, 0.8];
        let mut variance: Vec<f32> = test_data::values(count, 6)
            .iter()
            .map(|v| 1.5 + v)
            .collect();
        let mut phases = test_data::complex(shifts * shift_children * count, 7);
        let mut sums = vec![[0.0f32; 4]; classes * voxels];
        let mut shares = vec![[0.0f32; 2]; images * 2 * count];
        // Every third pixel of the first class, all but those of the second.
        let mut in_scale: Vec<u8> = (0..classes * count)
            .map(|i| u8::from((i % count % 3 == 0) == (i < count)))
            .collect();
        let (max_radius2, flags) = (crate::slice::reach2(8.0), CTF_CORRECTED);
        {
            let (p0, p1, p2, p3) = (
                View::of(&mut parents),
                View::of(&mut pairs),
                View::of(&mut samples),
                View::of(&mut values),
            );
            let (p4, p5, p6, p7) = (
                View::of(&mut axes),
                View::of(&mut class_of),
                View::of(&mut references),
                View::of(std::slice::from_mut(&mut shape)),
            );
            let (p8, p9, p10, p11) = (
                View::of(&mut pixels),
                View::of(&mut masked),
                View::of(&mut unmasked),
                View::of(&mut ctf),
            );
            let (p12, p13, p14) = (
                View::of(&mut scales),
                View::of(&mut variance),
                View::of(&mut phases),
            );
            let (p15, p16) = (View::of(&mut sums), View::of(&mut shares));
            let p17 = View::of(&mut in_scale);
            // SAFETY: array sizes as the kernel demands.
            unsafe {
                emulate(&StoreOrientations {
                    parent_count: parents.len() as u32,
                    parents: p0,
                    pairs: p1,
                    samples: p2,
                    values: p3,
                    orientation_children: orientation_children as u32,
                    shift_children: shift_children as u32,
                    axes: p4,
                    class_of: p5,
                    references: p6,
                    shape: p7,
                    max_radius2,
                    pixels: p8,
                    projected: projected as u32,
                    pixel_count: count as u32,
                    masked: p9,
                    unmasked: p10,
                    ctf: p11,
                    image_stride: count as u32,
                    scales: p12,
                    inverse_variance: p13,
                    phases: p14,
                    phase_stride: count as u32,
                    flags,
                    in_scale: p17,
                    slots: 2,
                    sums: p15,
                    shares: p16,
                })
            };
        }
        let mut exact = vec![[0.0f64; 3]; classes * voxels];
        let mut exact_shares = vec![[0.0f64; 2]; images * 2 * count];
        for (s, sample) in samples.iter().enumerate() {
            for o in 0..orientation_children {
                let axes = axes[sample.orientation as usize * orientation_children + o];
                for t in 0..shift_children {
                    let w = f64::from(values[s * per_sample + o * shift_children + t]);
                    let row = sample.shift as usize * shift_children + t;
                    let i = sample.image as usize;
                    let first = class_of[sample.orientation as usize] as usize * voxels;
                    for p in 0..count {
                        let at = axes.position(f32::from(pixels[p][0]), f32::from(pixels[p][1]));
                        let wide = |v: [f32; 2]| v.map(f64::from);
                        let turned = |v: [f32; 2]| {
                            let (a, b) = (wide(v), wide(phases[row * count + p]));
                            [a[0] * b[0] - a[1] * b[1], a[0] * b[1] + a[1] * b[0]]
                        };
                        let c = f64::from(scales[i]) * f64::from(ctf[i * count + p]);
                        let v = f64::from(variance[p]);
                        let u = turned(unmasked[i * count + p]);
                        let value = [w * c * v * u[0], w * c * v * u[1], w * c * c * v];
                        if let Some(place) = insertion(&shape, max_radius2, at) {
                            for corner in 0..shape.corners() {
                                let (offset, share) = place.corner(&shape, corner);
                                let share = f64::from(share);
                                let voxel = &mut exact[first + place.base + offset];
                                let sign = if place.conjugate { -1.0 } else { 1.0 };
                                voxel[0] += share * value[0];
                                voxel[1] += share * sign * value[1];
                                voxel[2] += share * value[2];
                            }
                        }
                        if p < projected {
                            let a =
                                wide(slice_value(&references[first..first + voxels], &shape, at));
                            let f = turned(masked[i * count + p]);
                            let class = class_of[sample.orientation as usize] as usize;
                            let slots = 1 + usize::from(in_scale[class * count + p]);
                            for share in exact_shares[2 * i * count + p..]
                                .iter_mut()
                                .step_by(count)
                                .take(slots)
                            {
                                share[0] += w * c * (a[0] * f[0] + a[1] * f[1]);
                                share[1] += w * c * c * (a[0] * a[0] + a[1] * a[1]);
                            }
                        }
                    }
                }
            }
        }
        for k in 0..3 {
            let device: Vec<f32> = sums.iter().map(|v| v[k]).collect();
            let host: Vec<f64> = exact.iter().map(|v| v[k]).collect();
            assert!(host.iter().any(|v| v.abs() > 0.1));
            assert_close(&device, &host, 2e-6);
        }
        for k in 0..2 {
            let device: Vec<f32> = shares.iter().map(|v| v[k]).collect();
            let host: Vec<f64> = exact_shares.iter().map(|v| v[k]).collect();
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
