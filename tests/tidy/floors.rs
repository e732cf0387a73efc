//! The floors of `DESIGN.md`: a folder of `host/` uses only folders on lower floors.

use super::sources::{Source, is_for_tests, root, sources};
use proc_macro2::{TokenStream, TokenTree};
use std::fs;
use syn::spanned::Spanned;
use syn::visit::{self, Visit};

/// Folders of `host/` and their floors, from the table of DESIGN.md.
fn floors() -> Vec<(String, u32)> {
    let design = fs::read_to_string(root().join("DESIGN.md")).unwrap();
    let mut floors = Vec::new();
    for line in design.lines().filter(|line| line.starts_with("| ")) {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let Ok(floor) = cells[1].parse() else {
            continue;
        };
        for folder in cells[2]
            .split('`')
            .filter_map(|word| word.strip_prefix("host/"))
        {
            floors.push((folder.to_owned(), floor));
        }
    }
    assert!(
        floors.len() > 10,
        "DESIGN.md has lost its table of floors: {floors:?}"
    );
    floors
}

/// The modules at the root of the crate that a file names, outside its tests, and the lines.
struct Uses {
    /// Module in which the visitor is, from the root of the crate.
    module: Vec<String>,
    found: Vec<(String, usize)>,
}

impl Uses {
    fn of(source: &Source) -> Self {
        let path = source.path.strip_prefix("host").unwrap().with_extension("");
        let mut module: Vec<String> = path
            .iter()
            .map(|part| part.to_string_lossy().into_owned())
            .collect();
        if module
            .last()
            .is_some_and(|last| last == "mod" || last == "lib")
        {
            module.pop();
        }
        let mut uses = Self {
            module,
            found: Vec::new(),
        };
        uses.visit_file(&source.tree());
        uses
    }

    /// Follows a path from where the visitor is; notes the module at the root that it goes through.
    fn follow(&mut self, path: &[String], line: usize) {
        let mut rest = path.iter();
        let mut module: Option<Vec<String>> = None;
        for part in rest.by_ref() {
            let here = || self.module.clone();
            match part.as_str() {
                "crate" => module = Some(Vec::new()),
                "self" => module = Some(module.unwrap_or_else(here)),
                "super" => {
                    let mut parent = module.unwrap_or_else(here);
                    parent.pop();
                    module = Some(parent);
                }
                name => {
                    if module.is_some_and(|module| module.is_empty()) {
                        self.found.push((name.to_string(), line));
                    }
                    return;
                }
            }
        }
    }

    fn follow_tree(&mut self, tree: &syn::UseTree, path: &mut Vec<String>) {
        match tree {
            syn::UseTree::Path(next) => {
                path.push(next.ident.to_string());
                self.follow_tree(&next.tree, path);
                path.pop();
            }
            syn::UseTree::Group(group) => {
                group
                    .items
                    .iter()
                    .for_each(|tree| self.follow_tree(tree, path));
            }
            syn::UseTree::Name(name) => {
                path.push(name.ident.to_string());
                self.follow(path, name.span().start().line);
                path.pop();
            }
            syn::UseTree::Rename(name) => {
                path.push(name.ident.to_string());
                self.follow(path, name.span().start().line);
                path.pop();
            }
            syn::UseTree::Glob(glob) => self.follow(path, glob.span().start().line),
        }
    }

    /// `crate::name` in what is given to a macro.
    fn follow_tokens(&mut self, tokens: TokenStream) {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        for (i, token) in tokens.iter().enumerate() {
            match token {
                TokenTree::Group(group) => self.follow_tokens(group.stream()),
                TokenTree::Ident(word) if word == "crate" => {
                    if let Some(TokenTree::Ident(name)) = tokens.get(i + 3) {
                        let path = ["crate".to_string(), name.to_string()];
                        self.follow(&path, word.span().start().line);
                    }
                }
                _ => (),
            }
        }
    }
}

impl<'a> Visit<'a> for Uses {
    fn visit_item_mod(&mut self, module: &'a syn::ItemMod) {
        if !is_for_tests(&module.attrs) {
            self.module.push(module.ident.to_string());
            visit::visit_item_mod(self, module);
            self.module.pop();
        }
    }

    fn visit_item_fn(&mut self, function: &'a syn::ItemFn) {
        if !is_for_tests(&function.attrs) {
            visit::visit_item_fn(self, function);
        }
    }

    fn visit_item_use(&mut self, item: &'a syn::ItemUse) {
        if !is_for_tests(&item.attrs) {
            self.follow_tree(&item.tree, &mut Vec::new());
        }
    }

    fn visit_path(&mut self, path: &'a syn::Path) {
        let parts: Vec<String> = path.segments.iter().map(|s| s.ident.to_string()).collect();
        self.follow(&parts, path.span().start().line);
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, call: &'a syn::Macro) {
        self.follow_tokens(call.tokens.clone());
        visit::visit_macro(self, call);
    }
}

#[test]
fn floors_are_respected() {
    let floors = floors();
    let floor = |name: &str| {
        let found = floors.iter().find(|(folder, _)| folder == name);
        found.map(|(_, floor)| *floor)
    };
    let mut broken = Vec::new();
    for source in sources().iter().filter(|source| !source.is_test) {
        let parts: Vec<String> = source
            .path
            .iter()
            .map(|part| part.to_string_lossy().into_owned())
            .collect();
        // Files beside the folders stand on no floor.
        let [host, own, _, ..] = parts.as_slice() else {
            continue;
        };
        if host != "host" || own == "bin" {
            continue;
        }
        let Some(own_floor) = floor(own) else {
            panic!("host/{own} stands on no floor of DESIGN.md");
        };
        for (used, line) in Uses::of(source).found {
            if used != *own && floor(&used).is_some_and(|floor| floor >= own_floor) {
                broken.push(format!("{}:{line}: {own} uses {used}", source.place()));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

/// Floors above `host/device` know its types alone, so that a card and the emulated device run the same code there.
#[test]
fn bindings_of_cuda_stay_in_one_folder() {
    // Put together here, so that this file does not find itself.
    let bindings = ["cuda", "rc"].concat();
    let mut inside = 0;
    let mut outside = Vec::new();
    for source in sources() {
        let place = source.place();
        let named = source.text.matches(&bindings).count();
        match place.starts_with("host/device/") {
            true => inside += named,
            false if named > 0 => outside.push(place),
            false => (),
        }
    }
    assert!(outside.is_empty(), "{}", outside.join("\n"));
    assert!(inside > 0, "host/device no longer names {bindings}");
}

#[test]
fn uses_are_found_in_every_form_and_outside_of_tests() {
    let text = "
        use crate::{model::Model, tools};
        use super::super::fourier as f;
        #[cfg(test)] mod tests { use crate::refinement::run; }
        mod inner { use super::super::super::geometry::Matrix3; use self::own; }
        fn g(x: crate::optics::Ctf) { println!(\"{}\", crate::comm::name()); super::near::h(); }
        #[cfg(test)] mod after;
        use crate::errors::Code;
    ";
    let source = Source {
        path: "host/expectation/cpu/fine.rs".into(),
        text: text.into(),
        is_test: false,
    };
    let mut found: Vec<String> = Uses::of(&source).found.into_iter().map(|f| f.0).collect();
    found.sort();
    assert_eq!(
        found,
        ["comm", "errors", "model", "optics", "tools"],
        "super::super of a file in cpu/ is expectation"
    );
}
