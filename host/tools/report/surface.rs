//! Views of a map's surface: rays through the map, each ending where the density first reaches a contour, shaded by the slope
//! of the surface there and by its depth.

use ndarray::Array3;
use rayon::prelude::*;

/// Side of an image, pixels.
pub(super) const SIDE: usize = 300;
/// Larger maps are averaged down to at most so many voxels a side.
const LARGEST: usize = 128;
/// Steps of a ray per voxel.
const STEPS: f64 = 2.0;
/// Grey of a surface that faces the light, that turns away from it, and share of the grey that is lost from front to back.
const BRIGHT: f64 = 235.0;
const DARK: f64 = 45.0;
const FOG: f64 = 0.45;
/// Volume of protein, Å³ per kDa (1.21 Å³ per Da).
const PER_KILODALTON: f64 = 1210.0;
/// Share of the sphere of the particle diameter that a molecule takes, where its mass is not known: a fifth for most complexes.
const USUAL_SHARE: f64 = 0.2;
/// Pieces with fewer voxels than this share of the largest one are taken for noise, and not drawn.
pub(super) const SMALLEST_PIECE: f64 = 0.02;
/// Direction of the light, seen by the viewer: from the upper left, behind the viewer.
const LIGHT: [f64; 3] = [-0.4, 0.5, 0.768];

/// Surface of a map at one contour.
#[derive(Debug)]
pub(crate) struct Surface {
    /// Contour.
    pub level: f32,
    /// Volume inside it, Å³, pieces that are not drawn included.
    pub volume: f64,
    /// How the volume was chosen.
    pub reason: String,
    /// Along z, y and x, as slices are shown: grey and opacity of pixels, rows from the top.
    pub images: [Vec<u8>; 3],
}

/// Known properties of the molecule.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Molecule {
    /// kDa.
    pub mass: Option<f64>,
    /// Å.
    pub diameter: Option<f64>,
}

impl Molecule {
    /// Returns the volume that a contour should enclose, Å³, and why.
    fn volume(self) -> Option<(f64, String)> {
        if let Some(mass) = self.mass {
            return Some((mass * PER_KILODALTON, format!("of {mass} kDa of protein")));
        }
        let sphere = self.diameter?.powi(3) * std::f64::consts::PI / 6.0;
        let reason = format!(
            "{:.0} % of the sphere of --particle_diameter, as for most complexes (give its mass, --mass KDA, where it is known)",
            100.0 * USUAL_SHARE
        );
        Some((USUAL_SHARE * sphere, reason))
    }
}

impl Surface {
    /// Draws the surface of a map with voxels of `pixel_size` Å that encloses the volume of a molecule; None where nothing is known
    /// of it, or the map shows nothing.
    pub(crate) fn of(map: &Array3<f32>, pixel_size: f64, molecule: Molecule) -> Option<Self> {
        let (volume, reason) = molecule.volume()?;
        let (depth, height, width) = map.dim();
        if depth != height || height != width || depth < 4 {
            return None;
        }
        let step = depth.div_ceil(LARGEST);
        let mut small = averaged(map, step);
        let pixel_size = pixel_size * step as f64;
        let radius = match molecule.diameter {
            Some(diameter) => diameter / 2.0 / pixel_size,
            None => f64::INFINITY,
        };
        let radius = radius.min(small.dim().0 as f64 / 2.0 - 1.0);
        let level = level(&small, radius, volume / pixel_size.powi(3))?;
        remove_small_pieces(&mut small, level);
        let images = [0, 1, 2].map(|axis| image(&small, radius, level, axis));
        Some(Self {
            level,
            volume,
            reason,
            images,
        })
    }
}

/// Means over cubes of voxels.
fn averaged(map: &Array3<f32>, step: usize) -> Array3<f32> {
    if step == 1 {
        return map.clone();
    }
    let side = map.dim().0 / step;
    Array3::from_shape_fn((side, side, side), |(z, y, x)| {
        let at = |i: usize| i * step..(i + 1) * step;
        let cube = map.slice(ndarray::s![at(z), at(y), at(x)]);
        cube.sum() / cube.len() as f32
    })
}

/// Density that `voxels` of the voxels within `radius` of the centre exceed; None where these are not brighter than the others.
fn level(map: &Array3<f32>, radius: f64, voxels: f64) -> Option<f32> {
    let centre = (map.dim().0 / 2) as f64;
    let square = |i: usize| (i as f64 - centre).powi(2);
    let mut values: Vec<f32> = map
        .indexed_iter()
        .filter(|((z, y, x), v)| {
            square(*z) + square(*y) + square(*x) <= radius * radius && v.is_finite()
        })
        .map(|(_, v)| *v)
        .collect();
    let count = (voxels as usize).clamp(1, values.len().checked_sub(1)?);
    let at = values.len() - count;
    let (below, level, _) = values.select_nth_unstable_by(at, f32::total_cmp);
    let lowest = below.iter().copied().fold(f32::INFINITY, f32::min);
    (*level > lowest).then_some(*level)
}

