//! Local resolution: soft spheres cut out of maps, filters, and the sum of what was filtered around each point (spec 02 §7.2, 06 §10).
//!
//! Maps are `n`³ with even n, x fastest. A sphere may reach beyond the box. Cubes are real, in the place of their transforms: rows of n voxels, each followed by what is missing to 2(n/2+1).

use cuda_std::prelude::*;

use crate::mask::sphere_share;
use crate::volume::{real_row, transform_position};

/// A sphere with a soft edge, in voxels.
#[group]
pub struct SoftSphere {
    /// Its centre.
    pub centre_x: i32,
    /// Its centre.
    pub centre_y: i32,
    /// Its centre.
    pub centre_z: i32,
    /// Radius up to the edge.
    pub radius: f64,
    /// Width of the edge.
    pub edge: f64,
}

impl SoftSphere {
    /// Returns its share in voxel `i` of a map of `n`³ voxels.
    #[inline(always)]
    fn share(&self, i: usize, n: usize) -> f32 {
        let x = (i % n) as i32 - self.centre_x;
        let y = (i / n % n) as i32 - self.centre_y;
        let z = (i / (n * n)) as i32 - self.centre_z;
        sphere_share((x * x + y * y + z * z) as u32, self.radius, self.edge)
    }
}

/// `map` times a sphere, as a cube. A thread a voxel.
#[kernel(block = 256, grid = [n.pow(3).div_ceil(BLOCK), 1, 1], emulate = Apart)]
pub unsafe fn sphere_of_map(
    #[len(n * n * n)] map: *const f32,
    n: u32,
    #[group] sphere: SoftSphere,
    #[len(n * n * 2 * (n / 2 + 1))] out: *mut f32,
) {
    // SAFETY: the index is checked.
    unsafe {
        let (i, side) = (thread::index_1d(), n as usize);
        if i >= side * side * side {
            return;
        }
        let share = sphere.share(i, side);
        *out.add(i / side * real_row(n) + i % side) = share * memory::load(map, i);
    }
}

/// `transform` times `factors`, one per squared radius, 0 beyond the last of `count`. A thread a value of the transform.
#[kernel(block = 256, grid = [(n * n * (n / 2 + 1)).div_ceil(BLOCK), 1, 1], emulate = Apart)]
pub unsafe fn filter_transform(
    #[len(n * n * (n / 2 + 1))] transform: *const [f32; 2],
    n: u32,
    #[len(count)] factors: *const f32,
    count: u32,
    #[len(n * n * (n / 2 + 1))] out: *mut [f32; 2],
) {
    // SAFETY: the index is checked, the factor is within the array.
    unsafe {
        let i = thread::index_1d();
        let Some([x, y, z]) = transform_position(i, n) else {
            return;
        };
        let r2 = (x * x + y * y + z * z) as u32;
        let mut value = [0.0; 2];
        if r2 < count {
            let factor = memory::load(factors, r2 as usize);
            value = memory::load2(transform, i).map(|v| v * factor);
        }
        memory::store2(out, i, value);
    }
}

