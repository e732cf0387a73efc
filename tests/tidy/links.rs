//! Pages lead where they say: links, anchors, pictures, the table of contents, and the tests that they name.

use super::sources::root;
use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

/// A page of the repository.
struct Page {
    path: PathBuf,
    text: String,
}

/// Every Markdown file of the folders that hold pages.
fn pages() -> Vec<Page> {
    let mut found = Vec::new();
    let mut folders = vec![root().to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            let is_ours =
                ["docs", "method", "pictures", "packaging", "benches"].contains(&name.as_str());
            if path.is_dir() && is_ours {
                folders.push(path);
            } else if name.ends_with(".md") {
                let text = fs::read_to_string(&path).unwrap();
                found.push(Page { path, text });
            }
        }
    }
    assert!(found.len() > 15, "only {} pages", found.len());
    found
}

/// The page's lines outside of code blocks, without code inside of lines.
fn prose(text: &str) -> String {
    let mut prose = String::new();
    let mut in_block = false;
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            in_block = !in_block;
        } else if !in_block && !line.starts_with("    ") {
            let outside = line.split('`').step_by(2);
            prose.push_str(&outside.collect::<Vec<_>>().join("`"));
            prose.push('\n');
        }
    }
    prose
}

/// Targets of `[text](target)` and `![alt](target)`, each with its text.
fn links(prose: &str) -> Vec<(&str, &str)> {
    let mut found = Vec::new();
    for (at, _) in prose.match_indices("](") {
        let target = prose[at + 2..].split(')').next().unwrap_or_default();
        let text = prose[..at].rsplit('[').next().unwrap_or_default();
        found.push((text, target));
    }
    found
}

/// The anchors that headings of a page get.
fn anchors(text: &str) -> HashSet<String> {
    let headings = text.lines().filter(|line| line.starts_with('#'));
    headings
        .map(|line| {
            let title = line.trim_start_matches('#').trim().to_lowercase();
            let kept = title
                .chars()
                .filter(|c| c.is_alphanumeric() || " -_".contains(*c));
            kept.map(|c| if c == ' ' { '-' } else { c }).collect()
        })
        .collect()
}

#[test]
fn links_lead_somewhere() {
    let mut broken = Vec::new();
    let mut count = 0;
    for page in pages() {
        for (text, target) in links(&prose(&page.text)) {
            if target.contains("://") || target.starts_with("mailto:") {
                continue;
            }
            count += 1;
            let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
            let path = match file {
                "" => page.path.clone(),
                file => page.path.parent().unwrap().join(file),
            };
            let is_anchor = anchor.is_empty()
                || fs::read_to_string(&path).is_ok_and(|text| anchors(&text).contains(anchor));
            if text.trim().is_empty() || !path.exists() || !is_anchor {
                broken.push(format!("{}: [{text}]({target})", page.path.display()));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
    assert!(count > 40, "only {count} links were found");
}

#[test]
fn the_table_of_contents_has_every_page() {
    let docs = root().join("docs");
    let summary = fs::read_to_string(docs.join("SUMMARY.md")).unwrap();
    let listed: Vec<&str> = links(&summary)
        .into_iter()
        .map(|(_, target)| target)
        .collect();
    for entry in fs::read_dir(&docs).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if name.ends_with(".md") && name != "SUMMARY.md" {
            assert!(
                listed.contains(&name.as_str()),
                "docs/SUMMARY.md lacks {name}"
            );
        }
    }
}

/// A page that says which test shows something names one that exists: `file.rs::name`.
#[test]
fn tests_that_pages_name_exist() {
    let mut missing = Vec::new();
    let mut count = 0;
    for page in pages() {
        for word in page.text.split('`').skip(1).step_by(2) {
            let Some((file, name)) = word.split_once(".rs::") else {
                continue;
            };
            count += 1;
            let text = fs::read_to_string(root().join(format!("{file}.rs"))).unwrap_or_default();
            if !text.contains(&format!("fn {name}(")) {
                missing.push(format!("{}: {word}", relative(&page.path)));
            }
        }
    }
    assert!(missing.is_empty(), "{}", missing.join("\n"));
    assert!(count > 50, "only {count} tests are named");
}

fn relative(path: &Path) -> String {
    path.strip_prefix(root())
        .unwrap_or(path)
        .display()
        .to_string()
}
