//! getDiff, second pass: differences of the children of significant samples (spec 01 §5, §6.3).
//!
//! A block does one pair (image, coarse orientation): for each of its shifts all children of the orientation against all
//! children of the shift, as a small product in registers. Orientations of class averages have few children, so there a
//! warp does one sample. Slices come from `project_slices`, once a batch.

use cuda_std::prelude::*;
use cuda_std::shared::Shared;

use super::block;
use crate::samples::{Pair, Sample, product};
use crate::shapes::FINE_WORDS;

/// Entry points that differ in their tile only: the method, and orientations and shifts of a block.
macro_rules! fine_differences {
    ($($(#[$doc:meta])* $name:ident = $method:ident<$($tile:literal),*>, $orientations:literal x $shifts:literal;)*) => {$(
        $(#[$doc])*
        #[kernel(
            block = 128,
            grid = [pair_count, orientation_children / $orientations, shift_children / $shifts],
            shared = FINE_WORDS,
            emulate = OneWarp
        )]
        pub unsafe fn $name(
            #[launch] pair_count: u32,
            #[len(pair_count)] pairs: *const Pair,
            #[unchecked] samples: *const Sample,
            first_parent: u32,
            #[unchecked] slices: *const [f32; 2],
            slice_stride: u32,
            #[unchecked] images: *const [f32; 2],
            image_stride: u32,
            #[unchecked] ctf: *const f32,
            #[unchecked] scales: *const f32,
            #[len(pixel_count)] weight: *const f32,
            #[unchecked] phases: *const [f32; 2],
            phase_stride: u32,
            pixel_count: u32,
            orientation_children: u32,
            shift_children: u32,
            #[unchecked] powers: *const f32,
            #[unchecked] values: *mut f32,
        ) {
            // SAFETY: passed on.
            unsafe {
                Tile {
                    samples,
                    first_parent,
                    slices,
                    slice_stride,
                    images,
                    image_stride,
                    ctf,
                    scales,
                    weight,
                    phases,
                    phase_stride,
                    pixel_count,
                    orientation_children,
                    shift_children,
                    powers,
                    values,
                }
                .$method::<$($tile),*>(*pairs.add(thread::block_idx_x() as usize))
            }
        }
    )*};
}

fine_differences! {
    /// Eight orientations by four shifts a sample (`--oversampling 1`, and tiles of higher orders).
    ///
    /// Grid: x = pairs, y = tiles of orientation children, z = tiles of shift children; shared memory: `FINE_WORDS` words.
    /// Slices of parent u, child c: row (u − `first_parent`) · `orientation_children` + c of `slices`. The other arrays as
    /// in `weighted_columns`; `phases` has a row for each child of each shift.
    /// `values[(sample · orientation_children + o) · shift_children + t]` receives the difference without the constants of
    /// the image; for cross-correlation (`powers` not null: √Σ|F|² an image) minus the correlation.
    fine_differences_8x4 = tiles<8, 4>, 8 x 4;
    /// One orientation and one shift a sample (`--oversampling 0`, fixed orientations, first passes of local searches);
    /// grid: y = orientation children, z = shift children; arguments as
    /// [`fine_differences_8x4`].
    fine_differences_1x1 = singles<8>, 1 x 1;
}

/// Both take the same arguments.
#[cfg(not(target_arch = "nvptx64"))]
impl From<FineDifferences8x4> for FineDifferences1x1 {
    fn from(a: FineDifferences8x4) -> Self {
        Self {
            pair_count: a.pair_count,
            pairs: a.pairs,
            samples: a.samples,
            first_parent: a.first_parent,
            slices: a.slices,
            slice_stride: a.slice_stride,
            images: a.images,
            image_stride: a.image_stride,
            ctf: a.ctf,
            scales: a.scales,
            weight: a.weight,
            phases: a.phases,
            phase_stride: a.phase_stride,
            pixel_count: a.pixel_count,
            orientation_children: a.orientation_children,
            shift_children: a.shift_children,
            powers: a.powers,
            values: a.values,
        }
    }
}

