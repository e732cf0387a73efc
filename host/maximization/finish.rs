//! Steps between the reconstruction of a map and the next iteration: local symmetry (spec 06 §2.3), low-pass, centring,
//! solvent (spec 02 §3.8, §6.1, §6.3).

use super::gradient;
use super::local_averaging;
use crate::fourier::masks;
use crate::model::ClassModel;
use crate::model::local_symmetry::LocalSymmetry;
use gpu::volume::{centring_mass, centring_shift};
use ndarray::{Array3, Zip};
use std::sync::Arc;

/// How the solvent of a map is flattened (`--flatten_solvent`).
#[derive(Debug, Clone)]
pub struct Flattening {
    /// Radius of the sphere that is kept where there is no mask, pixels.
    pub radius: f64,
    /// Width of its soft edge, pixels.
    pub edge: f64,
    /// Region that is kept.
    pub mask: Option<Array3<f64>>,
    /// Region that is set to its mean afterwards.
    pub second: Option<Array3<f64>>,
    /// Region that is added again, low-passed.
    pub low_pass: Option<(Array3<f64>, LowPass)>,
}

impl Flattening {
    fn on_host(&self, map: &mut Array3<f64>) {
        let smooth = self
            .low_pass
            .as_ref()
            .map(|(mask, filter)| filter.on_host(&(&*map * mask)));
        match &self.mask {
            Some(mask) => *map *= mask,
            None => masks::soft_sphere(map, self.radius, self.edge),
        }
        if let Some(smooth) = smooth {
            *map += &smooth;
        }
        if let Some(second) = &self.second {
            let weight = second.sum();
            if weight > 0.0 {
                let mean = Zip::from(&*map)
                    .and(second)
                    .fold(0.0, |sum, v, m| sum + v * m)
                    / weight;
                Zip::from(map)
                    .and(second)
                    .for_each(|v, &m| *v = (1.0 - m) * *v + m * mean);
            }
        }
    }
}

/// Steps that every new map goes through, in this order.
#[derive(Debug, Clone, Copy, Default)]
pub struct Finish<'a> {
    /// Average over local symmetry.
    pub local_symmetry: Option<&'a LocalSymmetry>,
    /// Low-pass (after a cross-correlation iteration).
    pub low_pass: Option<LowPass>,
    /// Move the centre of mass to the centre.
    pub centre: Option<Centring>,
    /// Flatten the solvent.
    pub flatten: Option<&'a Flattening>,
}

/// How far a map is moved to centre it, pixels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Centring {
    /// At most.
    pub limit: f64,
    /// Not at all where it would be less.
    pub least: f64,
}

/// A low-pass filter with a two-shell cosine edge.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LowPass {
    /// Å.
    pub resolution: f64,
    /// Å per pixel.
    pub pixel_size: f64,
}

impl LowPass {
    /// Shells of the filter, for a box of `n` pixels.
    pub fn shells(&self, n: usize) -> f64 {
        n as f64 * self.pixel_size / self.resolution
    }

    /// The filtered map, in double precision.
    pub fn on_host(&self, map: &Array3<f64>) -> Array3<f64> {
        masks::low_pass(map, self.pixel_size, self.resolution)
    }
}

impl Finish<'_> {
    /// True when maps are left as they are.
    pub fn is_nothing(&self) -> bool {
        self.local_symmetry.is_none()
            && self.low_pass.is_none()
            && self.centre.is_none()
            && self.flatten.is_none()
    }

    /// For a map of the iteration before: it has been averaged already.
    pub fn again(&self) -> Self {
        Self {
            local_symmetry: None,
            ..*self
        }
    }

    /// On the host, to the map of a class whose moments follow when it is centred (spec 05 §9).
    pub fn on_class(&self, class: &mut ClassModel) {
        let shift = self.on_host(Arc::make_mut(&mut class.map));
        if let (Some(shift), Some(moments)) = (shift, &mut class.moments) {
            gradient::centring::follow(moments, shift);
        }
    }

    /// On the host, in double precision. Returns what was the centre of mass (x, y, z) if the map was centred, as far as it was
    /// followed.
    pub fn on_host(&self, map: &mut Array3<f64>) -> Option<[f64; 3]> {
        if let Some(symmetry) = self.local_symmetry {
            *map = local_averaging::average(map, symmetry);
        }
        if let Some(filter) = self.low_pass {
            *map = filter.on_host(map);
        }
        let centred = self.centre.and_then(|rule| centre(map, rule));
        let shift = centred.map(|(moved, shift)| {
            *map = moved;
            shift
        });
        if let Some(flattening) = self.flatten {
            flattening.on_host(map);
        }
        shift
    }
}

