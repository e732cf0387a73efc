//! store: weighted sums over the samples that count (spec 01 §7.1–7.4).
//!
//! A thread owns one pixel of a few orientations, the children of one coarse orientation: it runs over all images of the
//! batch that count there, sums their shifts as one complex factor Φ = Σ_t w e^{iφ_t} for each child, and inserts each
//! child's pixel into the volume once. Φ is a small matrix product, weights (children × shifts) by phases (shifts × pixels),
//! in registers; phases, images and CTF are read once for all children.

use cuda_std::prelude::*;
use cuda_std::shared::Shared;

use super::image_share::{Children, Weighted, ctf_or_one};
use super::insert::Inserted;
use crate::samples::{
    Pair, Parent, Sample, model_factor, product, residual, residual_factor, slice_sum,
};
use crate::shapes::{STORE_PIXELS, STORE_WARP_WORDS, STORE_WORDS};
use crate::slice::{SliceAxes, VolumeShape, insertion, slice_value_from};

/// Entry points that differ in the children of an orientation that a block does.
macro_rules! store_orientations {
    ($($(#[$doc:meta])* $name:ident = $children:literal, $words:tt, $threads:ident;)*) => {$(
        $(#[$doc])*
        #[kernel(
            block = 128,
            grid = [parent_count * (orientation_children / $children), pixel_count.div_ceil(STORE_PIXELS), 1],
            shared = $words,
            registers = registers($children),
            emulate = $threads
        )]
        pub unsafe fn $name(
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
            // SAFETY: passed on; pixels are checked.
            unsafe {
                let block = thread::block_idx_x();
                let blocks = orientation_children / $children;
                let parent = *parents.add((block / blocks) as usize);
                let class = *class_of.add(parent.orientation as usize);
                let orientation = Orientation {
                    parent,
                    class,
                    first: block % blocks * $children,
                };
                let end = ((thread::block_idx_y() + 1) * STORE_PIXELS).min(pixel_count);
                let mut pixel = thread::block_idx_y() * STORE_PIXELS;
                while pixel < end {
                    // Threads beyond the last pixel help with the weights, and add nothing.
                    let own = pixel + thread::thread_idx_x();
                    let p = own.min(end - 1) as usize;
                    let images = Images {
                        pairs,
                        children: Children {
                            samples,
                            values,
                            orientations: orientation_children,
                            shifts: shift_children,
                            phases: phases.add(p),
                            stride: phase_stride,
                        },
                        masked: masked.add(p),
                        unmasked: unmasked.add(p),
                        ctf: if ctf.is_null() { ctf } else { ctf.add(p) },
                        stride: image_stride,
                        scales,
                        inverse_variance: memory::load(inverse_variance, p),
                        flags,
                        half_of,
                        is_projected: own < projected.min(end),
                        shares: Shares {
                            sums: shares.add(p),
                            slots,
                            count: pixel_count,
                            in_scale: !in_scale.is_null()
                                && *in_scale.add((class * pixel_count) as usize + p) != 0,
                        },
                    };
                    let row = parent.orientation * orientation_children + orientation.first;
                    let place = Place {
                        axes: axes.add(row as usize),
                        xy: (*pixels.add(p)).map(f32::from),
                        shape,
                        max_radius2,
                        is_there: own < end,
                    };
                    images.add::<$children>(&orientation, &place, references, sums, classes);
                    pixel += thread::block_dim_x();
                }
            }
        }
    )*};
}

/// Registers of a thread with so many children: four blocks of a multiprocessor with eight, and eight with one, where that does not put
/// sums into memory.
#[cfg(target_arch = "nvptx64")]
const fn registers(children: u32) -> u32 {
    match (children, cfg!(gpu_arch = "sm_70")) {
        (8, false) => 128,
        (8, true) => 168,
        (_, false) => 64,
        (_, true) => 96,
    }
}