/// Two orientations by four shifts a sample: class averages, whose psi alone has children (`--oversampling 1`, and tiles of
/// higher orders; spec 04 §3). A warp a sample.
///
/// Grid: x = samples, y = tiles of orientation children, z = tiles of shift children. `rank` is the number of parents before
/// each coarse orientation; samples of parents other than the `parent_count` from `first_parent` on are left out. Other
/// arguments as [`fine_differences_8x4`].
#[kernel(
    block = 128,
    grid = [sample_count.div_ceil(BLOCK / 32), orientation_children / 2, shift_children / 4],
    emulate = OneWarp
)]
pub unsafe fn fine_differences_2x4(
    #[len(sample_count)] samples: *const Sample,
    sample_count: u32,
    #[unchecked] rank: *const u32,
    first_parent: u32,
    parent_count: u32,
    #[unchecked] slices: *const [f32; 2],
    slice_stride: u32,
    #[unchecked] images: *const [f32; 2],
    image_stride: u32,
    #[unchecked] ctf: *const f32,
    #[unchecked] scales: *const f32,
    #[len(pixel_count)] weight: *const f32,
    #[unchecked] phases: *const [f32; 2],
    phase_stride: u32,
    pixel_count: u32,
    orientation_children: u32,
    shift_children: u32,
    #[unchecked] powers: *const f32,
    #[len(sample_count * orientation_children * shift_children)] values: *mut f32,
) {
    const O: usize = 2;
    const T: usize = 4;
    // SAFETY: samples are counted below sample_count, and their parents are checked; the host's tiles cover the children
    // exactly; pixels are counted below pixel_count.
    unsafe {
        let tile = Tile {
            samples,
            first_parent,
            slices,
            slice_stride,
            images,
            image_stride,
            ctf,
            scales,
            weight,
            phases,
            phase_stride,
            pixel_count,
            orientation_children,
            shift_children,
            powers,
            values,
        };
        let first_o = thread::block_idx_y() * O as u32;
        let first_t = thread::block_idx_z() * T as u32;
        let (warps, lane) = (thread::block_dim_x() / warp::WARP_SIZE, warp::lane_id());
        let mut s = thread::block_idx_x() * warps + thread::thread_idx_x() / warp::WARP_SIZE;
        while s < sample_count {
            let sample = *samples.add(s as usize);
            let parent = (*rank.add(sample.orientation as usize)).wrapping_sub(first_parent);
            if parent < parent_count {
                let row = parent * orientation_children + first_o;
                let phase_row = sample.shift * shift_children + first_t;
                let (cross, norm) =
                    tile.products::<O, T>(sample.image, row, phase_row, lane, warp::WARP_SIZE);
                let norm = norm.map(warp::sum);
                for o in 0..O {
                    let cross = cross[o].map(warp::sum);
                    if lane == 0 {
                        tile.put(
                            s,
                            sample.image,
                            [first_o + o as u32, first_t],
                            cross,
                            norm[o],
                        );
                    }
                }
            }
            s += thread::grid_dim_x() * warps;
        }
    }
}

struct Tile {
    samples: *const Sample,
    first_parent: u32,
    slices: *const [f32; 2],
    slice_stride: u32,
    images: *const [f32; 2],
    image_stride: u32,
    ctf: *const f32,
    scales: *const f32,
    weight: *const f32,
    phases: *const [f32; 2],
    phase_stride: u32,
    pixel_count: u32,
    orientation_children: u32,
    shift_children: u32,
    powers: *const f32,
    values: *mut f32,
}

impl Tile {
    #[inline(always)]
    unsafe fn tiles<const O: usize, const T: usize>(&self, pair: Pair) {
        // SAFETY: the host's tiles cover the children exactly; pixels are counted below pixel_count.
        unsafe {
            let first_o = thread::block_idx_y() * O as u32;
            let first_t = thread::block_idx_z() * T as u32;
            let row = (pair.parent - self.first_parent) * self.orientation_children + first_o;
            for s in pair.begin..pair.end {
                let shift = (*self.samples.add(s as usize)).shift;
                let phase_row = shift * self.shift_children + first_t;
                let (first, step) = (thread::thread_idx_x(), thread::block_dim_x());
                let (cross, norm) = self.products(pair.image, row, phase_row, first, step);
                self.write::<O, T>(s, pair.image, first_o, first_t, cross, norm);
            }
        }
    }

