//! The `#[kernel]` attribute.

use proc_macro::{TokenStream, TokenTree};

/// Turns `pub unsafe fn name(arguments)` into an entry point of the PTX module that the host finds under `name`.
///
/// Arguments are pointers and scalars only: a `#[repr(C)]` struct goes by pointer. On the host it stays an ordinary
/// function, for the emulator.
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
    // The ABI exists only for the device; on the host the emulator calls the kernel as an ordinary function.
    let mut entry = parse(
        "#[cfg(target_arch = \"nvptx64\")] #[unsafe(no_mangle)] #[allow(clippy::too_many_arguments)]",
    );
    entry.extend(tokens[..at].iter().cloned());
    entry.extend(parse("extern \"ptx-kernel\""));
    entry.extend(tokens[at..].iter().cloned());
    entry.extend(parse(
        "#[cfg(not(target_arch = \"nvptx64\"))] #[allow(clippy::too_many_arguments, clippy::missing_safety_doc)]",
    ));
    entry.extend(tokens);
    entry
}

fn parse(text: &str) -> TokenStream {
    text.parse().expect("the text is valid Rust")
}

fn error(message: &str) -> TokenStream {
    parse(&format!("compile_error!({message:?});"))
}
