//! Tensor-core products of one warp: D = A·B + C.

use super::emulator::exchange;
use super::warp::lane_id;

/// Nearest TF32 (10-bit mantissa) of `value`, ties away from zero.
pub fn to_tf32(value: f32) -> u32 {
    if value.is_finite() {
        (value.to_bits() + 0x1000) & !0x1fff
    } else {
        value.to_bits()
    }
}

/// `mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32`; see the device's version for who holds what.
pub fn m16n8k8_tf32(a: [u32; 4], b: [u32; 2], c: [f32; 4]) -> [f32; 4] {
    let (group, thread) = (lane_id() / 4, lane_id() % 4);
    exchange(&[a[0], a[1], a[2], a[3], b[0], b[1]], |all| {
        let a = |row: u32, k: u32| {
            f32::from_bits(all(row % 8 * 4 + k % 4, (row / 8 + k / 4 * 2) as usize))
        };
        let b = |k: u32, n: u32| f32::from_bits(all(n * 4 + k % 4, (4 + k / 4) as usize));
        let mut d = c;
        for (i, d) in d.iter_mut().enumerate() {
            let row = group + if i >= 2 { 8 } else { 0 };
            let column = 2 * thread + i as u32 % 2;
            *d += (0..8).map(|k| a(row, k) * b(k, column)).sum::<f32>();
        }
        d
    })
}

/// True when this variant of the module has TF32 tensor cores.
pub const fn available() -> bool {
    true
}
