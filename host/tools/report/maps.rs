//! Central slices and projections of a map, as grey images.

use super::surface::Surface;
use super::{ReportError, image};
use ndarray::{Array2, Array3, Axis};
use std::path::PathBuf;

/// Images of larger maps are averaged down to at most this side, pixels.
const LARGEST_SIDE: usize = 320;

/// Shares of the pixels that are black and white.
const BLACK: f64 = 0.005;
const WHITE: f64 = 0.995;

/// Views of a map along z, y and x. Images have their rows from the bottom: the second of the axes they show points up.
#[derive(Debug)]
pub(crate) struct Views {
    /// Title for the reader.
    pub title: String,
    /// File of the map.
    pub path: PathBuf,
    /// Width of each image, Å.
    pub widths: [f64; 3],
    /// Sections through the centre.
    pub slices: [Array2<f32>; 3],
    /// Sums along the axis.
    pub projections: [Array2<f32>; 3],
    /// Views of its surface, where they are drawn.
    pub surface: Option<Surface>,
    /// Why the map shows nothing, if it does not.
    pub flaw: Option<String>,
}

impl Views {
    /// Take the views of a map (z, y, x) with voxels of `pixel_size` Å.
    pub(crate) fn of(title: String, path: PathBuf, map: &Array3<f32>, pixel_size: f64) -> Self {
        let (depth, height, width) = map.dim();
        let side = depth.max(height).max(width);
        let small = |plane: Array2<f32>| averaged(plane, side, LARGEST_SIDE);
        let slice = |axis: usize| {
            let axis = Axis(axis);
            small(map.index_axis(axis, map.len_of(axis) / 2).to_owned())
        };
        let projection = |axis: usize| small(map.sum_axis(Axis(axis)));
        Self {
            title,
            path,
            widths: [width, width, height].map(|side| side as f64 * pixel_size),
            slices: [0, 1, 2].map(slice),
            projections: [0, 1, 2].map(projection),
            surface: None,
            flaw: flaw(map.iter(), "voxel"),
        }
    }
}

/// Says what makes a map or image of voxels or pixels (`part`) useless: values that are no numbers, or one value everywhere.
pub(super) fn flaw<'a>(
    values: impl Iterator<Item = &'a f32> + Clone,
    part: &str,
) -> Option<String> {
    let first = values.clone().next().copied()?;
    if let Some(value) = values.clone().find(|v| !v.is_finite()) {
        return Some(format!("it has {part}s that are {value}"));
    }
    values
        .into_iter()
        .all(|v| *v == first)
        .then(|| format!("every {part} is {first}"))
}

/// Mean over squares of pixels, so that planes of a map or stack of `side` pixels get no larger than `largest`.
pub(super) fn averaged(plane: Array2<f32>, side: usize, largest: usize) -> Array2<f32> {
    let step = side.div_ceil(largest);
    let (height, width) = plane.dim();
    if step <= 1 || height < step || width < step {
        return plane;
    }
    Array2::from_shape_fn((height / step, width / step), |(y, x)| {
        let (y, x) = (y * step, x * step);
        let square = plane.slice(ndarray::s![y..y + step, x..x + step]);
        square.sum() / (step * step) as f32
    })
}

/// Grey images of planes, black and white at the same values in all of them.
pub(super) fn images(planes: &[Array2<f32>]) -> Result<Vec<String>, ReportError> {
    let (low, high) = contrast(planes.iter().flat_map(|plane| plane.iter().copied()));
    planes
        .iter()
        .map(|plane| {
            let (height, width) = plane.dim();
            let pixels: Vec<u8> = (0..height)
                .rev()
                .flat_map(|y| plane.row(y))
                .map(|value| grey(*value, low, high))
                .collect();
            image::grey(width, height, &pixels)
        })
        .collect()
}

/// Values shown black and white: percentiles, so that a few extreme voxels do not make the rest flat.
fn contrast(values: impl Iterator<Item = f32>) -> (f32, f32) {
    let mut sorted: Vec<f32> = values.filter(|value| value.is_finite()).collect();
    if sorted.is_empty() {
        return (0.0, 1.0);
    }
    sorted.sort_by(f32::total_cmp);
    let at = |share: f64| sorted[((sorted.len() - 1) as f64 * share).round() as usize];
    (at(BLACK), at(WHITE))
}

/// 0 to 255; 128 where there is no contrast at all, 0 for what is no number.
fn grey(value: f32, low: f32, high: f32) -> u8 {
    if high <= low {
        return 128;
    }
    // `as` takes what is no number to 0.
    ((value - low) / (high - low) * 255.0)
        .clamp(0.0, 255.0)
        .round() as u8
}

/// Length in Å, a round figure, of a scale bar for an image `width` Å wide: a fifth to a half of it.
pub(super) fn scale_bar(width: f64) -> f64 {
    let power = 10f64.powf((width / 2.0).log10().floor());
    let step = [5.0, 2.0, 1.0].map(|digit| digit * power);
    step.into_iter()
        .find(|length| *length <= width / 2.0)
        .unwrap_or(power)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_extreme_values_do_not_set_the_contrast() {
        let mut values: Vec<f32> = (0..1000).map(|i| i as f32 / 1000.0).collect();
        values[0] = -1e9;
        values[999] = 1e9;
        values.push(f32::NAN);
        let (low, high) = contrast(values.into_iter());
        assert!((low - 0.005).abs() < 2e-3, "{low}");
        assert!((high - 0.995).abs() < 2e-3, "{high}");
    }

    #[test]
    fn grey_values_go_from_black_to_white() {
        let of = |value| grey(value, -1.0, 1.0);
        assert_eq!(
            [of(-2.0), of(-1.0), of(0.0), of(1.0), of(2.0)],
            [0, 0, 128, 255, 255]
        );
        assert_eq!(of(f32::NAN), 0);
        assert_eq!(grey(3.0, 3.0, 3.0), 128);
        assert_eq!(contrast(std::iter::empty()), (0.0, 1.0));
    }

    #[test]
    fn scale_bars_are_round_and_fit() {
        for width in [10.0, 64.0, 216.0, 256.0, 480.0, 1000.0] {
            let bar = scale_bar(width);
            assert!(
                bar >= width / 5.01 && bar <= width / 2.0,
                "{bar} of {width}"
            );
        }
        assert_eq!([216.0, 256.0, 480.0].map(scale_bar), [100.0, 100.0, 200.0]);
    }

    #[test]
    fn views_show_the_right_planes() {
        let map = Array3::from_shape_fn((4, 4, 4), |(z, y, x)| (100 * z + 10 * y + x) as f32);
        let views = Views::of("a".into(), "a.mrc".into(), &map, 2.0);
        assert_eq!(views.slices[0][[1, 3]], 213.0);
        assert_eq!(views.slices[1][[1, 3]], 123.0);
        assert_eq!(views.slices[2][[1, 3]], 132.0);
        assert_eq!(views.projections[0][[0, 1]], 601.0 + 3.0);
        assert_eq!(views.widths, [8.0; 3]);
    }

    #[test]
    fn large_maps_are_averaged() {
        let plane = Array2::from_shape_fn((640, 640), |(y, x)| (y % 2 + x % 2) as f32);
        let small = averaged(plane, 640, LARGEST_SIDE);
        assert_eq!(small.dim(), (320, 320));
        assert!(small.iter().all(|value| *value == 1.0));
    }
}
