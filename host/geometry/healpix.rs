//! HEALPix pixelisation of the sphere, NESTED numbering (spec 01 §4.1, §4.3).
//!
//! Górski et al. (2005), ApJ 622, 759. The sphere is cut into 12 faces, each a grid of nside × nside pixels,
//! nside = 2^order; a nested pixel number holds the face and the interleaved bits of the face coordinates (x, y).

use std::f64::consts::{FRAC_PI_2, PI};

/// Ring (in units of nside) on which the southern corner of each face lies.
const FACE_RING: [i64; 12] = [2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4];
/// Longitude (in units of 45°) of the southern corner of each face.
const FACE_LONGITUDE: [i64; 12] = [1, 3, 5, 7, 0, 2, 4, 6, 1, 3, 5, 7];

/// Number of pixels at `order`: 12·4^order.
pub fn pixel_count(order: u32) -> u64 {
    12 << (2 * order)
}

/// (rot, tilt) in degrees of the centre of a nested pixel at `order`: rot = longitude in (−180, 180], tilt =
/// colatitude in [0, 180].
///
/// ```
/// let (rot, tilt) = gerelion::geometry::healpix::direction(0, 0);
/// assert_eq!(rot, 45.0);
/// assert!((tilt - 48.1897).abs() < 1e-4);
/// ```
pub fn direction(order: u32, pixel: u64) -> (f64, f64) {
    let (face, x, y) = face_coordinates(order, pixel);
    let nside = 1i64 << order;
    // Pixels along the equator, 4·nside; 4/12nside² is the area scale of the polar caps.
    let around = 4 * nside;
    let cap = 4.0 / pixel_count(order) as f64;
    let ring = FACE_RING[face] * nside - x - y - 1;
    let (per_quadrant, z, shift) = if ring < nside {
        (ring, 1.0 - (ring * ring) as f64 * cap, 0)
    } else if ring > 3 * nside {
        let south = around - ring;
        (south, (south * south) as f64 * cap - 1.0, 0)
    } else {
        let belt = (2 * nside) as f64 * cap;
        (nside, (2 * nside - ring) as f64 * belt, (ring - nside) & 1)
    };
    let mut column = (FACE_LONGITUDE[face] * per_quadrant + x - y + 1 + shift) / 2;
    if column > around {
        column -= around;
    } else if column < 1 {
        column += around;
    }
    let longitude = (column as f64 - (shift + 1) as f64 * 0.5) * (FRAC_PI_2 / per_quadrant as f64);
    let rot = longitude * 180.0 / PI;
    let tilt = z.acos() * 180.0 / PI;
    (if rot > 180.0 { rot - 360.0 } else { rot }, tilt)
}

/// Face (0…11) and coordinates (x, y), each 0…2^order−1, of a nested pixel.
fn face_coordinates(order: u32, pixel: u64) -> (usize, i64, i64) {
    let per_face = 1u64 << (2 * order);
    let within = pixel & (per_face - 1);
    let face = (pixel >> (2 * order)) as usize;
    (
        face,
        even_bits(within) as i64,
        even_bits(within >> 1) as i64,
    )
}

/// Nested number of face coordinates.
fn nested(order: u32, face: usize, x: u64, y: u64) -> u64 {
    ((face as u64) << (2 * order)) | spread_bits(x) | (spread_bits(y) << 1)
}

/// Gather bits 0, 2, 4, … into the low half.
fn even_bits(value: u64) -> u64 {
    let mut v = value & 0x5555_5555_5555_5555;
    v = (v | (v >> 1)) & 0x3333_3333_3333_3333;
    v = (v | (v >> 2)) & 0x0f0f_0f0f_0f0f_0f0f;
    v = (v | (v >> 4)) & 0x00ff_00ff_00ff_00ff;
    v = (v | (v >> 8)) & 0x0000_ffff_0000_ffff;
    (v | (v >> 16)) & 0xffff_ffff
}

/// The inverse of [`even_bits`].
fn spread_bits(value: u64) -> u64 {
    let mut v = value & 0xffff_ffff;
    v = (v | (v << 16)) & 0x0000_ffff_0000_ffff;
    v = (v | (v << 8)) & 0x00ff_00ff_00ff_00ff;
    v = (v | (v << 4)) & 0x0f0f_0f0f_0f0f_0f0f;
    v = (v | (v << 2)) & 0x3333_3333_3333_3333;
    (v | (v << 1)) & 0x5555_5555_5555_5555
}

/// The 4^levels pixels at `order + levels` inside a pixel at `order`, as nested numbers in the order in which they
/// are oversampled: face coordinate y outer, x inner, which is not the nested order (spec 01 §4.3).
pub fn children(order: u32, pixel: u64, levels: u32) -> impl Iterator<Item = u64> {
    let (face, x, y) = face_coordinates(order, pixel);
    let (x, y) = ((x as u64) << levels, (y as u64) << levels);
    let side = 1u64 << levels;
    (0..side).flat_map(move |j| (0..side).map(move |i| nested(order + levels, face, x + i, y + j)))
}

