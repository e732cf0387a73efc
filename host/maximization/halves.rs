//! Gold-standard halves: low-resolution join, down-sampled averages and their FSC (spec 02 §3.3, §5.6).

use super::MaximizationError;
use super::map_fsc::map_fsc;
use super::radial::Radial;
use crate::errors::Message;
use crate::fourier::backprojection::BackProjection;
use crate::fourier::fft::inverse3;
use crate::fourier::shells::{round, shell, stored};
use ndarray::Array3;
use num_complex::Complex64;
use rayon::prelude::*;

/// Weighted averages A/W of one half on the unpadded grid, logical z, y in −h…h, x in 0…h with h = R + 1.
#[derive(Debug, Clone, PartialEq)]
pub struct HalfAverage {
    /// (2h+1)·(2h+1)·(h+1) values, x fastest.
    pub data: Vec<Complex64>,
    /// R, unpadded shells.
    pub r_max: usize,
}

/// Shell R_low up to which halves are averaged: `join_resolution` Å (`--low_resol_join_halves`), or the current
/// resolution ν (1/Å, 0 = none yet) if that is worse; never above `r_max`.
pub fn low_resolution_shell(
    join_resolution: f64,
    current_resolution: f64,
    box_size: usize,
    pixel_size: f64,
    r_max: usize,
) -> usize {
    let width = box_size as f64 * pixel_size;
    let exact = if current_resolution > 0.0 {
        (width / join_resolution).min(width * current_resolution)
    } else {
        width / join_resolution
    };
    // The current resolution is a whole shell: rounding errors must not push it to the next.
    ((exact - 1e-6).ceil().max(0.0) as usize).min(r_max)
}

/// Replace A and W of both halves by their means for |v|² ≤ round(p·`shell`)².
pub fn join_low_resolution(
    half1: &mut BackProjection,
    half2: &mut BackProjection,
    shell: usize,
) -> Result<(), MaximizationError> {
    same_shape(
        (half1.shape.side, half1.shape.r_max),
        (half2.shape.side, half2.shape.r_max),
    )?;
    let radial = Radial::new(half1);
    let limit2 = round(half1.shape.padding * shell as f64).pow(2);
    let plane = radial.plane();
    half1
        .data
        .par_chunks_mut(plane)
        .zip(half2.data.par_chunks_mut(plane))
        .zip(half1.weight.par_chunks_mut(plane))
        .zip(half2.weight.par_chunks_mut(plane))
        .enumerate()
        .for_each(|(z, (((a1, a2), w1), w2))| {
            for (r2, i) in radial.voxels(z) {
                if r2 <= limit2 {
                    let a = (a1[i] + a2[i]) / 2.0;
                    (a1[i], a2[i]) = (a, a);
                    let w = (w1[i] + w2[i]) / 2.0;
                    (w1[i], w2[i]) = (w, w);
                }
            }
        });
    Ok(())
}

/// Down-sample symmetrised sums: Σ A / Σ W over the padded voxels that round to one unpadded voxel.
pub fn half_average(sums: &BackProjection) -> HalfAverage {
    let reach = (sums.shape.r_max + 1) as i64;
    let (side, width) = (2 * sums.shape.r_max + 3, sums.shape.r_max + 2);
    let (half, padded_width) = (sums.shape.half() as i64, sums.shape.half() + 1);
    let coarse = |padded: i64| round(padded as f64 / sums.shape.padding);
    let planes: Vec<Vec<Complex64>> = (-reach..=reach)
        .into_par_iter()
        .map(|z_out| {
            let mut data = vec![Complex64::default(); side * width];
            let mut weight = vec![0.0; side * width];
            for z in (-half..=half).filter(|&z| coarse(z) == z_out) {
                for y in -half..=half {
                    let y_out = coarse(y);
                    if y_out.abs() > reach {
                        continue;
                    }
                    let from = ((z + half) as usize * sums.shape.side + (y + half) as usize)
                        * padded_width;
                    let to = (y_out + reach) as usize * width;
                    for x in 0..padded_width {
                        let x_out = coarse(x as i64) as usize;
                        if x_out < width {
                            data[to + x_out] += sums.data[from + x];
                            weight[to + x_out] += sums.weight[from + x];
                        }
                    }
                }
            }
            for (a, w) in data.iter_mut().zip(weight) {
                *a = if w > 0.0 {
                    *a / w
                } else {
                    Complex64::default()
                };
            }
            data
        })
        .collect();
    HalfAverage {
        data: planes.concat(),
        r_max: sums.shape.r_max,
    }
}

