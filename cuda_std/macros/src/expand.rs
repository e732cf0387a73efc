//! Writing what a kernel becomes: the entry point on the device; the struct of its arguments on the host.

use proc_macro2::{Group, Span, TokenStream, TokenTree};
use quote::{ToTokens, format_ident, quote};
use syn::{Ident, Type};

use crate::signature::{Argument, Kind, Signature};

pub fn expand(signature: &Signature) -> TokenStream {
    let entry = entry_point(signature);
    let arguments = struct_of_arguments(signature);
    let launch = launch(signature);
    let listed = listed(signature);
    quote! {
        #entry
        #arguments
        #launch
        #listed
    }
}

/// The function as the device runs it, with the arguments that the driver copies.
fn entry_point(signature: &Signature) -> TokenStream {
    let function = &signature.function;
    let (attributes, visibility, body) = (&function.attrs, &function.vis, &function.block);
    let name = &function.sig.ident;
    let arguments = passed(signature).map(|a| {
        let (name, ty) = (&a.name, &a.ty);
        quote!(#name: #ty)
    });
    let limit = signature
        .shape
        .registers
        .as_ref()
        .map(|registers| quote!(::cuda_std::thread::limit_registers::<{ #registers }>();));
    // SAFETY: `no_mangle` is unsafe where two symbols have one name; the kernels of a module have names of their own, or
    // the linker refuses them.
    quote! {
        #(#attributes)*
        #[cfg(target_arch = "nvptx64")]
        #[unsafe(no_mangle)]
        #visibility unsafe extern "ptx-kernel" fn #name(#(#arguments),*) {
            #limit
            #body
        }
    }
}

fn struct_of_arguments(signature: &Signature) -> TokenStream {
    let function = &signature.function;
    let (attributes, visibility, name) = (&function.attrs, &function.vis, struct_name(signature));
    let fields = signature.arguments.iter().map(|a| {
        let (name, ty) = (&a.name, field_type(a));
        quote!(#visibility #name: #ty)
    });
    quote! {
        #(#attributes)*
        #[cfg(not(target_arch = "nvptx64"))]
        #[allow(missing_docs)]
        #[derive(Debug, Clone, Copy)]
        #visibility struct #name { #(#fields),* }
    }
}

fn launch(signature: &Signature) -> TokenStream {
    let name = struct_name(signature);
    let shape = &signature.shape;
    let (block, grid) = (&shape.block, same_scope(&shape.grid));
    let shared = shape.shared.as_ref().map_or(quote!(0), same_scope);
    let threads = match &shape.threads {
        Some(threads) => {
            let threads = same_scope(threads);
            quote!(::core::cmp::Ord::min(#threads, BLOCK))
        }
        None => quote!(BLOCK),
    };
    let bindings = signature.arguments.iter().map(|a| {
        let (field, variable) = (&a.name, same_scope(&a.name));
        quote!(#field: #variable)
    });
    let checks = checks(signature);
    let sources = passed(signature).map(|a| {
        let name = &a.name;
        match a.kind {
            Kind::Scalar => quote!(::core::ptr::from_ref(&self.#name).cast_mut().cast()),
            _ => quote!(::core::ptr::from_ref(&self.#name.address()).cast_mut().cast()),
        }
    });
    let run = run(signature);
    quote! {
        #[cfg(not(target_arch = "nvptx64"))]
        #[allow(unused_variables)]
        impl ::cuda_std::launch::Launch for #name {
            const KERNEL: ::cuda_std::launch::Kernel = Self::ENTRY;

            fn extent(&self) -> ::cuda_std::launch::Extent {
                const BLOCK: u32 = #block;
                let Self { #(#bindings),* } = *self;
                ::cuda_std::launch::Extent { grid: #grid, block: #threads, shared_words: #shared }
            }

            #checks

            fn with_arguments<R>(
                &self,
                launch: impl FnOnce(&mut [*mut ::core::ffi::c_void]) -> R,
            ) -> R {
                launch(&mut [#(#sources),*])
            }

            #run
        }
    }
}

/// The comparison of every array with the length that the kernel states.
fn checks(signature: &Signature) -> TokenStream {
    let kernel = signature.function.sig.ident.to_string();
    let numbers = signature.arguments.iter().map(|a| {
        let name = &a.name;
        match (&a.kind, &a.ty) {
            (Kind::Scalar | Kind::Launch, Type::Path(path))
                if ["u32", "u64"].iter().any(|u| path.path.is_ident(u)) =>
            {
                let variable = same_scope(name);
                quote!(let #variable = u64::from(self.#name);)
            }
            _ => quote!(),
        }
    });
    let arrays = signature.arguments.iter().map(|a| {
        let (name, text) = (&a.name, a.name.to_string());
        match &a.kind {
            Kind::Array(length) => {
                let length = same_scope(length);
                quote!(::cuda_std::launch::TooShort::check(#kernel, #text, self.#name, #length)?;)
            }
            Kind::Optional(length) => {
                let length = same_scope(length);
                quote! {
                    if !self.#name.is_null() {
                        ::cuda_std::launch::TooShort::check(#kernel, #text, self.#name, #length)?;
                    }
                }
            }
            Kind::Launch | Kind::Scalar | Kind::Unchecked => quote!(),
        }
    });
    quote! {
        fn check(&self) -> ::core::result::Result<(), ::cuda_std::launch::TooShort> {
            #(#numbers)*
            #(#arrays)*
            Ok(())
        }
    }
}

/// The body of the kernel, for the emulator.
fn run(signature: &Signature) -> TokenStream {
    let body = &signature.function.block;
    let bindings = passed(signature).map(|a| {
        let (name, ty) = (&a.name, &a.ty);
        match a.kind {
            Kind::Scalar => quote!(let #name: #ty = self.#name;),
            _ => quote!(let #name: #ty = self.#name.as_ptr();),
        }
    });
    quote! {
        unsafe fn run(&self) {
            #(#bindings)*
            #body
        }
    }
}

/// The entry in the list of kernels.
fn listed(signature: &Signature) -> TokenStream {
    let name = struct_name(signature);
    let kernel = signature.function.sig.ident.to_string();
    let block = &signature.shape.block;
    let threads = match &signature.shape.emulate {
        Some(threads) => quote!(#threads),
        None => quote!(Together),
    };
    let mut index = 0usize;
    let fields = signature.arguments.iter().map(|a| {
        let (name, element) = (&a.name, &a.element);
        if let Kind::Launch = a.kind {
            return quote!(#name: Default::default());
        }
        let at = index;
        index += 1;
        match a.kind {
            Kind::Scalar => quote!(#name: **arguments.add(#at).cast::<*const #element>()),
            // The length stays with the host.
            _ => quote! {
                #name: ::cuda_std::launch::View::new(**arguments.add(#at).cast::<*const u64>(), 0)
            },
        }
    });
    let fields: Vec<_> = fields.collect();
    quote! {
        #[cfg(not(target_arch = "nvptx64"))]
        impl #name {
            const ENTRY: ::cuda_std::launch::Kernel = ::cuda_std::launch::Kernel {
                name: #kernel,
                block: #block,
                threads: ::cuda_std::launch::Threads::#threads,
                run: Self::run_with,
            };

            /// # Safety
            /// There is a pointer to each argument.
            unsafe fn run_with(arguments: *const *const ::core::ffi::c_void) {
                // SAFETY: passed on to the caller.
                unsafe {
                    let this = Self { #(#fields),* };
                    ::cuda_std::launch::Launch::run(&this);
                }
            }
        }

        #[cfg(not(target_arch = "nvptx64"))]
        const _: () = {
            #[::cuda_std::launch::linkme::distributed_slice(::cuda_std::launch::KERNELS)]
            #[linkme(crate = ::cuda_std::launch::linkme)]
            static ENTRY: ::cuda_std::launch::Kernel = #name::ENTRY;
        };
    }
}

/// The arguments that the device gets.
fn passed(signature: &Signature) -> impl Iterator<Item = &Argument> {
    signature
        .arguments
        .iter()
        .filter(|a| !matches!(a.kind, Kind::Launch))
}

fn field_type(argument: &Argument) -> TokenStream {
    let element = &argument.element;
    match argument.kind {
        Kind::Launch | Kind::Scalar => quote!(#element),
        _ => quote!(::cuda_std::launch::View<#element>),
    }
}

/// `GatherTransforms` of `gather_transforms`.
fn struct_name(signature: &Signature) -> Ident {
    let name = &signature.function.sig.ident;
    let camel: String = name
        .to_string()
        .split('_')
        .map(|word| word[..1].to_uppercase() + &word[1..])
        .collect();
    format_ident!("{camel}", span = name.span())
}

/// The tokens with names that see each other: where a declarative macro writes a kernel, some of its arguments may be
/// named inside the macro and others outside.
fn same_scope(tokens: impl ToTokens) -> TokenStream {
    let renamed = |token| match token {
        TokenTree::Ident(mut ident) => {
            ident.set_span(Span::call_site().located_at(ident.span()));
            TokenTree::Ident(ident)
        }
        TokenTree::Group(group) => {
            let inner = same_scope(group.stream());
            TokenTree::Group(Group::new(group.delimiter(), inner))
        }
        other => other,
    };
    tokens
        .into_token_stream()
        .into_iter()
        .map(renamed)
        .collect()
}
