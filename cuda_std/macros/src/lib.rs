//! The `#[kernel]` attribute.

mod expand;
mod group;
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
/// Arguments are pointers, scalars and groups. One marked `#[launch]` shapes the launch and is not passed to the device.
/// Every pointer states its length in elements: `#[len(…)]`, `#[optional(…)]` for one that may be null, or `#[unchecked]` where
/// only the device knows. Lengths are expressions in `u64` of the arguments that are unsigned.
///
/// `#[group] images: Images` stands for the fields of a struct that was declared by `#[group]`. The device gets them one by
/// one, so that the compiler knows of every pointer that it points to global memory, and the body finds them in `images`.
#[proc_macro_attribute]
pub fn kernel(attribute: TokenStream, item: TokenStream) -> TokenStream {
    let expanded =
        syn::parse(item).and_then(|function| kernel_or_question(attribute.into(), function));
    expanded
        .unwrap_or_else(syn::Error::into_compile_error)
        .into()
}

/// Declares arguments of kernels that belong together: a struct of pointers and scalars, each pointer with its length as in
/// a [`macro@kernel`], in terms of the other fields.
///
/// ```text
/// #[group]
/// pub struct Phases {
///     #[launch]
///     pub shifts: u32,
///     #[len(shifts * stride)]
///     pub rows: *const [f32; 2],
///     pub stride: u32,
/// }
/// ```
///
/// Kernels find the struct as it stands, less the fields marked `#[launch]`; the host fills `PhasesViews`, whose arrays know
/// their lengths. Fields name their types by whole paths, or as every kernel that takes the group can resolve them.
#[proc_macro_attribute]
pub fn group(_attribute: TokenStream, item: TokenStream) -> TokenStream {
    let declared = syn::parse(item).and_then(|item| group::declare(&item));
    declared
        .unwrap_or_else(syn::Error::into_compile_error)
        .into()
}

/// Goes on with a kernel when the macro of a group has added its fields.
#[doc(hidden)]
#[proc_macro]
pub fn with_fields(answer: TokenStream) -> TokenStream {
    let expanded = syn::parse::<group::Answer>(answer).and_then(|mut answer| {
        answer.fill();
        kernel_or_question(answer.attribute, answer.kernel)
    });
    expanded
        .unwrap_or_else(syn::Error::into_compile_error)
        .into()
}

/// The kernel, or the question for the fields of one of its groups.
fn kernel_or_question(
    attribute: proc_macro2::TokenStream,
    function: syn::ItemFn,
) -> syn::Result<proc_macro2::TokenStream> {
    if let Some(question) = group::ask(&attribute, &function) {
        return Ok(question);
    }
    let shape = syn::parse2(attribute)?;
    Ok(expand::expand(&signature::Signature::read(
        shape, function,
    )?))
}