/// Calls `found` with every nested pixel at `order` whose centre is within `radius` degrees of the unit vector `view`, by
/// ascending number.
pub fn for_each_in_disc(order: u32, view: [f64; 3], radius: f64, found: &mut impl FnMut(u64)) {
    // Centres inside a pixel of a coarser order are no further from its centre than its corners.
    let reach: Vec<f64> = (0..=order)
        .map(|k| match k == order {
            true => radius,
            false => radius + max_pixel_radius(k),
        })
        .map(|angle| angle.min(180.0).to_radians().cos())
        .collect();
    for pixel in 0..pixel_count(0) {
        descend(&reach, 0, pixel, view, found);
    }
}

/// `reach`: cosine of the largest angle that matters, for each order.
fn descend(reach: &[f64], order: usize, pixel: u64, view: [f64; 3], found: &mut impl FnMut(u64)) {
    let (rot, tilt) = direction(order as u32, pixel);
    if super::euler::dot(super::euler::viewing_direction(rot, tilt), view) < reach[order] {
        return;
    }
    if order + 1 == reach.len() {
        found(pixel);
        return;
    }
    for child in 4 * pixel..4 * pixel + 4 {
        descend(reach, order + 1, child, view, found);
    }
}

/// Largest angle (degrees) between the centre of a pixel and its corners at `order`.
pub fn max_pixel_radius(order: u32) -> f64 {
    let nside = (1u64 << order) as f64;
    let point = |z: f64, phi: f64| {
        let s = (1.0 - z * z).sqrt();
        [s * phi.cos(), s * phi.sin(), z]
    };
    let polar = 1.0 - 1.0 / nside;
    let a = point(2.0 / 3.0, PI / (4.0 * nside));
    let b = point(1.0 - polar * polar / 3.0, 0.0);
    super::euler::dot(a, b).clamp(-1.0, 1.0).acos().to_degrees()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Centre by an independent crate, as (rot, tilt) in degrees.
    fn independent(order: u32, pixel: u64) -> (f64, f64) {
        let (longitude, latitude) = cdshealpix::nested::center(order as u8, pixel);
        let rot = longitude.to_degrees();
        (
            if rot > 180.0 { rot - 360.0 } else { rot },
            90.0 - latitude.to_degrees(),
        )
    }

    #[test]
    fn every_pixel_of_low_orders_agrees_with_cdshealpix() {
        for order in 0..=4 {
            for pixel in 0..pixel_count(order) {
                let (rot, tilt) = direction(order, pixel);
                let (their_rot, their_tilt) = independent(order, pixel);
                assert!(
                    (rot - their_rot).abs() < 1e-9 && (tilt - their_tilt).abs() < 1e-9,
                    "order {order} pixel {pixel}: ({rot}, {tilt}) against ({their_rot}, {their_tilt})"
                );
            }
        }
    }

    #[test]
    fn children_run_along_x_first() {
        // Nested numbers 0, 1, 2, 3 are (x, y) = (0,0), (1,0), (0,1), (1,1): one level keeps the nested order,
        // two levels do not.
        assert_eq!(children(1, 5, 1).collect::<Vec<_>>(), [20, 21, 22, 23]);
        assert_eq!(
            children(0, 0, 2).collect::<Vec<_>>(),
            [0, 1, 4, 5, 2, 3, 6, 7, 8, 9, 12, 13, 10, 11, 14, 15]
        );
        assert_eq!(children(3, 77, 0).collect::<Vec<_>>(), [77]);
    }

    #[test]
    fn pixel_radius_of_the_specification() {
        let expected = [48.19, 27.59, 14.57, 7.473, 3.782, 1.903];
        for (order, radius) in expected.into_iter().enumerate() {
            let ours = max_pixel_radius(order as u32);
            assert!((ours - radius).abs() < 0.006, "order {order}: {ours}");
        }
    }

    proptest! {
        #[test]
        fn discs_hold_the_pixels_whose_centres_are_near(
            order in 0u32..5, rot in -180.0..180.0f64, tilt in 0.0..180.0f64, radius in 0.5..100.0f64,
        ) {
            use super::super::euler::{dot, viewing_direction};
            let view = viewing_direction(rot, tilt);
            let mut found = Vec::new();
            for_each_in_disc(order, view, radius, &mut |pixel| found.push(pixel));
            let inside = |pixel: &u64| {
                let (rot, tilt) = direction(order, *pixel);
                dot(viewing_direction(rot, tilt), view) >= radius.to_radians().cos()
            };
            let expected: Vec<u64> = (0..pixel_count(order)).filter(inside).collect();
            prop_assert_eq!(found, expected);
        }

        #[test]
        fn high_orders_agree_with_cdshealpix(order in 5u32..12, fraction in 0.0..1.0f64) {
            let pixel = (fraction * pixel_count(order) as f64) as u64;
            let (rot, tilt) = direction(order, pixel);
            let (their_rot, their_tilt) = independent(order, pixel);
            prop_assert!((rot - their_rot).abs() < 1e-9 && (tilt - their_tilt).abs() < 1e-7);
        }

        #[test]
        fn children_lie_inside_their_parent(order in 0u32..6, levels in 1u32..4, fraction in 0.0..1.0f64) {
            let parent = (fraction * pixel_count(order) as f64) as u64;
            let mut seen: Vec<u64> = children(order, parent, levels).collect();
            prop_assert!(seen.iter().all(|child| child >> (2 * levels) == parent));
            seen.sort_unstable();
            seen.dedup();
            prop_assert_eq!(seen.len(), 1 << (2 * levels));
        }
    }
}
