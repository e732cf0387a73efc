//! store: weighted sums over the samples that count (spec 01 §7.1–7.4).
//!
//! A thread owns one pixel of a few orientations, the children of one coarse orientation: it runs over all images of the
//! batch that count there, sums their shifts as one complex factor Φ = Σ_t w e^{iφ_t} for each child, and inserts each
//! child's pixel into the volume once. Φ is a small matrix product, weights (children × shifts) by phases (shifts × pixels),
//! in registers; phases, images and CTF are read once for all children.

use cuda_std::prelude::*;
use cuda_std::shared::Shared;

use super::groups::{Phases, References, Samples};
use super::image_share::{Children, Weighted, ctf_or_one};
use super::insert::Inserted;
use crate::samples::{Pair, Parent, model_factor, product, residual, residual_factor, slice_sum};
use crate::shapes::{STORE_PIXELS, STORE_WARP_WORDS, STORE_WORDS};
use crate::slice::{SliceAxes, VolumeShape, slice_value_from};

/// Images of a batch as they are summed up.
#[group]
pub struct StoredImages {
    /// Images.
    #[launch]
    pub count: u32,
    /// F of the masked images, in rows of `stride`.
    #[len(count * stride)]
    pub masked: *const [f32; 2],
    /// F of the unmasked images, likewise.
    #[len(count * stride)]
    pub unmasked: *const [f32; 2],
    /// C, likewise; null where it is 1.
    #[optional(count * stride)]
    pub ctf: *const f32,
    /// Row length.
    pub stride: u32,
    /// s of each image, not below 0.001.
    #[len(count)]
    pub scales: *const f32,
    /// Pseudo-half of each image (0 or 1) in a gradient iteration, else null.
    #[optional(count)]
    pub half_of: *const u32,
}

impl StoredImages {
    /// Returns the images from pixel `p` on.
    ///
    /// # Safety
    /// The pixel exists.
    #[inline(always)]
    unsafe fn starting_at(self, p: usize) -> Self {
        // SAFETY: the caller's pixel.
        unsafe {
            Self {
                masked: self.masked.add(p),
                unmasked: self.unmasked.add(p),
                ctf: match self.ctf.is_null() {
                    true => self.ctf,
                    false => self.ctf.add(p),
                },
                ..self
            }
        }
    }
}

/// Pixels of the slices that are summed up.
#[group]
pub struct StoredPixels {
    /// x and y of each.
    #[len(count)]
    pub pixels: *const [i16; 2],
    /// V of each.
    #[len(count)]
    pub inverse_variance: *const f32,
    /// Pixels, from the first on, that have a reference.
    pub projected: u32,
    /// All pixels.
    pub count: u32,
}

/// Volumes that slices are inserted into.
#[group]
pub struct Sums {
    /// One per class: (re, im, weight, unused) of each voxel. Twice as many in a gradient iteration.
    #[unchecked]
    pub volumes: *mut [f32; 4],
    /// Side of their full cube or square. A number, and no geometry behind a pointer, since it takes no register.
    pub side: u32,
    /// Their padding factor divided by that of the references.
    pub scale: f32,
    /// Limit of insertion.
    pub max_radius2: f32,
    /// Classes.
    pub classes: u32,
}

/// Sums of each image.
#[group]
pub struct Shares {
    /// `sums[image · slots · pixels + p]` receives (Σ w Re(conj(sCA)·F), Σ w |sCA|²) over all classes; where there are two
    /// slots, `sums[(image · 2 + 1) · pixels + p]` the same over those classes that take part in the estimate of scales.
    #[unchecked]
    pub sums: *mut [f32; 2],
    /// 1 or 2.
    pub slots: u32,
    /// Whether a class takes part at a pixel: `in_scale[class · pixels + p]` is not 0. Null with one slot.
    #[unchecked]
    pub in_scale: *const u8,
}

