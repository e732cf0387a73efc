// Reductions over a warp, from the shuffles of the module that includes this file.

/// Sum over the warp, in every lane, in an order that never changes.
#[inline(always)]
pub fn sum(mut value: f32) -> f32 {
    let mut mask = WARP_SIZE / 2;
    while mask > 0 {
        value += shuffle_xor(value, mask);
        mask /= 2;
    }
    value
}

/// Sum over the warp, in every lane.
#[inline(always)]
pub fn sum_u32(mut value: u32) -> u32 {
    let mut mask = WARP_SIZE / 2;
    while mask > 0 {
        value += shuffle_xor_u32(value, mask);
        mask /= 2;
    }
    value
}

/// Smallest value of the warp, in every lane.
#[inline(always)]
pub fn min(mut value: f32) -> f32 {
    let mut mask = WARP_SIZE / 2;
    while mask > 0 {
        value = value.min(shuffle_xor(value, mask));
        mask /= 2;
    }
    value
}

/// Largest value of the warp, in every lane.
#[inline(always)]
pub fn max(mut value: f32) -> f32 {
    let mut mask = WARP_SIZE / 2;
    while mask > 0 {
        value = value.max(shuffle_xor(value, mask));
        mask /= 2;
    }
    value
}

/// Sum over the warp in double precision, in every lane, in an order that never changes.
#[inline(always)]
pub fn sum_f64(mut value: f64) -> f64 {
    let mut mask = WARP_SIZE / 2;
    while mask > 0 {
        let bits = value.to_bits();
        let low = shuffle_xor_u32(bits as u32, mask);
        let high = shuffle_xor_u32((bits >> 32) as u32, mask);
        value += f64::from_bits(u64::from(high) << 32 | u64::from(low));
        mask /= 2;
    }
    value
}