    /// Cross terms and powers of `O` slices from row `row` on with the image at `T` shifts, over every `step`-th pixel from
    /// `first` on.
    #[inline(always)]
    unsafe fn products<const O: usize, const T: usize>(
        &self,
        image: u32,
        row: u32,
        phase_row: u32,
        first: u32,
        step: u32,
    ) -> ([[f32; T]; O], [f32; O]) {
        // SAFETY: the caller's rows exist; pixels are counted below pixel_count.
        unsafe {
            let image = image as usize;
            let slices = self.slices.add(row as usize * self.slice_stride as usize);
            let phases = self
                .phases
                .add(phase_row as usize * self.phase_stride as usize);
            let scale = *self.scales.add(image);
            let mut cross = [[0.0f32; T]; O];
            let mut norm = [0.0f32; O];
            let mut p = first;
            while p < self.pixel_count {
                let p_ = p as usize;
                let at = image * self.image_stride as usize + p_;
                let c = if self.ctf.is_null() {
                    1.0
                } else {
                    memory::load(self.ctf, at)
                };
                let m = scale * c;
                let v = memory::load(self.weight, p_);
                let power = 0.5 * m * m * v;
                let f = memory::load2(self.images, at).map(|f| f * m * v);
                let mut shifted = [[0.0f32; 2]; T];
                for (t, shifted) in shifted.iter_mut().enumerate() {
                    let phase = memory::load2(phases, t * self.phase_stride as usize + p_);
                    *shifted = product(f, phase);
                }
                for o in 0..O {
                    let a = memory::load2(slices, o * self.slice_stride as usize + p_);
                    norm[o] = power.mul_add(a[0] * a[0] + a[1] * a[1], norm[o]);
                    for t in 0..T {
                        cross[o][t] = a[0].mul_add(shifted[t][0], cross[o][t]);
                        cross[o][t] = a[1].mul_add(shifted[t][1], cross[o][t]);
                    }
                }
                p += step;
            }
            (cross, norm)
        }
    }

    /// One orientation and one shift a sample, `N` samples of the pair at a time, which share slice and image.
    #[inline(always)]
    unsafe fn singles<const N: usize>(&self, pair: Pair) {
        // SAFETY: as `tiles`; samples beyond the last of the pair are taken for it and not written.
        unsafe {
            let (o, t) = (thread::block_idx_y(), thread::block_idx_z());
            let image = pair.image as usize;
            let row = (pair.parent - self.first_parent) * self.orientation_children + o;
            let slice = self.slices.add(row as usize * self.slice_stride as usize);
            let scale = *self.scales.add(image);
            let mut s = pair.begin;
            while s < pair.end {
                let mut phase_rows = [0usize; N];
                for (k, row) in phase_rows.iter_mut().enumerate() {
                    let sample = (s + k as u32).min(pair.end - 1);
                    let shift = (*self.samples.add(sample as usize)).shift;
                    *row = (shift * self.shift_children + t) as usize * self.phase_stride as usize;
                }
                let mut cross = [0.0f32; N];
                let mut norm = 0.0f32;
                let mut p = thread::thread_idx_x();
                while p < self.pixel_count {
                    let p_ = p as usize;
                    let at = image * self.image_stride as usize + p_;
                    let c = if self.ctf.is_null() {
                        1.0
                    } else {
                        memory::load(self.ctf, at)
                    };
                    let m = scale * c;
                    let v = memory::load(self.weight, p_);
                    let f = memory::load2(self.images, at).map(|f| f * m * v);
                    let a = memory::load2(slice, p_);
                    norm = (0.5 * m * m * v).mul_add(a[0] * a[0] + a[1] * a[1], norm);
                    // Re(conj(A)·F·e^{iφ}) from conj(A)·F, which all shifts share.
                    let g = product([a[0], -a[1]], f);
                    for k in 0..N {
                        let e = memory::load2(self.phases, phase_rows[k] + p_);
                        cross[k] = g[0].mul_add(e[0], cross[k]);
                        cross[k] = (-g[1]).mul_add(e[1], cross[k]);
                    }
                    p += thread::block_dim_x();
                }
                let scratch = Shared::dynamic(0);
                let norm = block::sum(norm, scratch);
                let cross = block::sums(cross, scratch);
                if thread::thread_idx_x() == 0 {
                    for (k, &cross) in cross.iter().enumerate() {
                        let sample = s + k as u32;
                        if sample < pair.end {
                            let row = sample * self.orientation_children + o;
                            let at = row as usize * self.shift_children as usize + t as usize;
                            *self.values.add(at) = self.value(image, norm, cross);
                        }
                    }
                }
                s += N as u32;
            }
        }
    }