/// Entry points that differ in the children of an orientation that a block does.
macro_rules! store_orientations {
    ($($(#[$doc:meta])* $name:ident = $children:literal, $words:tt, $threads:ident;)*) => {$(
        $(#[$doc])*
        #[kernel(
            block = 128,
            grid = [parent_count * (samples.orientation_children / $children), pixels.count.div_ceil(STORE_PIXELS), 1],
            shared = $words,
            registers = registers($children),
            emulate = $threads
        )]
        pub unsafe fn $name(
            #[launch] parent_count: u32,
            #[len(parent_count)] parents: *const Parent,
            #[unchecked] pairs: *const Pair,
            #[group] samples: Samples,
            #[len(samples.count * samples.orientation_children * samples.shift_children)]
            values: *const f32,
            #[group] references: References,
            #[group] pixels: StoredPixels,
            #[group] images: StoredImages,
            #[group] phases: Phases,
            flags: u32,
            #[group] sums: Sums,
            #[group] shares: Shares,
        ) {
            // SAFETY: passed on; pixels are checked.
            unsafe {
                let block = thread::block_idx_x();
                let blocks = samples.orientation_children / $children;
                let parent = *parents.add((block / blocks) as usize);
                let class = *references.class_of.add(parent.orientation as usize);
                let orientation = Orientation {
                    parent,
                    class,
                    first: block % blocks * $children,
                };
                let end = ((thread::block_idx_y() + 1) * STORE_PIXELS).min(pixels.count);
                let mut pixel = thread::block_idx_y() * STORE_PIXELS;
                while pixel < end {
                    // Threads beyond the last pixel help with the weights, and add nothing.
                    let own = pixel + thread::thread_idx_x();
                    let p = own.min(end - 1) as usize;
                    let at_pixel = Images {
                        pairs,
                        children: Children {
                            samples,
                            values,
                            phases: Phases {
                                rows: phases.rows.add(p),
                                ..phases
                            },
                        },
                        images: images.starting_at(p),
                        inverse_variance: memory::load(pixels.inverse_variance, p),
                        flags,
                        is_projected: own < pixels.projected.min(end),
                        shares: Shares {
                            sums: shares.sums.add(p),
                            ..shares
                        },
                        share_stride: pixels.count,
                        in_scale: !shares.in_scale.is_null()
                            && *shares.in_scale.add((class * pixels.count) as usize + p) != 0,
                    };
                    let row = parent.orientation * samples.orientation_children + orientation.first;
                    let place = Place {
                        axes: references.axes.add(row as usize),
                        xy: (*pixels.pixels.add(p)).map(f32::from),
                        shape: references.shape,
                        sums_side: sums.side,
                        sums_scale: sums.scale,
                        max_radius2: sums.max_radius2,
                        is_there: own < end,
                    };
                    at_pixel.add::<$children>(&orientation, &place, references.volumes, &sums);
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
    /// Grid: x = parents × groups of orientation children, y = blocks of pixels. `references` has the class of each coarse
    /// orientation, and axes of each of its children. `values` are the weights of the children of samples. `flags`: see
    /// `samples`.
    ///
    /// Where images have pseudo-halves, what the reference does not explain is added to the volume half · classes + class
    /// (spec 05 §5). Otherwise all is of half 0.
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
            references: a.references,
            pixels: a.pixels,
            images: a.images,
            phases: a.phases,
            flags: a.flags,
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

/// The images of a batch at the pixel of a thread.
struct Images {
    pairs: *const Pair,
    children: Children,
    /// From the pixel on.
    images: StoredImages,
    inverse_variance: f32,
    flags: u32,
    /// The pixel has a projected reference.
    is_projected: bool,
    /// From the pixel on.
    shares: Shares,
    /// Pixels of a slot of the shares.
    share_stride: u32,
    /// The class takes part in the estimate of scales here.
    in_scale: bool,
}

impl Images {
    /// Adds `O` children of an orientation to the volumes.
    #[inline(always)]
    unsafe fn add<const O: usize>(
        &self,
        orientation: &Orientation,
        place: &Place,
        references: *const [f32; 2],
        sums: &Sums,
    ) {
        // SAFETY: volumes of all classes are there, and twice as many sums in a gradient iteration.
        unsafe {
            let mut reference = [[0.0f32; 2]; O];
            if self.is_projected {
                let voxels = (*place.shape).len();
                reference = place.reference(references.add(orientation.class as usize * voxels));
            }
            let halves = if self.images.half_of.is_null() { 1 } else { 2 };
            for half in 0..halves {
                let totals = self.sum(orientation, half, &reference);
                let volume = (half * sums.classes + orientation.class) as usize;
                place.insert(&totals, sums.volumes.add(volume * place.sums_shape().len()));
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
                if !self.images.half_of.is_null() && *self.images.half_of.add(image) != half {
                    continue;
                }
                let weighted = self.weighted::<O>(pair, orientation.first);
                if weighted.is_empty() {
                    continue;
                }
                let at = image * self.images.stride as usize;
                let scale = *self.images.scales.add(image);
                let c = scale * ctf_or_one(self.images.ctf, at);
                let f = memory::load2(self.images.unmasked, at);
                for o in 0..O {
                    let f = product(f, weighted.phase[o]);
                    let added = slice_sum(f, weighted.weight[o], c, v, flags);
                    let [x, y, weight] = totals[o];
                    totals[o] = [x + added[0], y + added[1], weight + added[2]];
                }
                if !self.images.half_of.is_null() {
                    let explained = residual_factor(scale, c, v, flags);
                    for o in 0..O {
                        let [x, y, weight] = totals[o];
                        let explained = weighted.weight[o] * explained;
                        let [x, y] = residual([x, y], reference[o], explained);
                        totals[o] = [x, y, weight];
                    }
                }
                if self.is_projected {
                    let Shares { sums, slots, .. } = self.shares;
                    let count = self.share_stride as usize;
                    let share = sums.add(image * slots as usize * count);
                    let in_scale = self.in_scale.then_some(share.add(count));
                    let f = memory::load2(self.images.masked, at);
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
    /// Geometry of the references.
    shape: *const VolumeShape,
    /// Side of the sums.
    sums_side: u32,
    /// Padding factor of the sums divided by that of the references.
    sums_scale: f32,
    max_radius2: f32,
    /// The pixel is the thread's own.
    is_there: bool,
}

impl Place {
    /// Geometry of the sums.
    #[inline(always)]
    unsafe fn sums_shape(&self) -> VolumeShape {
        // SAFETY: the caller's geometry.
        unsafe { (*self.shape).of_side(self.sums_side) }
    }

    /// The position in the references at child `o`.
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
                let shape = &self.sums_shape();
                let is_added = self.is_there && total[2] > 0.0;
                let at = match is_added {
                    true => self.position(o).map(|v| v * self.sums_scale),
                    false => [f32::NAN; 3],
                };
                if O > 1 {
                    if warp::ballot(is_added) != 0 {
                        Inserted::add_by_two((at, total), shape, self.max_radius2, sums);
                    }
                } else {
                    Inserted::add_alone((at, total), shape, self.max_radius2, sums);
                }
            }
        }
    }
}
