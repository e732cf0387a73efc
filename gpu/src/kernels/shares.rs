//! store: sums over shells of what the weighted sums left in each image's pixels.

use cuda_std::prelude::*;

/// Sums over the pixels of each shell: `out[row · shells + s]` = (Σ XA, Σ AA, Σ |F|², Σ v|F|²) for
/// row = image · slots + slot, |F|² of the masked image or, with v from `power_weight`, of the compared one.
///
/// Grid: x = rows; a warp a shell. Shell s is the pixels `shell_begin[s]`…`shell_begin[s + 1]`.
#[kernel(block = 256, grid = [rows, 1, 1], emulate = OneWarp)]
pub unsafe fn reduce_shares(
    #[launch] rows: u32,
    #[len(rows * pixel_count)] shares: *const [f32; 2],
    #[unchecked] masked: *const [f32; 2],
    #[unchecked] compared: *const [f32; 2],
    #[len(pixel_count)] power_weight: *const f32,
    image_stride: u32,
    pixel_count: u32,
    slots: u32,
    #[len(shells + 1)] shell_begin: *const u32,
    shells: u32,
    #[len(rows * shells)] out: *mut [f32; 4],
) {
    // SAFETY: shells are ranges of the pixel list.
    unsafe {
        let row = thread::block_idx_x() as usize;
        let image = row / slots as usize;
        let mut s = thread::thread_idx_x() / warp::WARP_SIZE;
        while s < shells {
            let mut sums = [0.0f32; 4];
            let mut p = *shell_begin.add(s as usize) + warp::lane_id();
            while p < *shell_begin.add(s as usize + 1) {
                let [xa, aa] = *shares.add(row * pixel_count as usize + p as usize);
                let f = *masked.add(image * image_stride as usize + p as usize);
                sums[0] += xa;
                sums[1] += aa;
                let c = *compared.add(image * image_stride as usize + p as usize);
                sums[2] += f[0] * f[0] + f[1] * f[1];
                sums[3] += memory::load(power_weight, p as usize) * (c[0] * c[0] + c[1] * c[1]);
                p += warp::WARP_SIZE;
            }
            let sums = sums.map(warp::sum);
            if warp::lane_id() == 0 {
                *out.add(row * shells as usize + s as usize) = sums;
            }
            s += thread::block_dim_x() / warp::WARP_SIZE;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::test_data;
    use cuda_std::launch::{View, emulate};

    #[test]
    fn shells_are_summed_over_their_pixels() {
        let (images, count) = (2usize, 100usize);
        let mut shares = test_data::complex(images * count, 1);
        let mut masked = test_data::complex(images * count, 2);
        let mut weight: Vec<f32> = (0..count).map(|p| (p % 3) as f32).collect();
        let mut begin = vec![0u32, 1, 40, 40, 100];
        let mut out = vec![[f32::NAN; 4]; images * 4];
        let mut compared = test_data::complex(images * count, 7);
        let (s, m) = (View::of(&mut shares), View::of(&mut masked));
        let c = View::of(&mut compared);
        let (b, o) = (View::of(&mut begin), View::of(&mut out));
        let w = View::of(&mut weight);
        // SAFETY: array sizes as the kernel demands.
        unsafe {
            emulate(&ReduceShares {
                rows: 2,
                shares: s,
                masked: m,
                compared: c,
                power_weight: w,
                image_stride: 100,
                pixel_count: 100,
                slots: 1,
                shell_begin: b,
                shells: 4,
                out: o,
            })
        };
        for (i, sums) in out.iter().enumerate() {
            let (image, shell) = (i / 4, i % 4);
            let range = begin[shell] as usize..begin[shell + 1] as usize;
            let sum = |f: &dyn Fn(usize) -> f64| range.clone().map(|p| f(image * count + p)).sum();
            let power = |of: [f32; 2]| -> f64 { of.iter().map(|v| f64::from(*v).powi(2)).sum() };
            let exact: [f64; 4] = [
                sum(&|p| f64::from(shares[p][0])),
                sum(&|p| f64::from(shares[p][1])),
                sum(&|p| power(masked[p])),
                sum(&|p| (p % count % 3) as f64 * power(compared[p])),
            ];
            for (a, b) in sums.iter().zip(exact) {
                assert!((f64::from(*a) - b).abs() < 1e-5);
            }
        }
    }
}
