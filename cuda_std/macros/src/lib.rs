//! The `#[kernel]` attribute.

use proc_macro::{TokenStream, TokenTree};

/// Turns `pub unsafe fn name(arguments)` into an entry point of the PTX module that the host finds under `name`.
///
/// Arguments are pointers and scalars only: a `#[repr(C)]` struct goes by pointer. The function must be compiled for
/// the device alone (its ABI does not exist on the host).
#[proc_macro_attribute]
pub fn kernel(arguments: TokenStream, item: TokenStream) -> TokenStream {
    if !arguments.is_empty() {
        return error("#[kernel] takes no arguments");
    }
    let tokens: Vec<TokenTree> = item.into_iter().collect();
    let position = |name: &str| {
        tokens
            .iter()
            .position(|t| matches!(t, TokenTree::Ident(i) if i.to_string() == name))
    };
    let Some(at) = position("fn") else {
        return error("#[kernel] goes on a function");
    };
    if position("unsafe").is_none_or(|u| u > at) {
        return error("a kernel dereferences raw pointers: declare it `pub unsafe fn`");
    }
    let mut entry = parse("#[unsafe(no_mangle)] #[allow(clippy::too_many_arguments)]");
    entry.extend(tokens[..at].iter().cloned());
    entry.extend(parse("extern \"ptx-kernel\""));
    entry.extend(tokens[at..].iter().cloned());
    entry
}

fn parse(text: &str) -> TokenStream {
    text.parse().expect("the text is valid Rust")
}

fn error(message: &str) -> TokenStream {
    parse(&format!("compile_error!({message:?});"))
}
