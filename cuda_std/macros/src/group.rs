//! Arguments of kernels that belong together: their struct on the device, their struct on the host, and how a kernel learns of
//! their fields.
//!
//! A procedural macro sees only the item that it stands at, so `#[group] struct Compared` leaves a macro `Compared!` behind,
//! which adds the fields to whatever it is called with. `#[kernel]` calls it for every argument marked `#[group]`, and is
//! called again with `#[group(fields)]` in its place ([`with_fields`]).

use proc_macro2::TokenStream;
use quote::{format_ident, quote};
use syn::parse::{Parse, ParseStream};
use syn::spanned::Spanned;
use syn::{
    Attribute, Error, FnArg, Ident, ItemFn, ItemStruct, Pat, PatType, Path, Result, Type,
    parse_quote,
};

use crate::expand::{field_type, received};
use crate::signature::Argument;

/// Expands `#[group]`.
pub fn declare(group: &ItemStruct) -> Result<TokenStream> {
    let (name, visibility) = (&group.ident, &group.vis);
    let documentation = group.attrs.iter();
    let mut of_device = Vec::new();
    let mut of_host = Vec::new();
    let mut repeated = Vec::new();
    let mut arguments = Vec::new();
    for field in &group.fields {
        let Some(ident) = &field.ident else {
            return Err(Error::new(field.span(), "a field has a name"));
        };
        let argument = Argument::new(ident, &field.ty, &field.attrs)?;
        let (text, statement): (Vec<&Attribute>, Vec<&Attribute>) =
            field.attrs.iter().partition(|a| a.path().is_ident("doc"));
        let (visibility, ty, view) = (&field.vis, &field.ty, field_type(&argument));
        if argument.is_passed() {
            of_device.push(quote!(#(#text)* #visibility #ident: #ty));
        }
        of_host.push(quote!(#(#text)* #visibility #ident: #view));
        repeated.push(quote!(#(#statement)* #ident: #ty));
        arguments.push(argument);
    }
    let views = format_ident!("{name}Views");
    let received = received(&arguments, &mut 0);
    let about_views = format!("[`{name}`] as the host launches a kernel with it.");
    let fields_of = format_ident!("__fields_of_{name}");
    Ok(quote! {
        #(#documentation)*
        #[repr(C)]
        #[derive(Clone, Copy)]
        #visibility struct #name { #(#of_device),* }

        #[doc = #about_views]
        #[cfg(not(target_arch = "nvptx64"))]
        #[derive(Debug, Clone, Copy)]
        #visibility struct #views { #(#of_host),* }

        #[cfg(not(target_arch = "nvptx64"))]
        impl ::cuda_std::launch::Group for #name {
            type Views = #views;

            unsafe fn received(arguments: *const *const ::core::ffi::c_void) -> #views {
                // SAFETY: passed on to the caller.
                unsafe { #views { #(#received),* } }
            }
        }

        macro_rules! #fields_of {
            ($($kernel:tt)*) => { ::cuda_std::with_fields! { { #(#repeated),* } $($kernel)* } };
        }
        #[allow(unused_imports)]
        pub(crate) use #fields_of as #name;
    })
}

/// Returns the call of the macro of the first group whose fields `kernel` does not have yet.
pub fn ask(attribute: &TokenStream, kernel: &ItemFn) -> Option<TokenStream> {
    let argument = kernel.sig.inputs.iter().find_map(|input| {
        let argument = typed(input)?;
        marker(&argument.attrs)?;
        Some(argument)
    })?;
    let path = path_of(&argument.ty)?;
    let name = &argument.pat;
    Some(quote!(#path! { #name [#attribute] #kernel }))
}

/// The words that the macro of a group passes on: its fields, the argument, the arguments of `#[kernel]`, the kernel.
pub struct Answer {
    fields: TokenStream,
    name: Ident,
    pub attribute: TokenStream,
    pub kernel: ItemFn,
}

impl Parse for Answer {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let (fields, attribute);
        syn::braced!(fields in input);
        let name = input.parse()?;
        syn::bracketed!(attribute in input);
        Ok(Self {
            fields: fields.parse()?,
            name,
            attribute: attribute.parse()?,
            kernel: input.parse()?,
        })
    }
}

impl Answer {
    /// Writes the fields to the argument.
    pub fn fill(&mut self) {
        let fields = &self.fields;
        for input in &mut self.kernel.sig.inputs {
            if let FnArg::Typed(argument) = input
                && matches!(&*argument.pat, Pat::Ident(pattern) if pattern.ident == self.name)
            {
                argument.attrs = vec![parse_quote!(#[group(#fields)])];
            }
        }
    }
}

fn typed(input: &FnArg) -> Option<&PatType> {
    match input {
        FnArg::Typed(argument) => Some(argument),
        FnArg::Receiver(_) => None,
    }
}

/// `#[group]` without fields.
fn marker(attributes: &[Attribute]) -> Option<&Attribute> {
    attributes
        .iter()
        .find(|a| matches!(&a.meta, syn::Meta::Path(path) if path.is_ident("group")))
}

fn path_of(ty: &Type) -> Option<&Path> {
    match ty {
        Type::Path(path) => Some(&path.path),
        Type::Group(group) => path_of(&group.elem),
        _ => None,
    }
}