    /// The difference, or minus the correlation.
    #[inline(always)]
    unsafe fn value(&self, image: usize, norm: f32, cross: f32) -> f32 {
        if self.powers.is_null() {
            return norm - cross;
        }
        // SAFETY: a power an image.
        unsafe { -cross / ((2.0 * norm).sqrt() * *self.powers.add(image)) }
    }

    #[inline(always)]
    unsafe fn write<const O: usize, const T: usize>(
        &self,
        s: u32,
        image: u32,
        first_o: u32,
        first_t: u32,
        cross: [[f32; T]; O],
        norm: [f32; O],
    ) {
        // SAFETY: all threads come here; sample and children exist.
        unsafe {
            let scratch = Shared::dynamic(0);
            let norm = block::sums(norm, scratch);
            for o in 0..O {
                let cross = block::sums(cross[o], scratch);
                if thread::thread_idx_x() == 0 {
                    let first = [first_o + o as u32, first_t];
                    self.put(s, image, first, cross, norm[o]);
                }
            }
        }
    }

    /// Writes the differences of a sample at orientation child `o` with shift children from `t` on.
    #[inline(always)]
    unsafe fn put<const T: usize>(
        &self,
        s: u32,
        image: u32,
        [o, t]: [u32; 2],
        cross: [f32; T],
        norm: f32,
    ) {
        // SAFETY: sample and children exist.
        unsafe {
            let row = s as usize * self.orientation_children as usize + o as usize;
            let out = self
                .values
                .add(row * self.shift_children as usize + t as usize);
            for (t, &cross) in cross.iter().enumerate() {
                *out.add(t) = self.value(image as usize, norm, cross);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::grouping;
    use crate::kernels::test_data::{self, assert_close};
    use cuda_std::launch::{Launch, View, emulate};

    /// The arguments of kernels over pairs.
    fn pairs<L: Launch>(
        kernel: impl Fn(FineDifferences8x4) -> L,
    ) -> impl Fn(FineDifferences8x4, View<u32>) {
        // SAFETY: array sizes as the kernel demands.
        move |arguments, _| unsafe { emulate(&kernel(arguments)) }
    }

    /// A warp a sample; parents go through in two parts.
    fn samples(a: FineDifferences8x4, rank: View<u32>) {
        for (first_parent, parent_count) in [(0, 2), (2, 10)] {
            let stride = a.slice_stride as usize * a.orientation_children as usize;
            let kernel = FineDifferences2x4 {
                samples: a.samples,
                sample_count: a.samples.len() as u32,
                rank,
                first_parent,
                parent_count,
                slices: a.slices.offset(first_parent as usize * stride),
                slice_stride: a.slice_stride,
                images: a.images,
                image_stride: a.image_stride,
                ctf: a.ctf,
                scales: a.scales,
                weight: a.weight,
                phases: a.phases,
                phase_stride: a.phase_stride,
                pixel_count: a.pixel_count,
                orientation_children: a.orientation_children,
                shift_children: a.shift_children,
                powers: a.powers,
                values: a.values,
            };
            // SAFETY: array sizes as the kernel demands.
            unsafe { emulate(&kernel) };
        }
    }

    /// `run` launches a kernel with these arguments, and with the number of parents before each orientation.
    fn check(run: impl Fn(FineDifferences8x4, View<u32>), children: [usize; 2], shifts: usize) {
        let [orientation_children, shift_children] = children;
        let (images, count) = (3usize, 75usize);
        let mut samples = Vec::new();
        for image in 0..images as u32 {
            for orientation in [1u32, 3, 4] {
                for shift in 0..(image + orientation) * 3 % shifts as u32 {
                    samples.push(Sample {
                        image,
                        orientation,
                        shift,
                        log_prior: 0.0,
                    });
                }
            }
        }
        let (parents, mut pairs) = grouping::tests::group(&mut samples, 6);
        let mut slices = test_data::complex(parents.len() * orientation_children * count, 1);
        let mut f = test_data::complex(images * count, 2);
        let mut ctf = test_data::values(images * count, 3);
        let mut scales = vec![1.2f32, 0.7, 1.0];
        let mut weight: Vec<f32> = test_data::values(count, 4)
            .iter()
            .map(|v| v.abs())
            .collect();
        let mut phases = test_data::complex(shifts * shift_children * count, 5);
        let per_sample = orientation_children * shift_children;
        let mut values = vec![f32::NAN; samples.len() * per_sample];
        let before = |o: u32| parents.iter().filter(|p| p.orientation < o).count() as u32;
        let mut rank: Vec<u32> = (0..=6).map(before).collect();
        let arguments = FineDifferences8x4 {
            pair_count: pairs.len() as u32,
            pairs: View::of(&mut pairs),
            samples: View::of(&mut samples),
            first_parent: 0,
            slices: View::of(&mut slices),
            slice_stride: count as u32,
            images: View::of(&mut f),
            image_stride: count as u32,
            ctf: View::of(&mut ctf),
            scales: View::of(&mut scales),
            weight: View::of(&mut weight),
            phases: View::of(&mut phases),
            phase_stride: count as u32,
            pixel_count: count as u32,
            orientation_children: orientation_children as u32,
            shift_children: shift_children as u32,
            powers: View::null(),
            values: View::of(&mut values),
        };
        run(arguments, View::of(&mut rank));
        let mut expected = Vec::new();
        for sample in &samples {
            let i = sample.image as usize;
            let rank = parents
                .iter()
                .position(|p| p.orientation == sample.orientation)
                .unwrap();
            for o in 0..orientation_children {
                for t in 0..shift_children {
                    // ½ΣV|mA − Fe^{iφ}|² without ½ΣV|F|²: the definition, in double precision.
                    let mut sum = 0.0f64;
                    for p in 0..count {
                        let wide = |v: [f32; 2]| v.map(f64::from);
                        let a = wide(slices[(rank * orientation_children + o) * count + p]);
                        let row = sample.shift as usize * shift_children + t;
                        let (x, e) = (wide(f[i * count + p]), wide(phases[row * count + p]));
                        let m = f64::from(scales[i]) * f64::from(ctf[i * count + p]);
                        let shifted = [x[0] * e[0] - x[1] * e[1], x[0] * e[1] + x[1] * e[0]];
                        let (re, im) = (m * a[0] - shifted[0], m * a[1] - shifted[1]);
                        let constant = shifted[0].powi(2) + shifted[1].powi(2);
                        sum += 0.5 * f64::from(weight[p]) * (re * re + im * im - constant);
                    }
                    expected.push(sum);
                }
            }
        }
        assert_close(&values, &expected, 2e-6);
    }

    #[test]
    fn differences_follow_the_definition() {
        check(pairs(|a| a), [8, 4], 4);
        check(pairs(FineDifferences1x1::from), [1, 1], 4);
    }

    /// Eight samples of a pair go through at a time, with children of a shift or without.
    #[test]
    fn samples_without_tiles_go_through_in_eights() {
        check(pairs(FineDifferences1x1::from), [1, 1], 20);
        check(pairs(FineDifferences1x1::from), [1, 4], 11);
    }

    #[test]
    fn children_of_class_averages_follow_the_definition() {
        check(samples, [2, 4], 7);
    }

    /// Second-order oversampling is done in tiles.
    #[test]
    fn higher_oversampling_is_tiled() {
        check(pairs(|a| a), [16, 8], 4);
        check(samples, [4, 16], 4);
    }
}