/// FSC per shell 0…N/2 between two averages; 1 in shell 0, 0 beyond R.
pub fn fsc(
    half1: &HalfAverage,
    half2: &HalfAverage,
    box_size: usize,
) -> Result<Vec<f64>, MaximizationError> {
    same_shape(
        (half1.data.len(), half1.r_max),
        (half2.data.len(), half2.r_max),
    )?;
    let r_max = half1.r_max as i64;
    let (reach, side, width) = (r_max + 1, 2 * half1.r_max + 3, half1.r_max + 2);
    let mut sums = vec![[0.0; 3]; half1.r_max + 1];
    for (i, (a, b)) in half1.data.iter().zip(&half2.data).enumerate() {
        let x = (i % width) as i64;
        let y = (i / width % side) as i64 - reach;
        let z = (i / width / side) as i64 - reach;
        let r2 = x * x + y * y + z * z;
        if r2 <= r_max * r_max {
            let sum = &mut sums[shell(r2)];
            sum[0] += (a * b.conj()).re;
            sum[1] += a.norm_sqr();
            sum[2] += b.norm_sqr();
        }
    }
    Ok(curve(sums, box_size))
}

/// FSC per shell 0…N/2 between two averages under a mask of N³ voxels (`--fsc_mask`, spec 06 §9.2); 1 in shell 0, 0 beyond R. Nothing
/// is corrected for what the mask itself correlates.
pub fn masked_fsc(
    half1: &HalfAverage,
    half2: &HalfAverage,
    mask: &Array3<f64>,
) -> Result<Vec<f64>, MaximizationError> {
    same_shape(
        (half1.data.len(), half1.r_max),
        (half2.data.len(), half2.r_max),
    )?;
    let n = mask.dim().0;
    let [a, b] = [half1, half2].map(|half| map_of(half, n) * mask);
    let mut curve = map_fsc(&a, &b)?;
    for (shell, value) in curve.iter_mut().enumerate() {
        if shell > half1.r_max || value.is_nan() {
            *value = 0.0;
        }
    }
    curve[0] = 1.0;
    Ok(curve)
}

/// The map of an average, N³ voxels with the origin at N/2. The three axis points of shell N/2, which have no mates on the grid, are
/// left out.
fn map_of(average: &HalfAverage, n: usize) -> Array3<f64> {
    let reach = (average.r_max + 1) as i64;
    let (side, width) = (2 * average.r_max + 3, average.r_max + 2);
    let limit = average.r_max.min(n / 2 - 1) as i64;
    let mut transform = Array3::zeros((n, n, n / 2 + 1));
    for z in -limit..=limit {
        for y in -limit..=limit {
            for x in 0..=limit {
                if x * x + y * y + z * z > limit * limit {
                    continue;
                }
                let row = (z + reach) as usize * side + (y + reach) as usize;
                let value = average.data[row * width + x as usize];
                // Moves the origin from the first voxel to the centre.
                let sign = if (x + y + z) % 2 == 0 { 1.0 } else { -1.0 };
                transform[[stored(z, n), stored(y, n), x as usize]] = value * sign;
            }
        }
    }
    inverse3(transform, n)
}

/// FSC per shell 0…N/2 from Σ Re(a·b*), Σ|a|², Σ|b|² of each shell.
pub(super) fn curve(sums: Vec<[f64; 3]>, box_size: usize) -> Vec<f64> {
    let mut curve = vec![0.0; box_size / 2 + 1];
    for (value, [cross, p1, p2]) in curve.iter_mut().zip(sums) {
        let norm = (p1 * p2).sqrt();
        if norm > 0.0 {
            *value = cross / norm;
        }
    }
    curve[0] = 1.0;
    curve
}