store_orientations! {
    /// Adds the weighted images to the back-projection volumes and to each image's sums, for eight children of an
    /// orientation at a time: those of maps.
    ///
    /// Grid: x = parents × groups of orientation children, y = blocks of pixels. `references` and `sums` hold one volume a
    /// class, `class_of` the class of a coarse orientation; a voxel of `sums` is (re, im, weight, unused). `axes` has a row
    /// for each child of each coarse orientation. References reach pixel `projected`, sums all `pixel_count`. `scales` are
    /// those of the sums (not below 0.001). `shares[image · slots · pixel_count + p]` receives (Σ w Re(conj(sCA)·F),
    /// Σ w |sCA|²) over all classes; where `in_scale` is not null (`slots` = 2),
    /// `shares[(image · 2 + 1) · pixel_count + p]` the same over those classes alone for which
    /// `in_scale[class · pixel_count + p]` is not 0. `max_radius2` limits insertion. `flags`: see `samples`.
    ///
    /// `half_of`, where not null, makes it a gradient iteration: it has the pseudo-half of each image (0 or 1), and what is
    /// added is what the reference does not explain, to the volume half · `classes` + class (spec 05 §5). Otherwise all is
    /// of half 0.
    store_orientations_8 = 8, STORE_WORDS, OneWarp;
    /// One at a time: class averages, of which psi alone has children, and no oversampling. Arguments as
    /// [`store_orientations_8`].
    store_orientations_1 = 1, 0, Apart;
}

/// Both take the same arguments.
#[cfg(not(target_arch = "nvptx64"))]
impl From<StoreOrientations8> for StoreOrientations1 {
    fn from(a: StoreOrientations8) -> Self {
        Self {
            parent_count: a.parent_count,
            parents: a.parents,
            pairs: a.pairs,
            samples: a.samples,
            values: a.values,
            orientation_children: a.orientation_children,
            shift_children: a.shift_children,
            axes: a.axes,
            class_of: a.class_of,
            references: a.references,
            shape: a.shape,
            max_radius2: a.max_radius2,
            pixels: a.pixels,
            projected: a.projected,
            pixel_count: a.pixel_count,
            masked: a.masked,
            unmasked: a.unmasked,
            ctf: a.ctf,
            image_stride: a.image_stride,
            scales: a.scales,
            inverse_variance: a.inverse_variance,
            phases: a.phases,
            phase_stride: a.phase_stride,
            flags: a.flags,
            in_scale: a.in_scale,
            slots: a.slots,
            half_of: a.half_of,
            classes: a.classes,
            sums: a.sums,
            shares: a.shares,
        }
    }
}

/// The orientations of a block.
struct Orientation {
    parent: Parent,
    class: u32,
    /// First child.
    first: u32,
}

/// Sums per image, slot and pixel, at the pixel of a thread.
struct Shares {
    sums: *mut [f32; 2],
    slots: u32,
    /// Pixels.
    count: u32,
    /// The class takes part in the estimate of scales here.
    in_scale: bool,
}

/// The images of a batch at the pixel of a thread.
struct Images {
    pairs: *const Pair,
    children: Children,
    masked: *const [f32; 2],
    unmasked: *const [f32; 2],
    ctf: *const f32,
    /// Row length of the three.
    stride: u32,
    scales: *const f32,
    inverse_variance: f32,
    flags: u32,
    half_of: *const u32,
    /// The pixel has a projected reference.
    is_projected: bool,
    shares: Shares,
}

impl Images {
    /// Adds `O` children of an orientation to the volumes.
    #[inline(always)]
    unsafe fn add<const O: usize>(
        &self,
        orientation: &Orientation,
        place: &Place,
        references: *const [f32; 2],
        sums: *mut [f32; 4],
        classes: u32,
    ) {
        // SAFETY: volumes of all classes are there, and twice as many sums in a gradient iteration.
        unsafe {
            let voxels = (*place.shape).len();
            let mut reference = [[0.0f32; 2]; O];
            if self.is_projected {
                reference = place.reference(references.add(orientation.class as usize * voxels));
            }
            let halves = if self.half_of.is_null() { 1 } else { 2 };
            for half in 0..halves {
                let totals = self.sum(orientation, half, &reference);
                let volume = (half * classes + orientation.class) as usize;
                place.insert(&totals, sums.add(volume * voxels));
            }
        }
    }

    /// Φ and Σ w of one child or eight for one pair.
    #[inline(always)]
    unsafe fn weighted<const O: usize>(&self, pair: Pair, first: u32) -> Weighted<O> {
        // SAFETY: the caller's pair; the words of the warp are its own.
        unsafe {
            if O == 1 {
                let one = self.children.weighted(pair, first);
                return Weighted {
                    phase: [one.phase[0]; O],
                    weight: [one.weight[0]; O],
                };
            }
            let own = thread::thread_idx_x() / warp::WARP_SIZE * STORE_WARP_WORDS;
            let eight = self
                .children
                .weighted_by_warp(pair, first, Shared::dynamic(own));
            Weighted {
                phase: core::array::from_fn(|o| eight.phase[o]),
                weight: core::array::from_fn(|o| eight.weight[o]),
            }
        }
    }

