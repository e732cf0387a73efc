//! The `#[kernel]` attribute.

mod expand;
mod signature;

use proc_macro::TokenStream;

/// Turns `pub unsafe fn name(arguments)` into an entry point of the PTX module, and derives from its signature all that a
/// launch needs: on the host, a struct `Name` with a field per argument, which implements `Launch`.
///
/// ```text
/// #[kernel(block = 128, grid = [images, stride.div_ceil(BLOCK), 1], shared = 0, emulate = Apart)]
/// pub unsafe fn ctf_values(
///     #[launch] images: u32,
///     #[len(images)] coefficients: *const CtfCoefficients<f64>,
///     #[optional(pixel_count)] aberration: *const f64,
///     …
/// ```
///
/// * `block`: threads per block, `BLOCK` in the expressions that follow;
/// * `threads`: those of this launch where that may be fewer, an expression of the arguments;
/// * `grid`: blocks along x, y and z, an expression of the arguments;
/// * `shared`: 4-byte words of dynamic shared memory (0 unless given), an expression of the arguments;
/// * `registers`: registers per thread at most (as many as the assembler likes unless given), a constant;
/// * `emulate`: `Apart`, `OneWarp` or `Together` (unless given), see `cuda_std::launch::Threads`.
///
/// Arguments are pointers and scalars. One marked `#[launch]` shapes the launch and is not passed to the device. Every
/// pointer states its length in elements: `#[len(…)]`, `#[optional(…)]` for one that may be null, or `#[unchecked]` where
/// only the device knows. Lengths are expressions in `u64` of the arguments that are unsigned.
#[proc_macro_attribute]
pub fn kernel(attribute: TokenStream, item: TokenStream) -> TokenStream {
    let parsed = syn::parse(attribute).and_then(|shape| {
        let function = syn::parse(item)?;
        signature::Signature::read(shape, function)
    });
    parsed
        .map_or_else(syn::Error::into_compile_error, |s| expand::expand(&s))
        .into()
}