fn same_shape(a: (usize, usize), b: (usize, usize)) -> Result<(), MaximizationError> {
    if a == b {
        Ok(())
    } else {
        Err(Message::internal(format!(
            "the sums of the two half-sets have different sizes ({} and {} shells), so the halves cannot be compared. \
             Both must have been made with one current size.",
            a.1, b.1
        )).into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(seed: usize) -> BackProjection {
        let mut sums = BackProjection::new(16, 2.0, 12);
        for (i, (a, w)) in sums.data.iter_mut().zip(&mut sums.weight).enumerate() {
            let i = i + seed;
            *a = Complex64::new(
                (i * 7919 % 101) as f64 - 50.0,
                (i * 104_729 % 97) as f64 - 48.0,
            );
            *w = (i * 31 % 13) as f64 + 0.5;
        }
        sums
    }

    #[test]
    fn a_half_agrees_with_itself_and_disagrees_with_its_negative() {
        let average = half_average(&noise(0));
        let curve = fsc(&average, &average, 16).unwrap();
        assert!(curve[..=6].iter().all(|v| (v - 1.0).abs() < 1e-12));
        assert_eq!(curve[7..], [0.0, 0.0]);
        let mut negative = noise(0);
        negative.data.iter_mut().for_each(|a| *a = -*a * 3.0);
        negative.weight.iter_mut().for_each(|w| *w *= 2.0);
        let curve = fsc(&average, &half_average(&negative), 16).unwrap();
        assert!(curve[1..=6].iter().all(|v| (v + 1.0).abs() < 1e-12));
    }

    /// A mask of ones changes nothing but the few points on the border; halves that differ outside of a mask agree under it.
    #[test]
    fn a_mask_of_the_fsc_leaves_out_what_lies_beyond() {
        let half = |seed: f64| {
            // Averages of real maps: a common blob at the centre, another at one side that differs.
            let map = Array3::from_shape_fn((16, 16, 16), |(z, y, x)| {
                let at = |c: [f64; 3]| -> f64 {
                    let d = [z as f64 - c[0], y as f64 - c[1], x as f64 - c[2]];
                    (-d.iter().map(|d| d * d).sum::<f64>() / 2.0).exp()
                };
                at([8.0, 8.0, 5.0]) + seed * at([8.0, 7.0, 13.0])
            });
            let transform = crate::fourier::fft::forward3(&map);
            let r_max = 6i64;
            let reach = r_max + 1;
            let mut data = Vec::new();
            for z in -reach..=reach {
                for y in -reach..=reach {
                    for x in 0..=reach {
                        let sign = if (x + y + z) % 2 == 0 { 1.0 } else { -1.0 };
                        data.push(transform[[stored(z, 16), stored(y, 16), x as usize]] * sign);
                    }
                }
            }
            HalfAverage { data, r_max: 6 }
        };
        let (a, b) = (half(1.0), half(-1.0));
        let ones = Array3::ones((16, 16, 16));
        let plain = fsc(&a, &b, 16).unwrap();
        let masked = masked_fsc(&a, &b, &ones).unwrap();
        assert!(
            plain.iter().zip(&masked).all(|(a, b)| (a - b).abs() < 1e-9),
            "{plain:?} {masked:?}"
        );
        assert!(plain[1..=6].iter().all(|v| *v < 0.7), "{plain:?}");
        let mask = Array3::from_shape_fn((16, 16, 16), |(_, _, x)| f64::from(u8::from(x < 9)));
        let masked = masked_fsc(&a, &b, &mask).unwrap();
        assert!(masked[..=4].iter().all(|v| *v > 0.98), "{masked:?}");
        assert_eq!(masked[7..], [0.0, 0.0]);
    }

    /// A/W constant: its average is that constant wherever there is weight.
    #[test]
    fn averaging_weights_the_padded_voxels() {
        let mut sums = noise(0);
        for (a, w) in sums.data.iter_mut().zip(&sums.weight) {
            *a = Complex64::new(2.0, -1.0) * w;
        }
        let average = half_average(&sums);
        assert_eq!(average.data.len(), 15 * 15 * 8);
        for a in average.data {
            assert!((a - Complex64::new(2.0, -1.0)).norm() < 1e-12);
        }
    }

    #[test]
    fn joining_makes_halves_equal_inside_and_leaves_the_outside() {
        let (mut a, mut b) = (noise(0), noise(17));
        let before = a.clone();
        join_low_resolution(&mut a, &mut b, 3).unwrap();
        let curve = fsc(&half_average(&a), &half_average(&b), 16).unwrap();
        assert!(curve[..3].iter().all(|v| (v - 1.0).abs() < 1e-12));
        assert!(curve[5] < 0.9);
        assert_eq!(a.data[0], before.data[0]);
        let other = BackProjection::new(16, 2.0, 10);
        assert!(join_low_resolution(&mut a, &mut other.clone(), 3).is_err());
    }

    #[test]
    fn the_join_stops_at_the_worse_resolution_and_keeps_whole_shells() {
        // 64 pixels of 4 Å: 40 Å is shell 6.4, so 7.
        assert_eq!(low_resolution_shell(40.0, 0.0, 64, 4.0, 30), 7);
        assert_eq!(low_resolution_shell(40.0, 20.0 / 256.0, 64, 4.0, 30), 7);
        for shell in 1..=6 {
            let current = shell as f64 / 256.0;
            assert_eq!(low_resolution_shell(40.0, current, 64, 4.0, 30), shell);
        }
        assert_eq!(low_resolution_shell(40.0, 0.0, 64, 4.0, 5), 5);
    }
}
