//! Tensor-core products of one warp: D = A·B + C.

use core::arch::asm;

/// Nearest TF32 (10-bit mantissa) of `value`, ties away from zero, as the tensor cores take it.
#[inline(always)]
pub fn to_tf32(value: f32) -> u32 {
    let bits: u32;
    // SAFETY: arithmetic only.
    unsafe {
        #[cfg(not(gpu_arch = "sm_70"))]
        asm!("cvt.rna.tf32.f32 {0}, {1};", out(reg32) bits, in(reg32) value, options(pure, nomem, nostack));
        #[cfg(gpu_arch = "sm_70")]
        asm!("mov.b32 {0}, {1};", out(reg32) bits, in(reg32) value, options(pure, nomem, nostack));
    }
    // The low bits are unspecified by the instruction.
    bits & 0xffff_e000
}

/// `mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32`: A is 16×8 (row-major), B 8×8 (column-major), C and D 16×8.
///
/// Lane l, with g = l/4 and t = l mod 4, holds
/// A: (g, t), (g+8, t), (g, t+4), (g+8, t+4);  B: (k=t, n=g), (k=t+4, n=g);
/// C and D: (g, 2t), (g, 2t+1), (g+8, 2t), (g+8, 2t+1).
/// Exists from sm_80 on: on sm_70 the caller takes its scalar path ([`available`]).
#[inline(always)]
pub fn m16n8k8_tf32(a: [u32; 4], b: [u32; 2], c: [f32; 4]) -> [f32; 4] {
    #[cfg(not(gpu_arch = "sm_70"))]
    {
        let mut d = c;
        // SAFETY: all lanes of the warp take part.
        unsafe {
            asm!("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {{{0}, {1}, {2}, {3}}}, {{{4}, {5}, {6}, {7}}}, {{{8}, {9}}}, {{{0}, {1}, {2}, {3}}};",
                inout(reg32) d[0], inout(reg32) d[1], inout(reg32) d[2], inout(reg32) d[3],
                in(reg32) a[0], in(reg32) a[1], in(reg32) a[2], in(reg32) a[3],
                in(reg32) b[0], in(reg32) b[1], options(nomem, nostack))
        };
        d
    }
    #[cfg(gpu_arch = "sm_70")]
    {
        let _ = (a, b);
        c
    }
}

/// True when this variant of the module has TF32 tensor cores.
#[inline(always)]
pub const fn available() -> bool {
    cfg!(not(gpu_arch = "sm_70"))
}