/// Lowers to below `level` the pieces of the map above it that are small beside the largest one. Voxels that share a face are of one
/// piece.
fn remove_small_pieces(map: &mut Array3<f32>, level: f32) {
    let side = map.dim().0;
    let mut is_left = map.mapv(|v| v >= level);
    let mut pieces: Vec<Vec<[usize; 3]>> = Vec::new();
    for (start, _) in map.indexed_iter() {
        let mut piece = Vec::new();
        let mut reached = vec![<[usize; 3]>::from(start)];
        while let Some(at) = reached.pop() {
            if !std::mem::replace(&mut is_left[at], false) {
                continue;
            }
            piece.push(at);
            for axis in 0..3 {
                for beside in [at[axis].wrapping_sub(1), at[axis] + 1] {
                    let mut place = at;
                    place[axis] = beside;
                    if beside < side && is_left[place] {
                        reached.push(place);
                    }
                }
            }
        }
        if !piece.is_empty() {
            pieces.push(piece);
        }
    }
    let largest = pieces.iter().map(Vec::len).max().unwrap_or(0) as f64;
    for piece in pieces {
        if (piece.len() as f64) < SMALLEST_PIECE * largest {
            for at in piece {
                map[at] = level.next_down();
            }
        }
    }
}

/// The view along an axis (0: z) towards its lower end; the axes to the right and upwards are those of the slices.
fn image(map: &Array3<f32>, radius: f64, level: f32, axis: usize) -> Vec<u8> {
    // Right, up and depth in (z, y, x): along z x and y, along y x and z, along x y and z.
    let [right, up, depth] = [[2, 1, 0], [2, 0, 1], [1, 0, 2]][axis];
    // Seen from the upper end of z and x; from the lower end of y, where x and z point right and up.
    let towards = if axis == 1 { 1.0 } else { -1.0 };
    let centre = (map.dim().0 / 2) as f64;
    let scale = 2.0 * radius / SIDE as f64;
    let steps = (2.0 * radius * STEPS) as usize;
    let place = |u: f64, v: f64, t: f64| {
        let mut at = [centre; 3];
        at[right] += u;
        at[up] += v;
        at[depth] += towards * (t / STEPS - radius);
        at
    };
    let shade = |u: f64, v: f64| -> [u8; 2] {
        if u * u + v * v > radius * radius {
            return [0, 0];
        }
        let mut before = f32::NEG_INFINITY;
        for step in 0..=steps {
            let value = density(map, place(u, v, step as f64));
            if value >= level {
                let over = match before.is_finite() && value > before {
                    true => f64::from((value - level) / (value - before)),
                    false => 0.0,
                };
                let t = step as f64 - over;
                let at = place(u, v, t);
                let slope = gradient(map, at);
                let normal = [slope[right], slope[up], towards * slope[depth]].map(|d| -d);
                return [grey(normal, t / steps as f64), 255];
            }
            before = value;
        }
        [0, 0]
    };
    (0..SIDE * SIDE)
        .into_par_iter()
        .flat_map_iter(|pixel| {
            let (row, column) = (pixel / SIDE, pixel % SIDE);
            let from_middle = |i: usize| (i as f64 + 0.5 - SIDE as f64 / 2.0) * scale;
            shade(from_middle(column), -from_middle(row))
        })
        .collect()
}

/// Grey of a piece of surface with an outward `normal` (right, up, away from the viewer), at a share of the depth.
fn grey(normal: [f64; 3], depth: f64) -> u8 {
    let length = normal.iter().map(|d| d * d).sum::<f64>().sqrt();
    // The viewer is where depth is least: a normal towards the viewer points against the depth.
    let facing = normal[0] * LIGHT[0] + normal[1] * LIGHT[1] - normal[2] * LIGHT[2];
    let facing = match length > 0.0 {
        true => (facing / length).clamp(0.0, 1.0),
        false => 0.5,
    };
    ((DARK + (BRIGHT - DARK) * facing) * (1.0 - FOG * depth.clamp(0.0, 1.0))).round() as u8
}

/// Trilinear interpolation; nothing outside.
fn density(map: &Array3<f32>, at: [f64; 3]) -> f32 {
    let side = map.dim().0;
    let low = at.map(f64::floor);
    if low.iter().any(|v| *v < 0.0 || *v as usize + 1 >= side) {
        return f32::NEG_INFINITY;
    }
    let [z, y, x] = low.map(|v| v as usize);
    let [fz, fy, fx] = [0, 1, 2].map(|i| (at[i] - low[i]) as f32);
    let line = |z: usize, y: usize| map[[z, y, x]] * (1.0 - fx) + map[[z, y, x + 1]] * fx;
    let plane = |z: usize| line(z, y) * (1.0 - fy) + line(z, y + 1) * fy;
    plane(z) * (1.0 - fz) + plane(z + 1) * fz
}

