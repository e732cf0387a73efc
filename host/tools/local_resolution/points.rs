//! Where the local resolution is measured: a grid of points, and the soft sphere around each (spec 02 §7.2, 06 §10).

use super::plans::Range3;
use crate::fourier::shells::round;
use crate::maximization::Sphere;
use gpu::mask::sphere_share;
use ndarray::Array3;

/// Radius and edge of the spheres and the points that they are put on, all in voxels.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Grid {
    /// Sphere.
    pub radius: f64,
    /// Raised cosine outside it.
    pub edge: f64,
    /// Logical coordinates (z, y, x) of the centres, z outermost.
    pub points: Vec<[i64; 3]>,
}

impl Grid {
    /// Points every `sampling` Å whose sphere of `radius` Å lies inside the sphere inscribed in the box.
    pub(super) fn new(n: usize, pixel_size: f64, [sampling, radius, edge]: [f64; 3]) -> Self {
        let step = round(sampling / pixel_size).max(1);
        let radius = round(radius / pixel_size) as f64;
        let half = (n / 2) as i64;
        let limit = half as f64 - radius;
        let axis = || (-half..half).step_by(step as usize);
        let mut points = Vec::new();
        for z in axis() {
            for y in axis() {
                for x in axis() {
                    if ((z * z + y * y + x * x) as f64).sqrt() < limit {
                        points.push([z, y, x]);
                    }
                }
            }
        }
        Self {
            radius,
            edge: round(edge / pixel_size) as f64,
            points,
        }
    }

    /// Returns the sphere around a point in a box of `n` voxels.
    pub(super) fn sphere(&self, point: [i64; 3], n: usize) -> Sphere {
        Sphere {
            centre: point.map(|p| p + (n / 2) as i64),
            radius: self.radius,
            edge: self.edge,
        }
    }

    /// Returns the voxels that the sphere around a point reaches, and the mask on them.
    pub(super) fn window(&self, point: [i64; 3], n: usize) -> (Range3, Array3<f32>) {
        let reach = (self.radius + self.edge).ceil() as i64;
        let centre = self.sphere(point, n).centre;
        let range = centre.map(|c| {
            let (from, to) = (c - reach, c + reach + 1);
            (from.max(0) as usize, to.min(n as i64) as usize)
        });
        let shape = range.map(|(from, to)| to - from);
        let mask = Array3::from_shape_fn((shape[0], shape[1], shape[2]), |(z, y, x)| {
            let at = [z, y, x];
            let square: i64 = (0..3)
                .map(|i| ((range[i].0 + at[i]) as i64 - centre[i]).pow(2))
                .sum();
            sphere_share(square as u32, self.radius, self.edge)
        });
        (range, mask)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The grid starts at the first voxel, so that its points need not include the centre.
    #[test]
    fn points_lie_inside_the_box_by_the_radius_of_the_sphere() {
        let grid = Grid::new(64, 4.0, [16.0, 8.0, 16.0]);
        assert_eq!((grid.radius, grid.edge), (2.0, 4.0));
        // As many as RELION measures on this box.
        assert_eq!(grid.points.len(), 1791);
        assert_eq!(grid.points[0], [-28, -8, -4]);
        let odd = Grid::new(64, 4.0, [20.0, 8.0, 16.0]);
        assert!(odd.points.iter().all(|p| (p[0] + 32) % 5 == 0));
    }

    #[test]
    fn spheres_are_clipped_by_the_box() {
        let grid = Grid::new(32, 1.0, [4.0, 4.0, 6.0]);
        let (range, mask) = grid.window([-12, 0, 0], 32);
        assert_eq!(range, [(0, 15), (6, 27), (6, 27)]);
        assert_eq!(mask[[4, 10, 10]], 1.0);
        assert_eq!(mask[[4, 10, 14]], 1.0);
        assert!((mask[[4, 10, 17]] - 0.5).abs() < 1e-6);
        assert_eq!(mask[[4, 10, 20]], 0.0);
    }
}