/// Moves the centre of mass of what is positive in a map to the box centre (`--center_classes`, spec 04 §11). Returns the map
/// and the shift, if there is one.
fn centre(map: &Array3<f64>, rule: Centring) -> Option<(Array3<f64>, [f64; 3])> {
    let shift = centring_shift(moments(map), rule.limit, rule.least)?;
    Some((shifted(map, shift), shift))
}

/// Returns the centre of mass (x, y, z) of what is positive in a map, voxels from the box centre; None without any.
pub fn centre_of_mass(map: &Array3<f64>) -> Option<[f64; 3]> {
    centring_shift(moments(map), f64::INFINITY, 0.0)
}

/// Σ v, Σ v·x, Σ v·y, Σ v·z about the box centre, over what is positive.
fn moments(map: &Array3<f64>) -> [f64; 4] {
    let (sections, n, _) = map.dim();
    let middle = [n / 2, n / 2, sections / 2].map(|m| m as f64);
    let mut moments = [0.0; 4];
    for ((z, y, x), &v) in map.indexed_iter() {
        let mass = centring_mass(v);
        moments[0] += mass;
        for ((moment, i), middle) in moments[1..].iter_mut().zip([x, y, z]).zip(middle) {
            *moment += mass * (i as f64 - middle);
        }
    }
    moments
}

/// Returns out(r) = in(r + shift), shift (x, y, z) in voxels: trilinear, 0 where the source lies outside the box.
pub fn shifted(map: &Array3<f64>, shift: [f64; 3]) -> Array3<f64> {
    Array3::from_shape_fn(map.dim(), |(z, y, x)| {
        let at = [
            z as f64 + shift[2],
            y as f64 + shift[1],
            x as f64 + shift[0],
        ];
        trilinear(map, at)
    })
}

/// Returns the value of a map at (z, y, x) between voxels; 0 outside the map.
pub fn trilinear(map: &Array3<f64>, at: [f64; 3]) -> f64 {
    let base = at.map(f64::floor);
    let mut value = 0.0;
    for corner in 0..8usize {
        let mut weight = 1.0;
        let mut index = [0i64; 3];
        for axis in 0..3 {
            let upper = corner >> axis & 1 == 1;
            let fraction = at[axis] - base[axis];
            weight *= if upper { fraction } else { 1.0 - fraction };
            index[axis] = base[axis] as i64 + i64::from(upper);
        }
        let voxel = index.map(|i| usize::try_from(i).unwrap_or(usize::MAX));
        value += weight * map.get(voxel).copied().unwrap_or(0.0);
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn centring_moves_the_mass_to_the_middle() {
        let mut map = Array3::zeros((8, 8, 8));
        map[[5, 4, 2]] = 2.0;
        let within = |limit: f64| Centring { limit, least: 0.0 };
        let (centred, shift) = centre(&map, within(10.0)).unwrap();
        assert_eq!(shift, [-2.0, 0.0, 1.0]);
        assert!((centred[[4, 4, 4]] - 2.0).abs() < 1e-12);
        assert!((centred.sum() - 2.0).abs() < 1e-12);
        // (1, 0, −2) is 2.236 pixels long: half of it leaves the mass between voxels.
        let (half, _) = centre(&map, within(5f64.sqrt() / 2.0)).unwrap();
        assert!(half[[4, 4, 3]] > 0.9 && half[[5, 4, 3]] > 0.9);
        assert_eq!(centre_of_mass(&map), Some([-2.0, 0.0, 1.0]));
        assert_eq!(centre_of_mass(&Array3::from_elem((4, 4, 4), -1.0)), None);
        // Negative values have no mass, and class averages none along z.
        let mut average = Array3::from_elem((1, 8, 8), -1.0);
        average[[0, 4, 2]] = 2.0;
        assert_eq!(centre(&average, within(10.0)).unwrap().0[[0, 4, 4]], 2.0);
    }

    #[test]
    fn the_second_mask_flattens_its_inside_to_the_mean() {
        let mut map = Array3::from_shape_fn((4, 4, 4), |(z, y, x)| (z + y + x) as f64);
        let mut second = Array3::zeros((4, 4, 4));
        second[[0, 0, 0]] = 1.0;
        second[[3, 3, 3]] = 1.0;
        let flattening = Flattening {
            radius: 10.0,
            edge: 2.0,
            mask: Some(Array3::ones((4, 4, 4))),
            second: Some(second),
            low_pass: None,
        };
        let finish = Finish {
            flatten: Some(&flattening),
            ..Finish::default()
        };
        finish.on_host(&mut map);
        assert_eq!(map[[0, 0, 0]], 4.5);
        assert_eq!(map[[3, 3, 3]], 4.5);
        assert_eq!(map[[1, 1, 1]], 3.0);
    }
}