    /// (re, im, weight) at `O` children, summed over the images of pseudo-half `half` that count there; adds to the shares
    /// of each image.
    #[inline(always)]
    #[expect(
        clippy::needless_range_loop,
        reason = "iterators over children put what is summed into local memory"
    )]
    unsafe fn sum<const O: usize>(
        &self,
        orientation: &Orientation,
        half: u32,
        reference: &[[f32; 2]; O],
    ) -> [[f32; 3]; O] {
        let mut totals = [[0.0f32; 3]; O];
        let (v, flags) = (self.inverse_variance, self.flags);
        for pair in orientation.parent.begin..orientation.parent.end {
            // SAFETY: pairs, images and pixels are those of the lists.
            unsafe {
                let pair = *self.pairs.add(pair as usize);
                let image = pair.image as usize;
                // The same branches for all threads of the block.
                if !self.half_of.is_null() && *self.half_of.add(image) != half {
                    continue;
                }
                let weighted = self.weighted::<O>(pair, orientation.first);
                if weighted.is_empty() {
                    continue;
                }
                let at = image * self.stride as usize;
                let scale = *self.scales.add(image);
                let c = scale * ctf_or_one(self.ctf, at);
                let f = memory::load2(self.unmasked, at);
                for o in 0..O {
                    let f = product(f, weighted.phase[o]);
                    let added = slice_sum(f, weighted.weight[o], c, v, flags);
                    let [x, y, weight] = totals[o];
                    totals[o] = [x + added[0], y + added[1], weight + added[2]];
                }
                if !self.half_of.is_null() {
                    let explained = residual_factor(scale, c, v, flags);
                    for o in 0..O {
                        let [x, y, weight] = totals[o];
                        let explained = weighted.weight[o] * explained;
                        let [x, y] = residual([x, y], reference[o], explained);
                        totals[o] = [x, y, weight];
                    }
                }
                if self.is_projected {
                    let Shares {
                        sums,
                        slots,
                        count,
                        in_scale,
                    } = self.shares;
                    let share = sums.add(image * slots as usize * count as usize);
                    let in_scale = in_scale.then_some(share.add(count as usize));
                    let f = memory::load2(self.masked, at);
                    let factor = model_factor(scale, c, flags);
                    weighted.add_share(reference, factor, f, share, in_scale);
                }
            }
        }
        totals
    }
}

/// Where a pixel lies in the volumes at the children of an orientation.
struct Place {
    /// Axes of the first child.
    axes: *const SliceAxes,
    xy: [f32; 2],
    shape: *const VolumeShape,
    max_radius2: f32,
    /// The pixel is the thread's own.
    is_there: bool,
}

impl Place {
    /// The position at child `o`.
    #[inline(always)]
    unsafe fn position(&self, o: usize) -> [f32; 3] {
        // SAFETY: the caller's child has axes.
        unsafe { (*self.axes.add(o)).position(self.xy[0], self.xy[1]) }
    }

    /// The volume's value at `O` children.
    #[inline(always)]
    unsafe fn reference<const O: usize>(&self, volume: *const [f32; 2]) -> [[f32; 2]; O] {
        let mut values = [[0.0f32; 2]; O];
        for (o, value) in values.iter_mut().enumerate() {
            // SAFETY: slices stay inside the volume.
            unsafe {
                let at = self.position(o);
                *value = slice_value_from(|i| memory::load2(volume, i), &*self.shape, at);
            }
        }
        values
    }

    /// Adds each child's total to the voxels around it. All lanes of a warp come here.
    #[inline(always)]
    unsafe fn insert<const O: usize>(&self, totals: &[[f32; 3]; O], sums: *mut [f32; 4]) {
        for (o, &total) in totals.iter().enumerate() {
            // SAFETY: the child has axes; corners are those of a position inside the limiting sphere.
            unsafe {
                let shape = &*self.shape;
                let is_added = self.is_there && total[2] > 0.0;
                let at = match is_added {
                    true => self.position(o),
                    false => [f32::NAN; 3],
                };
                if O > 1 {
                    if warp::ballot(is_added) != 0 {
                        Inserted::add_by_two((at, total), shape, self.max_radius2, sums);
                    }
                } else if let Some(place) = insertion(shape, self.max_radius2, at) {
                    let inserted = Inserted::new(place, total);
                    inserted.add(shape, 0, sums);
                    inserted.add(shape, 1, sums);
                }
            }
        }
    }
}
