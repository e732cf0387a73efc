//! Viewing directions of a grid, in patches of neighbours: searches around a direction look at few of them.

use super::euler::dot;
use std::ops::Range;

/// Views of a patch. Grids list their directions by nested pixels, so that those that follow each other are neighbours.
const PATCH: usize = 64;

/// Unit viewing vectors of a grid.
#[derive(Debug, Clone, PartialEq)]
pub struct Views {
    all: Vec<[f64; 3]>,
    patches: Vec<Patch>,
}

/// Some views that follow each other.
#[derive(Debug, Clone, PartialEq)]
struct Patch {
    /// Indices of the views.
    views: Range<usize>,
    /// A direction in the middle.
    centre: [f64; 3],
    /// Cosine and sine of the largest angle between it and a view.
    radius: [f64; 2],
}

impl Views {
    /// Returns the views `all`, unit vectors, in patches.
    pub fn new(all: Vec<[f64; 3]>) -> Self {
        let begins = (0..all.len()).step_by(PATCH);
        let patches = begins
            .map(|begin| Patch::of(&all, begin..(begin + PATCH).min(all.len())))
            .collect();
        Self { all, patches }
    }

    /// Returns all views.
    pub fn all(&self) -> &[[f64; 3]] {
        &self.all
    }

    /// Returns the indices of views that may lie within `angle` (radians) of one of the unit vectors `centres`, in order: all that
    /// do, and others near them.
    pub fn near<'a>(
        &'a self,
        centres: &'a [[f64; 3]],
        angle: f64,
    ) -> impl Iterator<Item = usize> + 'a {
        let (sin, cos) = angle.sin_cos();
        let is_near = move |patch: &&Patch| {
            let [cos_radius, sin_radius] = patch.radius;
            // Within angle + radius of the middle; all are, when that is half a turn.
            let border = match angle + sin_radius.atan2(cos_radius) >= std::f64::consts::PI {
                true => -1.0,
                false => cos * cos_radius - sin * sin_radius,
            };
            // The margin is for rounding.
            centres
                .iter()
                .any(|&c| dot(patch.centre, c) > border - 1e-6)
        };
        self.patches
            .iter()
            .filter(is_near)
            .flat_map(|patch| patch.views.clone())
    }
}

impl Patch {
    /// The patch of the views of these indices.
    fn of(all: &[[f64; 3]], views: Range<usize>) -> Self {
        let of_patch = &all[views.clone()];
        let sum = of_patch.iter().fold([0.0; 3], |sum: [f64; 3], view| {
            std::array::from_fn(|i| sum[i] + view[i])
        });
        let length = dot(sum, sum).sqrt();
        // Views all around cancel each other: any direction will do.
        let centre = match length > 1e-3 {
            true => sum.map(|v| v / length),
            false => of_patch[0],
        };
        let cosines = of_patch.iter().map(|&view| dot(view, centre));
        let cosine = cosines.fold(1.0, f64::min).max(-1.0);
        Self {
            views,
            centre,
            radius: [cosine, (1.0 - cosine * cosine).sqrt()],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::euler::viewing_direction;
    use proptest::prelude::*;

    /// A spiral from pole to pole.
    fn spiral(count: usize) -> Views {
        let view = |i: usize| {
            let z = 1.0 - (2 * i + 1) as f64 / count as f64;
            viewing_direction(137.5 * i as f64, z.acos().to_degrees())
        };
        Views::new((0..count).map(view).collect())
    }

    proptest! {
        #[test]
        fn no_view_within_the_angle_is_left_out(
            rot in -180.0..180.0f64, tilt in 0.0..180.0f64, angle in 0.0..200.0f64, count in 1..900usize,
        ) {
            let views = spiral(count);
            let centres = [viewing_direction(rot, tilt), viewing_direction(rot + 90.0, tilt)];
            let near: Vec<usize> = views.near(&centres, angle.min(180.0).to_radians()).collect();
            prop_assert!(near.windows(2).all(|w| w[0] < w[1]));
            for (i, &view) in views.all().iter().enumerate() {
                let is_inside = centres
                    .iter()
                    .any(|&c| dot(view, c).clamp(-1.0, 1.0).acos().to_degrees() < angle);
                prop_assert!(!is_inside || near.contains(&i));
            }
        }
    }

    #[test]
    fn few_views_of_a_fine_grid_are_near() {
        use crate::geometry::sampling::Sampling;
        use crate::geometry::symmetry::PointGroup;
        let group = PointGroup::parse("C1").unwrap();
        let sampling = Sampling::new(5, -1.0, group, -91.0, 6.0, 2.0, 0.5);
        let views = Views::new(sampling.views().to_vec());
        let centre = [viewing_direction(33.0, 71.0)];
        let near = views.near(&centre, 6f64.to_radians()).count();
        assert!(
            near * 20 < views.all().len(),
            "{near} of {}",
            views.all().len()
        );
    }
}