/// Adds m·v, m·`frequency` and m to three sums per voxel, m a sphere and v a cube. A thread a voxel.
#[kernel(block = 256, grid = [n.pow(3).div_ceil(BLOCK), 1, 1], emulate = Apart)]
pub unsafe fn add_sphere(
    #[len(n * n * 2 * (n / 2 + 1))] cube: *const f32,
    n: u32,
    #[group] sphere: SoftSphere,
    frequency: f64,
    #[len(3 * n * n * n)] sums: *mut f64,
) {
    // SAFETY: the index is checked.
    unsafe {
        let (i, side) = (thread::index_1d(), n as usize);
        if i >= side * side * side {
            return;
        }
        let share = sphere.share(i, side);
        if share > 0.0 {
            let m = f64::from(share);
            let value = memory::load(cube, i / side * real_row(n) + i % side);
            *sums.add(3 * i) += m * f64::from(value);
            *sums.add(3 * i + 1) += m * frequency;
            *sums.add(3 * i + 2) += m;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::test_data;
    use cuda_std::launch::{View, emulate_as};

    const N: u32 = 10;
    const SIDE: usize = N as usize;
    /// It reaches beyond the box.
    const CENTRE: [i32; 3] = [2, 5, 8];
    const RADIUS: f64 = 2.0;
    const EDGE: f64 = 3.0;

    fn sphere() -> SoftSphereViews {
        SoftSphereViews {
            centre_x: CENTRE[0],
            centre_y: CENTRE[1],
            centre_z: CENTRE[2],
            radius: RADIUS,
            edge: EDGE,
        }
    }

    fn blocks(count: usize) -> [u32; 3] {
        [count.div_ceil(64) as u32, 1, 1]
    }

    /// The sphere at voxel (x, y, z), by its definition.
    fn expected_share(at: [usize; 3]) -> f64 {
        let square = |k: usize| (at[k] as f64 - f64::from(CENTRE[k])).powi(2);
        let r = (square(0) + square(1) + square(2)).sqrt();
        if r <= RADIUS {
            1.0
        } else if r > RADIUS + EDGE {
            0.0
        } else {
            0.5 + 0.5 * (core::f64::consts::PI * (r - RADIUS) / EDGE).cos()
        }
    }

    /// Voxels (x, y, z) with their places in a map and in a cube.
    fn voxels() -> impl Iterator<Item = ([usize; 3], usize, usize)> {
        (0..SIDE.pow(3)).map(|i| {
            let row = i / SIDE;
            let at = [i % SIDE, row % SIDE, row / SIDE];
            (at, i, row * real_row(N) + at[0])
        })
    }

    #[test]
    fn a_sphere_is_cut_out_and_added_to_sums() {
        let mut map = test_data::values(SIDE.pow(3), 1);
        let mut cube = vec![f32::NAN; SIDE * SIDE * real_row(N)];
        let mut sums = vec![0.25f64; 3 * SIDE.pow(3)];
        let (m, c, s) = (View::of(&mut map), View::of(&mut cube), View::of(&mut sums));
        // SAFETY: array sizes as the kernels demand.
        unsafe {
            emulate_as(
                &SphereOfMap {
                    map: m,
                    n: N,
                    sphere: sphere(),
                    out: c,
                },
                blocks(SIDE.pow(3)),
                [64, 1, 1],
            );
            emulate_as(
                &AddSphere {
                    cube: c,
                    n: N,
                    sphere: sphere(),
                    frequency: 0.125,
                    sums: s,
                },
                blocks(SIDE.pow(3)),
                [64, 1, 1],
            );
        }
        for (at, i, place) in voxels() {
            let (share, value) = (expected_share(at), f64::from(map[i]));
            let close = |found: f64, expected: f64| (found - expected).abs() < 1e-6;
            assert!(close(f64::from(cube[place]), share * value), "{at:?}");
            let expected = [share * share * value, share * 0.125, share];
            for (found, expected) in sums[3 * i..3 * i + 3].iter().zip(expected) {
                assert!(close(*found, 0.25 + expected), "{at:?}: {found}");
            }
        }
    }

    #[test]
    fn a_transform_is_filtered_by_its_squared_radius() {
        let length = SIDE * SIDE * (SIDE / 2 + 1);
        let mut transform: Vec<[f32; 2]> =
            test_data::values(2 * length, 2).as_chunks::<2>().0.to_vec();
        let mut factors: Vec<f32> = (0..12u8).map(|r2| 2.0 + f32::from(r2)).collect();
        let mut out = vec![[f32::NAN; 2]; length];
        let (t, f, o) = (
            View::of(&mut transform),
            View::of(&mut factors),
            View::of(&mut out),
        );
        // SAFETY: array sizes as the kernel demands.
        unsafe {
            emulate_as(
                &FilterTransform {
                    transform: t,
                    n: N,
                    factors: f,
                    count: factors.len() as u32,
                    out: o,
                },
                blocks(length),
                [64, 1, 1],
            );
        }
        for (i, found) in out.iter().enumerate() {
            let [x, y, z] = transform_position(i, N).unwrap();
            let r2 = x * x + y * y + z * z;
            let factor = if r2 < 12 { 2.0 + r2 as f32 } else { 0.0 };
            assert_eq!(*found, transform[i].map(|v| v * factor), "r² {r2}");
        }
    }
}
