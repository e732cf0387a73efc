//! Every dependency in a manifest is used by its package.

use super::sources::{root, sources};
use proc_macro2::{TokenStream, TokenTree};
use serde_json::Value;
use std::collections::HashSet;
use std::path::Path;
use std::process::Command;

/// Packages of the workspace, as cargo sees them.
fn packages() -> Vec<Value> {
    let output = Command::new(env!("CARGO"))
        .args([
            "metadata",
            "--no-deps",
            "--offline",
            "--format-version",
            "1",
        ])
        .current_dir(root())
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    metadata["packages"].as_array().unwrap().clone()
}

fn words(tokens: TokenStream, found: &mut HashSet<String>) {
    for token in tokens {
        match token {
            TokenTree::Group(group) => words(group.stream(), found),
            TokenTree::Ident(word) => {
                found.insert(word.to_string());
            }
            _ => (),
        }
    }
}

/// All identifiers of the Rust files of a package, its build script included; those of packages in folders inside are not.
fn words_of(folder: &Path, others: &[&Path]) -> HashSet<String> {
    let mut found = HashSet::new();
    let is_own = |path: &Path| {
        let innermost = others
            .iter()
            .filter(|other| path.starts_with(other))
            .max_by_key(|other| other.components().count());
        innermost.is_some_and(|innermost| *innermost == folder)
    };
    let files = sources().iter().map(|source| root().join(&source.path));
    let build = folder.join("build.rs");
    for path in files.chain(build.is_file().then_some(build)) {
        if is_own(&path) {
            let text = std::fs::read_to_string(&path).unwrap();
            words(text.parse().unwrap(), &mut found);
        }
    }
    found
}

/// A dependency that is not named in the code may be listed under `package.metadata.cargo-machete`.
#[test]
fn no_dependency_is_left_over() {
    let packages = packages();
    let folders: Vec<&Path> = packages
        .iter()
        .map(|p| {
            Path::new(p["manifest_path"].as_str().unwrap())
                .parent()
                .unwrap()
        })
        .collect();
    let mut unused = Vec::new();
    for (package, folder) in packages.iter().zip(&folders) {
        let used = words_of(folder, &folders);
        let known = &package["metadata"]["cargo-machete"]["ignored"];
        for dependency in package["dependencies"].as_array().unwrap() {
            let name = dependency["rename"]
                .as_str()
                .or(dependency["name"].as_str());
            let name = name.unwrap().replace('-', "_");
            let is_known = known
                .as_array()
                .is_some_and(|known| known.iter().any(|k| *k == name.as_str()));
            if !used.contains(&name) && !is_known {
                unused.push(format!("{}: {name}", package["name"]));
            }
        }
    }
    assert!(
        unused.is_empty(),
        "unused dependencies:\n{}",
        unused.join("\n")
    );
}