/// Slope of the density along z, y and x.
fn gradient(map: &Array3<f32>, at: [f64; 3]) -> [f64; 3] {
    [0, 1, 2].map(|axis| {
        let beside = |by: f64| {
            let mut place = at;
            place[axis] += by;
            density(map, place)
        };
        let slope = f64::from(beside(1.0) - beside(-1.0));
        if slope.is_finite() { slope } else { 0.0 }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Density that falls from the middle of a ball at (z, y, x).
    fn ball(middle: [f64; 3]) -> Array3<f32> {
        Array3::from_shape_fn((48, 48, 48), |(z, y, x)| {
            let at = [z, y, x];
            let square: f64 = (0..3).map(|i| (at[i] as f64 - middle[i]).powi(2)).sum();
            (-square.sqrt()) as f32
        })
    }

    const KNOWN: Molecule = Molecule {
        mass: None,
        diameter: Some(92.0),
    };

    /// Share of pixels that show the surface.
    fn covered(image: &[u8]) -> f64 {
        image.iter().skip(1).step_by(2).filter(|v| **v > 0).count() as f64 / (SIDE * SIDE) as f64
    }

    #[test]
    fn the_contour_encloses_the_volume() {
        let surface = Surface::of(&ball([24.0; 3]), 2.0, KNOWN).unwrap();
        // A fifth of the sphere's volume: the radius of the ball is that of the sphere (23 voxels) times 0.2^(1/3).
        let radius = f64::from(-surface.level);
        assert!((radius - 23.0 * 0.2f64.cbrt()).abs() < 0.3, "{radius}");
        let disc = std::f64::consts::PI * (radius / 46.0).powi(2);
        for image in &surface.images {
            assert!((covered(image) - disc).abs() < 0.01, "{}", covered(image));
        }
        let by_mass = Molecule {
            mass: Some(100.0),
            ..KNOWN
        };
        let surface = Surface::of(&ball([24.0; 3]), 2.0, by_mass).unwrap();
        assert_eq!(surface.volume, 121_000.0);
        let radius = 2.0 * f64::from(-surface.level);
        assert!(
            (4.189 * radius.powi(3) / 121_000.0 - 1.0).abs() < 0.05,
            "{radius}"
        );
    }

    #[test]
    fn the_surface_is_lit_from_the_upper_left_in_all_views() {
        let surface = Surface::of(&ball([24.0; 3]), 2.0, KNOWN).unwrap();
        for image in &surface.images {
            let at = |row: usize, column: usize| image[2 * (row * SIDE + column)];
            let (middle, off) = (SIDE / 2, SIDE / 8);
            assert!(at(middle - off, middle - off) > at(middle + off, middle + off) + 30);
            assert_eq!(image[1], 0, "the corner is empty");
        }
    }

    /// Each view shows its axes pointing to the right and up.
    #[test]
    fn axes_point_as_in_the_slices() {
        // Off the middle along x (right in the first two views), y (up in the first, right in the last) and z.
        let surface = Surface::of(&ball([28.0, 26.0, 30.0]), 2.0, KNOWN).unwrap();
        for (image, [right, up]) in surface
            .images
            .iter()
            .zip([[6.0, 2.0], [6.0, 4.0], [2.0, 4.0]])
        {
            let (mut sum, mut count) = ([0.0; 2], 0.0);
            for pixel in (0..SIDE * SIDE).filter(|pixel| image[2 * pixel + 1] > 0) {
                sum[0] += (pixel % SIDE) as f64;
                sum[1] += (pixel / SIDE) as f64;
                count += 1.0;
            }
            let voxel = SIDE as f64 / 46.0;
            let middle = SIDE as f64 / 2.0;
            let [x, y] = sum.map(|s| (s / count - middle) / voxel);
            assert!((x - right).abs() < 0.5 && (y + up).abs() < 0.5, "{x} {y}");
        }
    }

    /// A speck beside the molecule is left out, a second part of it is not.
    #[test]
    fn specks_of_noise_are_not_drawn() {
        let mut map = Array3::from_elem((48, 48, 48), 0.0);
        let mut cube = |corner: usize, side: usize| {
            let span = corner..corner + side;
            map.slice_mut(ndarray::s![span.clone(), span.clone(), span])
                .fill(1.0);
        };
        cube(20, 10);
        cube(12, 4);
        cube(33, 2);
        remove_small_pieces(&mut map, 1.0);
        let drawn = |at: usize| map[[at, at, at]] >= 1.0;
        assert_eq!([24, 13, 33].map(drawn), [true, true, false]);
        assert_eq!(map.iter().filter(|v| **v >= 1.0).count(), 1000 + 64);
    }

    #[test]
    fn nothing_is_drawn_of_an_empty_map_or_an_unknown_molecule() {
        assert!(Surface::of(&Array3::zeros((16, 16, 16)), 2.0, KNOWN).is_none());
        let unknown = Molecule {
            mass: None,
            diameter: None,
        };
        assert!(Surface::of(&ball([24.0; 3]), 2.0, unknown).is_none());
    }

    #[test]
    fn large_maps_are_drawn_small() {
        let map = Array3::from_shape_fn((260, 260, 260), |(z, _, _)| z as f32);
        assert_eq!(
            averaged(&map, 260usize.div_ceil(LARGEST)).dim(),
            (86, 86, 86)
        );
    }
}
