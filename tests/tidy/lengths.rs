//! Files and functions of a size that can be read.

use super::sources::sources;
use syn::spanned::Spanned;
use syn::visit::{self, Visit};

const LONGEST_FILE: usize = 500;
const LONGEST_FUNCTION: usize = 100;

#[test]
fn no_file_holds_two_ideas() {
    let long: Vec<String> = sources()
        .iter()
        .map(|source| (source.place(), source.text.lines().count()))
        .filter(|(_, lines)| *lines > LONGEST_FILE)
        .map(|(place, lines)| format!("{place} has {lines} lines"))
        .collect();
    assert!(
        long.is_empty(),
        "longer than {LONGEST_FILE} lines:\n{}",
        long.join("\n")
    );
}

/// The functions of a file that are too long, with their lines.
#[derive(Default)]
struct Functions {
    long: Vec<(String, usize, usize)>,
}

impl Functions {
    fn measure(&mut self, signature: &syn::Signature, block: &syn::Block) {
        let first = signature.span().start().line;
        let lines = block.span().end().line - first + 1;
        if lines > LONGEST_FUNCTION {
            self.long.push((signature.ident.to_string(), first, lines));
        }
    }
}

impl<'a> Visit<'a> for Functions {
    fn visit_item_fn(&mut self, function: &'a syn::ItemFn) {
        self.measure(&function.sig, &function.block);
        visit::visit_item_fn(self, function);
    }

    fn visit_impl_item_fn(&mut self, function: &'a syn::ImplItemFn) {
        self.measure(&function.sig, &function.block);
        visit::visit_impl_item_fn(self, function);
    }
}

#[test]
fn no_function_is_longer_than_a_screen_or_two() {
    let mut long = Vec::new();
    for source in sources() {
        let mut functions = Functions::default();
        functions.visit_file(&source.tree());
        for (name, line, lines) in functions.long {
            long.push(format!(
                "{}:{line}: {name} has {lines} lines",
                source.place()
            ));
        }
    }
    assert!(
        long.is_empty(),
        "longer than {LONGEST_FUNCTION} lines:\n{}",
        long.join("\n")
    );
}

#[test]
fn functions_are_measured_wherever_they_stand() {
    let body = "    let x = 1;\n".repeat(99);
    let text = format!("mod a {{ struct B; impl B {{ fn c() {{\n{body}}} fn d() {{ }} }} }}");
    let mut functions = Functions::default();
    functions.visit_file(&syn::parse_file(&text).unwrap());
    assert_eq!(functions.long, [("c".to_string(), 1, 101)]);
}
