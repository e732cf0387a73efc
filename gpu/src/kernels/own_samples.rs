//! Samples of searches with orientations of each image's own: what the host says of an orientation holds for all shifts.

use cuda_std::prelude::*;

use crate::samples::{OwnOrientation, Sample};
use crate::slice::SliceAxes;

/// Writes the samples of `own`: each orientation with each of `shifts` shifts, in order. A thread a sample.
///
/// `offset_log_prior[(image · offset_lists + list) · shifts + t]` is the ln of the prior of shift t; the list is the place of the
/// orientation's class where images have one for each class they visit, else the first.
#[kernel(
    block = 256,
    grid = [(orientations * shifts).div_ceil(BLOCK), 1, 1],
    emulate = Apart
)]
pub unsafe fn list_own_samples(
    #[len(orientations)] own: *const OwnOrientation,
    orientations: u32,
    shifts: u32,
    #[unchecked] offset_log_prior: *const f32,
    offset_lists: u32,
    #[len(orientations * shifts)] out: *mut Sample,
) {
    let s = thread::index_1d();
    let (j, t) = (s / shifts as usize, s % shifts as usize);
    if j >= orientations as usize {
        return;
    }
    // SAFETY: the index is checked; the host passes a list of priors for each image and place.
    unsafe {
        let own = *own.add(j);
        let list = own.place.min(offset_lists - 1);
        let row = (own.image * offset_lists + list) as usize;
        *out.add(s) = Sample {
            image: own.image,
            orientation: own.row,
            shift: t as u32,
            log_prior: own.log_prior + *offset_log_prior.add(row * shifts as usize + t),
        };
    }
}

/// Puts the axes of the children of parents where those of their orientations are looked up: `axes[u · children + c]` goes to
/// `out[chosen[u] · children + c]`. A thread a child.
#[kernel(
    block = 256,
    grid = [(parents * children).div_ceil(BLOCK), 1, 1],
    emulate = Apart
)]
pub unsafe fn place_axes(
    #[len(parents)] chosen: *const u32,
    parents: u32,
    children: u32,
    #[len(parents * children)] axes: *const SliceAxes,
    #[unchecked] out: *mut SliceAxes,
) {
    let i = thread::index_1d();
    if i >= parents as usize * children as usize {
        return;
    }
    let (u, c) = (i / children as usize, i % children as usize);
    // SAFETY: the index is checked; `out` has all orientations.
    unsafe { *out.add(*chosen.add(u) as usize * children as usize + c) = *axes.add(i) };
}

#[cfg(test)]
mod tests {
    use super::*;
    use cuda_std::launch::{View, emulate};

    fn own(image: u32, row: u32, place: u32, log_prior: f32) -> OwnOrientation {
        OwnOrientation {
            image,
            row,
            place,
            log_prior,
        }
    }

    /// Samples of two images with `lists` lists of priors each, of three shifts.
    fn list(own: &mut [OwnOrientation], lists: u32) -> Vec<Sample> {
        let mut priors: Vec<f32> = (0..2 * lists * 3).map(|i| -0.25 * i as f32).collect();
        let mut out = vec![Sample::default(); own.len() * 3];
        // SAFETY: array sizes as the kernel demands.
        unsafe {
            emulate(&ListOwnSamples {
                own: View::of(own),
                orientations: own.len() as u32,
                shifts: 3,
                offset_log_prior: View::of(&mut priors),
                offset_lists: lists,
                out: View::of(&mut out),
            });
        }
        out
    }

    #[test]
    fn an_orientation_has_a_sample_for_each_shift() {
        let mut orientations = [own(0, 7, 0, -1.0), own(1, 7, 0, -2.0), own(1, 9, 1, -4.0)];
        for (lists, priors) in [
            (
                1,
                [
                    [0.0, -0.25, -0.5],
                    [-0.75, -1.0, -1.25],
                    [-0.75, -1.0, -1.25],
                ],
            ),
            (
                2,
                [
                    [0.0, -0.25, -0.5],
                    [-1.5, -1.75, -2.0],
                    [-2.25, -2.5, -2.75],
                ],
            ),
        ] {
            let found = list(&mut orientations, lists);
            let mut expected = Vec::new();
            for (own, priors) in orientations.iter().zip(priors) {
                for (shift, prior) in (0..).zip(priors) {
                    expected.push(Sample {
                        image: own.image,
                        orientation: own.row,
                        shift,
                        log_prior: own.log_prior + prior,
                    });
                }
            }
            assert_eq!(found, expected);
        }
    }

    #[test]
    fn axes_of_parents_go_to_their_orientations() {
        let of = |i: usize| SliceAxes {
            x_axis: [i as f32, 0.0, 1.0],
            y_axis: [0.5, i as f32, 0.0],
        };
        let mut chosen = [1u32, 4];
        let mut axes: Vec<SliceAxes> = (0..6).map(of).collect();
        let mut out = vec![of(100); 15];
        // SAFETY: array sizes as the kernel demands.
        unsafe {
            emulate(&PlaceAxes {
                chosen: View::of(&mut chosen),
                parents: 2,
                children: 3,
                axes: View::of(&mut axes),
                out: View::of(&mut out),
            });
        }
        let rows = [[100; 3], [0, 1, 2], [100; 3], [100; 3], [3, 4, 5]];
        let expected: Vec<SliceAxes> = rows.concat().into_iter().map(of).collect();
        assert_eq!(out, expected);
    }
}
