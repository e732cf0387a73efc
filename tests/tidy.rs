//! The repository checks itself: sizes of files, words that must not stay behind, generated pages, and the floors of
//! `DESIGN.md` (a folder uses only folders on lower floors).

use std::fs;
use std::path::{Path, PathBuf};

const LONGEST_FILE: usize = 600;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every Rust file of the project, with its text.
fn sources() -> Vec<(PathBuf, String)> {
    let mut files = Vec::new();
    for folder in [
        "host",
        "gpu",
        "cuda_std",
        "cuda_builder",
        "tests",
        "benches",
    ] {
        collect(&root().join(folder), &mut files);
    }
    assert!(files.len() > 50, "only {} source files found", files.len());
    files
}

fn collect(folder: &Path, files: &mut Vec<(PathBuf, String)>) {
    let Ok(entries) = fs::read_dir(folder) else {
        return;
    };
    for entry in entries {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.ends_with("target") {
            collect(&path, files);
        } else if path.extension().is_some_and(|e| e == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            files.push((path.strip_prefix(root()).unwrap().to_owned(), text));
        }
    }
}

#[test]
fn no_file_holds_two_ideas() {
    let long: Vec<String> = sources()
        .iter()
        .filter(|(_, text)| text.lines().count() > LONGEST_FILE)
        .map(|(path, text)| format!("{} has {} lines", path.display(), text.lines().count()))
        .collect();
    assert!(
        long.is_empty(),
        "longer than {LONGEST_FILE} lines:\n{}",
        long.join("\n")
    );
}

#[test]
fn nothing_unfinished_stays_behind() {
    // Put together here, so that this file does not find itself.
    let words = [
        ["todo", "!("].concat(),
        ["unimplemented", "!("].concat(),
        ["dbg", "!("].concat(),
        ["#[", "ignore"].concat(),
        ["FIX", "ME"].concat(),
    ];
    let mut found = Vec::new();
    for (path, text) in sources() {
        for (number, line) in text.lines().enumerate() {
            for word in words.iter().filter(|word| line.contains(word.as_str())) {
                found.push(format!("{}:{}: {word}", path.display(), number + 1));
            }
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn unsafe_stays_where_it_belongs() {
    let allowed = [
        "gpu/",
        "cuda_std/",
        "host/device/",
        "host/expectation/cuda/",
        "host/maximization/cuda/",
        "tests/gpu_kernels/",
        "tests/emulated_cuda/",
        // Wrappers of one call each (DESIGN.md §1).
        "host/formats/",
        "host/dataset/",
        "host/expectation/cpu/product.rs",
        "host/allocator.rs",
    ];
    for (path, text) in sources() {
        let place = path.to_string_lossy();
        let uses: Vec<usize> = text
            .lines()
            .enumerate()
            .filter(|(_, line)| line.contains(&["uns", "afe {"].concat()))
            .map(|(number, _)| number)
            .collect();
        if uses.is_empty() {
            continue;
        }
        assert!(
            allowed.iter().any(|folder| place.starts_with(folder)),
            "{place} uses unsafe code"
        );
        let lines: Vec<&str> = text.lines().collect();
        for number in uses {
            let before = &lines[number.saturating_sub(6)..=number];
            assert!(
                before.iter().any(|line| line.contains("SAFETY:")),
                "{place}:{} has no SAFETY line",
                number + 1
            );
        }
    }
}

/// The folders of `host/` that a line names through `crate::`.
fn uses(line: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (at, _) in line.match_indices("crate::") {
        let rest = &line[at + "crate::".len()..];
        let words = match rest.strip_prefix('{') {
            Some(list) => list.split(',').collect(),
            None => vec![rest],
        };
        for word in words {
            let name: String = word
                .trim()
                .chars()
                .take_while(|c| c.is_ascii_alphanumeric() || *c == '_')
                .collect();
            if !name.is_empty() {
                found.push(name);
            }
        }
    }
    found
}

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

#[test]
fn floors_are_respected() {
    let floors = floors();
    let floor = |name: &str| {
        floors
            .iter()
            .find(|(folder, _)| folder == name)
            .map(|(_, f)| *f)
    };
    let mut broken = Vec::new();
    for (path, text) in sources() {
        let mut parts = path
            .components()
            .map(|c| c.as_os_str().to_string_lossy().into_owned());
        let (Some("host"), Some(own)) = (parts.next().as_deref(), parts.next()) else {
            continue;
        };
        // Tests may look upwards for their material.
        if own.ends_with(".rs") || path.to_string_lossy().ends_with("_tests.rs") {
            continue;
        }
        let Some(own_floor) = floor(&own) else {
            panic!("host/{own} stands on no floor of DESIGN.md");
        };
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        for (number, line) in code.lines().enumerate() {
            if line.trim_start().starts_with("//") {
                continue;
            }
            for used in uses(line).into_iter().filter(|used| *used != own) {
                if floor(&used).is_some_and(|f| f >= own_floor) {
                    broken.push(format!(
                        "{}:{}: {own} uses {used}",
                        path.display(),
                        number + 1
                    ));
                }
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

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
    let (tables, code): (Vec<_>, Vec<_>) = sources()
        .into_iter()
        .filter(|(path, _)| path.starts_with("host"))
        .partition(|(path, _)| path.starts_with("host/errors/table"));
    let names: Vec<String> = tables
        .iter()
        .flat_map(|(_, text)| text.lines())
        .filter_map(|line| line.trim().split_once(" = "))
        .filter(|(_, rest)| rest.starts_with(|c: char| c.is_ascii_digit()))
        .map(|(name, _)| name.to_owned())
        .collect();
    assert_eq!(names.len(), gerelion::errors::entries().count());
    for name in names {
        let wanted = format!("Code::{name}");
        let given = code.iter().any(|(_, text)| {
            let text = text.split("\nmod tests {").next().unwrap_or_default();
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
    let listed = ["host/refinement/labels.rs", "host/dataset/labels.rs"]
        .map(|path| fs::read_to_string(root().join(path)).unwrap())
        .concat();
    for (path, text) in sources() {
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        if !path.starts_with("host") || path.starts_with("host/tools") {
            continue;
        }
        for (at, _) in code.match_indices("\"rln") {
            let label: String = code[at + 1..]
                .chars()
                .take_while(|c| c.is_ascii_alphanumeric())
                .collect();
            if code[at + 1 + label.len()..].starts_with('"') {
                assert!(
                    listed.contains(&format!("\"{label}\"")),
                    "{} uses {label}, which --print_metadata_labels does not list",
                    path.display()
                );
            }
        }
    }
}
