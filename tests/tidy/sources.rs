//! The Rust files of the project and their syntax trees.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use syn::{Attribute, Item};

/// A Rust file.
pub struct Source {
    /// Relative to the repository.
    pub path: PathBuf,
    pub text: String,
    /// All of it is compiled for tests only.
    pub is_test: bool,
}

impl Source {
    /// The syntax tree; its spans know lines.
    pub fn tree(&self) -> syn::File {
        syn::parse_file(&self.text).unwrap_or_else(|e| panic!("{}: {e}", self.place()))
    }

    pub fn place(&self) -> String {
        self.path.to_string_lossy().into_owned()
    }
}

pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every Rust file of the project.
pub fn sources() -> &'static [Source] {
    static SOURCES: LazyLock<Vec<Source>> = LazyLock::new(read);
    &SOURCES
}

fn read() -> Vec<Source> {
    let mut found = Vec::new();
    for folder in [
        "host",
        "gpu",
        "cuda_std",
        "cuda_builder",
        "tests",
        "benches",
    ] {
        collect(&root().join(folder), &mut found);
    }
    assert!(found.len() > 50, "only {} source files found", found.len());
    let tests: Vec<PathBuf> = found.iter().flat_map(test_modules).collect();
    for source in &mut found {
        let outside = ["tests", "benches"]
            .iter()
            .any(|f| source.path.starts_with(f));
        let declared = tests.iter().any(|module| {
            source.path == module.with_extension("rs") || source.path.starts_with(module)
        });
        source.is_test = outside || declared;
    }
    found
}

fn collect(folder: &Path, found: &mut Vec<Source>) {
    let Ok(entries) = fs::read_dir(folder) else {
        return;
    };
    for entry in entries {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.ends_with("target") {
            collect(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(Source {
                text: fs::read_to_string(&path).unwrap(),
                path: path.strip_prefix(root()).unwrap().to_owned(),
                is_test: false,
            });
        }
    }
}

/// Paths (without extension) of the modules in files of their own that a file declares for tests only.
fn test_modules(source: &Source) -> Vec<PathBuf> {
    let folder = match source.path.file_name().and_then(|name| name.to_str()) {
        Some("mod.rs" | "lib.rs" | "main.rs") => source.path.parent().unwrap().to_owned(),
        _ => source.path.with_extension(""),
    };
    let tree = source.tree();
    let modules = tree.items.iter().filter_map(|item| match item {
        Item::Mod(module) if module.content.is_none() && is_for_tests(&module.attrs) => {
            Some(folder.join(module.ident.to_string()))
        }
        _ => None,
    });
    modules.collect()
}

/// True for an item with `#[cfg(test)]`.
pub fn is_for_tests(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("cfg")
            && attribute
                .parse_args::<syn::Ident>()
                .is_ok_and(|condition| condition == "test")
    })
}
