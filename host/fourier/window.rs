//! Cropping and zero-padding of images and maps around their centre, pixel N/2.

use crate::fourier::shape::Dimensions;
use ndarray::{Array3, s};
use std::ops::Range;

/// Crops or zero-pads a square image of `from` pixels a side around its centre to `to` pixels.
pub fn window_image(image: &[f32], from: usize, to: usize) -> Vec<f32> {
    let (old, new) = common(from, to);
    let mut out = vec![0.0; to * to];
    for (source, target) in old.clone().zip(new.clone()) {
        out[target * to..][new.clone()].copy_from_slice(&image[source * from..][old.clone()]);
    }
    out
}

/// Crops or zero-pads a map, or a class average of one section, around its centre to `side` pixels.
pub fn window_map(map: &Array3<f64>, side: usize) -> Array3<f64> {
    let (sections, from, _) = map.dim();
    let depth = Dimensions::of_sections(sections).sections(side);
    let ((old_z, new_z), (old, new)) = (common(sections, depth), common(from, side));
    let mut out = Array3::zeros((depth, side, side));
    out.slice_mut(s![new_z, new.clone(), new])
        .assign(&map.slice(s![old_z, old.clone(), old]));
    out
}

/// Returns the pixels that both boxes have along an axis: where they lie in the box of `from` pixels, and in that of `to`.
fn common(from: usize, to: usize) -> (Range<usize>, Range<usize>) {
    let common = to.min(from);
    let (old, new) = (from / 2 - common / 2, to / 2 - common / 2);
    (old..old + common, new..new + common)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_central_pixels_are_kept() {
        let image: Vec<f32> = (0..36).map(|v| v as f32).collect();
        // The centre, pixel 3, becomes pixel 1.
        assert_eq!(window_image(&image, 6, 2), [14.0, 15.0, 20.0, 21.0]);
    }

    proptest! {
        #[test]
        fn the_centre_stays_the_centre(from in 1usize..24, to in 1usize..24) {
            let mut image = vec![0.0; from * from];
            image[(from / 2) * from + from / 2] = 1.0;
            let mut expected = vec![0.0; to * to];
            expected[(to / 2) * to + to / 2] = 1.0;
            prop_assert_eq!(window_image(&image, from, to), expected);
            let mut map = Array3::zeros((from, from, from));
            map[[from / 2; 3]] = 1.0;
            let mut expected = Array3::zeros((to, to, to));
            expected[[to / 2; 3]] = 1.0;
            if from > 1 && to > 1 {
                prop_assert_eq!(window_map(&map, to), expected);
            }
        }

        #[test]
        fn an_image_is_the_section_of_a_class_average(from in 2usize..24, to in 2usize..24) {
            let image: Vec<f32> = (0..from * from).map(|v| v as f32).collect();
            let average = Array3::from_shape_fn((1, from, from), |(_, y, x)| f64::from(image[y * from + x]));
            let expected: Vec<f32> = window_map(&average, to).iter().map(|&v| v as f32).collect();
            prop_assert_eq!(window_image(&image, from, to), expected);
        }

        #[test]
        fn padding_is_undone_by_cropping(from in 1usize..24, more in 0usize..24) {
            let image: Vec<f32> = (0..from * from).map(|v| v as f32).collect();
            let padded = window_image(&image, from, from + more);
            prop_assert_eq!(window_image(&padded, from + more, from), image);
        }
    }
}
