//! Pages that are made from tables are up to date, and the tables complete.

use super::sources::{Source, is_for_tests, root, sources};
use proc_macro2::{TokenStream, TokenTree};
use std::fs;
use syn::visit::{self, Visit};

#[test]
fn the_options_page_is_up_to_date() {
    let path = root().join("docs/options.md");
    let page = gerelion::options::options_page();
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&path, &page).unwrap();
    }
    let written = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        written == page,
        "docs/options.md is not what the option table says; run UPDATE=1 cargo test --test tidy"
    );
}

#[test]
fn the_errors_page_is_up_to_date() {
    let path = root().join("docs/errors.md");
    let page = gerelion::errors::errors_page();
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&path, &page).unwrap();
    }
    let written = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        written == page,
        "docs/errors.md is not what the tables of codes say; run UPDATE=1 cargo test --test tidy"
    );
    for entry in gerelion::errors::entries() {
        let heading = format!("\n### {} {}\n", entry.code, entry.title);
        assert_eq!(page.matches(&heading).count(), 1, "{heading}");
    }
}

/// A code that nothing gives is a promise that nobody keeps.
#[test]
fn every_code_is_given_by_some_error() {
    let (tables, code): (Vec<&Source>, Vec<&Source>) = sources()
        .iter()
        .filter(|source| source.path.starts_with("host"))
        .partition(|source| source.path.starts_with("host/errors/table"));
    let names: Vec<String> = tables
        .iter()
        .flat_map(|table| table.text.lines())
        .filter_map(|line| line.trim().split_once(" = "))
        .filter(|(_, rest)| rest.starts_with(|c: char| c.is_ascii_digit()))
        .map(|(name, _)| name.to_owned())
        .collect();
    assert_eq!(names.len(), gerelion::errors::entries().count());
    for name in names {
        let wanted = format!("Code::{name}");
        let given = code.iter().any(|source| {
            let text = source
                .text
                .split("\nmod tests {")
                .next()
                .unwrap_or_default();
            let mut found = text.match_indices(&wanted).map(|(at, m)| {
                let next = text[at + m.len()..].chars().next();
                !next.is_some_and(|c| c.is_ascii_alphanumeric() || c == '_')
            });
            found.any(|whole| whole)
        });
        assert!(given, "no error has the code {name}");
    }
}

#[test]
fn metadata_labels_in_the_code_are_listed() {
    let listed = [
        "host/refinement/cli/metadata_labels.rs",
        "host/dataset/labels.rs",
    ]
    .map(|path| fs::read_to_string(root().join(path)).unwrap())
    .concat();
    let is_ours = |source: &&Source| {
        !source.is_test && source.path.starts_with("host") && !source.path.starts_with("host/tools")
    };
    for source in sources().iter().filter(is_ours) {
        let mut texts = Texts::default();
        texts.visit_file(&source.tree());
        for label in texts.0.iter().filter(|text| is_label(text)) {
            assert!(
                listed.contains(&format!("\"{label}\"")),
                "{} uses {label}, which --print_metadata_labels does not list",
                source.place()
            );
        }
    }
}

/// `rln` and a name, nothing else.
fn is_label(text: &str) -> bool {
    let name = text.strip_prefix("rln");
    name.is_some_and(|name| !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric()))
}

/// Text literals outside of tests, those given to macros included.
#[derive(Default)]
struct Texts(Vec<String>);

impl Texts {
    fn follow_tokens(&mut self, tokens: TokenStream) {
        for token in tokens {
            match token {
                TokenTree::Group(group) => self.follow_tokens(group.stream()),
                TokenTree::Literal(literal) => {
                    if let syn::Lit::Str(text) = syn::Lit::new(literal) {
                        self.0.push(text.value());
                    }
                }
                _ => (),
            }
        }
    }
}

impl<'a> Visit<'a> for Texts {
    fn visit_item_mod(&mut self, module: &'a syn::ItemMod) {
        if !is_for_tests(&module.attrs) {
            visit::visit_item_mod(self, module);
        }
    }

    fn visit_lit_str(&mut self, text: &'a syn::LitStr) {
        self.0.push(text.value());
    }

    fn visit_macro(&mut self, call: &'a syn::Macro) {
        self.follow_tokens(call.tokens.clone());
    }
}

/// The map is true: every file and folder that DESIGN.md names exists.
#[test]
fn files_that_the_design_names_exist() {
    let text = fs::read_to_string(root().join("DESIGN.md")).unwrap();
    let mut known = Vec::new();
    let mut folders = vec![root().to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() && !name.starts_with('.') && name != "target" {
                folders.push(path.clone());
            }
            known.push(path.strip_prefix(root()).unwrap().to_owned());
        }
    }
    let tops = [
        "host",
        "gpu",
        "cuda_std",
        "cuda_builder",
        "tests",
        "docs",
        "scripts",
        "benches",
    ];
    let names = text.split('`').skip(1).step_by(2).filter(|name| {
        let plain = !name.contains([' ', '*', '…', '(', ':']);
        let top = name.split('/').next().unwrap_or_default();
        plain && (name.ends_with(".rs") || (name.contains('/') && tops.contains(&top)))
    });
    let mut count = 0;
    for name in names {
        count += 1;
        let found = known
            .iter()
            .any(|path| path.ends_with(name.trim_end_matches('/')));
        assert!(found, "DESIGN.md names {name}, which is not there");
    }
    assert!(count > 20, "only {count} names were found");
}
