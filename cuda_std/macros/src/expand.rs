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
    let arguments = passed(&signature.arguments).map(|a| match &a.kind {
        // One by one: from a struct the compiler would not know that pointers point to global memory.
        Kind::Group(fields) => {
            let fields = passed(fields).map(|field| {
                let (name, ty) = (flat_name(a, field), &field.ty);
                quote!(#name: #ty)
            });
            quote!(#(#fields),*)
        }
        _ => {
            let (name, ty) = (&a.name, &a.ty);
            quote!(#name: #ty)
        }
    });
    let groups = signature.arguments.iter().map(|a| {
        let Kind::Group(fields) = &a.kind else {
            return quote!();
        };
        let (name, ty) = (&a.name, &a.ty);
        let fields = passed(fields).map(|field| {
            let (field, flat) = (&field.name, flat_name(a, field));
            quote!(#field: #flat)
        });
        quote!(let #name = #ty { #(#fields),* };)
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
            #(#groups)*
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
    let sources = passed(&signature.arguments).map(|a| {
        let name = &a.name;
        match &a.kind {
            Kind::Group(fields) => {
                let fields = passed(fields).map(|field| {
                    let inner = &field.name;
                    source(&field.kind, &quote!(self.#name.#inner))
                });
                quote!(#(#fields),*)
            }
            kind => source(kind, &quote!(self.#name)),
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

/// Address of what is copied to the device.
fn source(kind: &Kind, place: &TokenStream) -> TokenStream {
    match kind {
        Kind::Scalar => quote!(::core::ptr::from_ref(&#place).cast_mut().cast()),
        _ => quote!(::core::ptr::from_ref(&#place.address()).cast_mut().cast()),
    }
}

/// The comparison of every array with the length that the kernel states.
fn checks(signature: &Signature) -> TokenStream {
    let kernel = signature.function.sig.ident.to_string();
    let own = checks_of(&kernel, &signature.arguments, &quote!(self), "");
    let groups = signature.arguments.iter().map(|a| {
        let Kind::Group(fields) = &a.kind else {
            return quote!();
        };
        let name = &a.name;
        let checks = checks_of(&kernel, fields, &quote!(self.#name), &format!("{name}."));
        quote!({ #checks })
    });
    quote! {
        #[allow(dead_code, unused_variables)]
        fn check(&self) -> ::core::result::Result<(), ::cuda_std::launch::TooShort> {
            #own
            #(#groups)*
            Ok(())
        }
    }
}

/// The comparison of the arrays among `arguments`, which stand in `place`; messages name them with `prefix`.
fn checks_of(
    kernel: &str,
    arguments: &[Argument],
    place: &TokenStream,
    prefix: &str,
) -> TokenStream {
    let numbers = arguments.iter().map(|a| {
        let name = &a.name;
        match &a.kind {
            _ if is_number(a) => {
                let variable = same_scope(name);
                quote!(let #variable = u64::from(#place.#name);)
            }
            Kind::Group(fields) => {
                let variable = same_scope(name);
                let numbers = fields.iter().filter(|field| is_number(field));
                let numbers: Vec<_> = numbers.map(|field| &field.name).collect();
                quote! {
                    let #variable = {
                        struct Numbers { #(#numbers: u64),* }
                        Numbers { #(#numbers: u64::from(#place.#name.#numbers)),* }
                    };
                }
            }
            _ => quote!(),
        }
    });
    let arrays = arguments.iter().map(|a| {
        let (name, text) = (&a.name, format!("{prefix}{}", a.name));
        match &a.kind {
            Kind::Array(length) => {
                let length = same_scope(length);
                quote!(::cuda_std::launch::TooShort::check(#kernel, #text, #place.#name, #length)?;)
            }
            Kind::Optional(length) => {
                let length = same_scope(length);
                quote! {
                    if !#place.#name.is_null() {
                        ::cuda_std::launch::TooShort::check(#kernel, #text, #place.#name, #length)?;
                    }
                }
            }
            Kind::Launch | Kind::Scalar | Kind::Unchecked | Kind::Group(_) => quote!(),
        }
    });
    quote!(#(#numbers)* #(#arrays)*)
}

/// Whether lengths can be stated in terms of this argument.
fn is_number(argument: &Argument) -> bool {
    let is_unsigned =
        |name: &str| matches!(&argument.ty, Type::Path(path) if path.path.is_ident(name));
    matches!(argument.kind, Kind::Scalar | Kind::Launch)
        && (is_unsigned("u32") || is_unsigned("u64"))
}

/// The body of the kernel, for the emulator.
fn run(signature: &Signature) -> TokenStream {
    let body = &signature.function.block;
    let value = |kind: &Kind, place: TokenStream| match kind {
        Kind::Scalar => place,
        _ => quote!(#place.as_ptr()),
    };
    let bindings = passed(&signature.arguments).map(|a| {
        let (name, ty) = (&a.name, &a.ty);
        let value = match &a.kind {
            Kind::Group(fields) => {
                let fields = passed(fields).map(|field| {
                    let inner = &field.name;
                    let value = value(&field.kind, quote!(self.#name.#inner));
                    quote!(#inner: #value)
                });
                quote!(#ty { #(#fields),* })
            }
            kind => value(kind, quote!(self.#name)),
        };
        quote!(let #name: #ty = #value;)
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
    let fields = received(&signature.arguments, &mut 0);
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

/// The fields of `arguments` as the device receives them, from pointer number `next` of `arguments` on.
pub fn received(arguments: &[Argument], next: &mut usize) -> Vec<TokenStream> {
    let field = |a: &Argument| {
        let (name, element) = (&a.name, &a.element);
        let at = *next;
        match &a.kind {
            Kind::Launch => return quote!(#name: Default::default()),
            Kind::Group(fields) => {
                *next += passed(fields).count();
                return quote! {
                    #name: <#element as ::cuda_std::launch::Group>::received(arguments.add(#at))
                };
            }
            _ => *next += 1,
        }
        match a.kind {
            Kind::Scalar => quote!(#name: **arguments.add(#at).cast::<*const #element>()),
            // The length stays with the host.
            _ => quote! {
                #name: ::cuda_std::launch::View::new(**arguments.add(#at).cast::<*const u64>(), 0)
            },
        }
    };
    arguments.iter().map(field).collect()
}

/// The arguments that the device gets.
fn passed(arguments: &[Argument]) -> impl Iterator<Item = &Argument> {
    arguments.iter().filter(|a| a.is_passed())
}

/// Name of a field of a group among the arguments of the entry point.
fn flat_name(group: &Argument, field: &Argument) -> Ident {
    format_ident!("{}_{}", group.name, field.name, span = Span::call_site())
}

/// Type of an argument in the struct of the host.
pub fn field_type(argument: &Argument) -> TokenStream {
    let element = &argument.element;
    match argument.kind {
        Kind::Launch | Kind::Scalar => quote!(#element),
        Kind::Group(_) => quote!(<#element as ::cuda_std::launch::Group>::Views),
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
