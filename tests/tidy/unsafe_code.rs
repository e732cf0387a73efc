//! Unsafe code stands in few places, and each use says why it is sound.

use super::sources::{Source, sources};
use proc_macro2::{TokenStream, TokenTree};
use syn::spanned::Spanned;
use syn::visit::{self, Visit};

/// Where unsafe code may stand (DESIGN.md §1).
const ALLOWED: [&str; 13] = [
    "gpu/",
    "cuda_std/",
    "host/device/",
    "host/expectation/cuda/",
    "host/expectation/cpu/product.rs",
    "host/maximization/cuda/",
    "host/allocator.rs",
    "host/refinement/cli/crash_mark.rs",
    "host/refinement/cli/exit_mark.rs",
    "tests/gpu_kernels/",
    "tests/emulated_cuda/",
    "tests/mpi/",
    "benches/",
];

/// Uses of `unsafe` in a file.
#[derive(Default)]
struct Unsafe {
    /// Lines of the statements, arms and items around the visitor.
    around: Vec<usize>,
    /// Lines of all uses.
    lines: Vec<usize>,
    /// Uses that need a reason: the line, and the line where the innermost statement, arm or item begins.
    to_explain: Vec<(usize, usize)>,
}

impl Unsafe {
    fn of(source: &Source) -> Self {
        let mut found = Self::default();
        found.visit_file(&source.tree());
        found
    }

    fn explain(&mut self, line: usize) {
        let begin = self.around.last().copied().unwrap_or(line);
        self.lines.push(line);
        self.to_explain.push((line, begin));
    }

    /// The tokens given to a macro have no syntax yet; blocks and implementations in them need a reason nearby.
    fn follow_tokens(&mut self, tokens: TokenStream) {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        for (i, token) in tokens.iter().enumerate() {
            match token {
                TokenTree::Group(group) => self.follow_tokens(group.stream()),
                TokenTree::Ident(word) if word == "unsafe" => {
                    let line = word.span().start().line;
                    match tokens.get(i + 1) {
                        Some(TokenTree::Group(_)) => {
                            self.lines.push(line);
                            self.to_explain.push((line, line.saturating_sub(3)));
                        }
                        _ => self.lines.push(line),
                    }
                }
                _ => (),
            }
        }
    }

    fn within(&mut self, line: usize, visit: impl FnOnce(&mut Self)) {
        self.around.push(line);
        visit(self);
        self.around.pop();
    }
}

impl<'a> Visit<'a> for Unsafe {
    fn visit_item(&mut self, item: &'a syn::Item) {
        self.within(item.span().start().line, |v| visit::visit_item(v, item));
    }

    fn visit_stmt(&mut self, statement: &'a syn::Stmt) {
        let line = statement.span().start().line;
        self.within(line, |v| visit::visit_stmt(v, statement));
    }

    fn visit_arm(&mut self, arm: &'a syn::Arm) {
        self.within(arm.span().start().line, |v| visit::visit_arm(v, arm));
    }

    fn visit_expr_unsafe(&mut self, block: &'a syn::ExprUnsafe) {
        self.explain(block.unsafe_token.span.start().line);
        visit::visit_expr_unsafe(self, block);
    }

    fn visit_item_impl(&mut self, item: &'a syn::ItemImpl) {
        if let Some(token) = &item.unsafety {
            self.explain(token.span.start().line);
        }
        visit::visit_item_impl(self, item);
    }

    fn visit_signature(&mut self, signature: &'a syn::Signature) {
        if let Some(token) = &signature.unsafety {
            self.lines.push(token.span.start().line);
        }
        visit::visit_signature(self, signature);
    }

    fn visit_item_foreign_mod(&mut self, item: &'a syn::ItemForeignMod) {
        self.lines.push(item.span().start().line);
        visit::visit_item_foreign_mod(self, item);
    }

    fn visit_attribute(&mut self, attribute: &'a syn::Attribute) {
        if attribute.path().is_ident("unsafe") {
            self.lines.push(attribute.span().start().line);
        }
        visit::visit_attribute(self, attribute);
    }

    fn visit_macro(&mut self, call: &'a syn::Macro) {
        self.follow_tokens(call.tokens.clone());
        visit::visit_macro(self, call);
    }
}

/// A reason stands between the comments above the statement and the use itself, or as the first line within.
fn is_explained(lines: &[&str], line: usize, begin: usize) -> bool {
    let above = lines[..begin - 1]
        .iter()
        .rev()
        .take_while(|line| {
            ["//", "#["]
                .iter()
                .any(|c| line.trim_start().starts_with(c))
        })
        .count();
    let last = (line + 1).min(lines.len());
    lines[begin - 1 - above..last]
        .iter()
        .any(|line| line.contains("SAFETY:"))
}

#[test]
fn unsafe_stays_where_it_belongs_and_says_why() {
    let mut wrong = Vec::new();
    for source in sources() {
        let place = source.place();
        let found = Unsafe::of(source);
        if let Some(line) = found.lines.first()
            && !ALLOWED.iter().any(|folder| place.starts_with(folder))
        {
            wrong.push(format!("{place}:{line} uses unsafe code"));
        }
        let lines: Vec<&str> = source.text.lines().collect();
        for (line, begin) in found.to_explain {
            if !is_explained(&lines, line, begin) {
                wrong.push(format!("{place}:{line} has no SAFETY line"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_form_of_unsafe_is_seen() {
    let text = "
        #[unsafe(no_mangle)] pub unsafe fn a() {}
        // SAFETY: of no one.
        unsafe impl Send for B {}
        fn c() {
            // SAFETY: it is there.
            let x = d(|| unsafe { *e });
            let y = unsafe { *f };
        }
        #[cfg(test)] mod tests;
        fn after() { unsafe { g() } }
        h! { unsafe { i() } }
    ";
    let source = Source {
        path: "host/x.rs".into(),
        text: text.into(),
        is_test: false,
    };
    let found = Unsafe::of(&source);
    assert_eq!(found.lines.len(), 7, "{:?}", found.lines);
    let lines: Vec<&str> = text.lines().collect();
    let explained: Vec<bool> = found
        .to_explain
        .iter()
        .map(|&(line, begin)| is_explained(&lines, line, begin))
        .collect();
    assert_eq!(explained, [true, true, false, false, false]);
}
