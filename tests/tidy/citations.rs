//! Comments cite the description of the method ("spec 01 §4.5"): every citation has its section in `docs/method`.

use crate::sources::{root, sources};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;

/// Sections of each page, by the page's number: "4", "4.5", "A".
fn sections() -> BTreeMap<String, BTreeSet<String>> {
    let mut pages = BTreeMap::new();
    for entry in fs::read_dir(root().join("docs/method")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let Some((number, _)) = name.split_once('-') else {
            continue;
        };
        let text = fs::read_to_string(&path).unwrap();
        let numbers = text.lines().filter_map(|line| {
            let heading = line.strip_prefix('#')?.trim_start_matches('#').trim_start();
            let heading = heading.strip_prefix("Appendix ").unwrap_or(heading);
            let number = heading.split_whitespace().next()?;
            Some(number.trim_end_matches('.').to_owned())
        });
        pages.insert(number.to_owned(), numbers.collect());
    }
    assert_eq!(pages.len(), 6, "pages of docs/method: {:?}", pages.keys());
    pages
}

/// Pages and sections that a text cites: "spec 01 §2, §4.5–4.7; spec 02 §1" cites 01 §2, 01 §4.5, 01 §4.7 and 02 §1.
/// Line breaks and comment signs do not interrupt a citation.
fn cited(text: &str) -> Vec<(String, String)> {
    let words: Vec<&str> = text
        .split_whitespace()
        .filter(|word| !matches!(*word, "//" | "///" | "//!" | "#" | "*"))
        .collect();
    let mut found = Vec::new();
    for (i, word) in words.iter().enumerate() {
        let word = word.trim_start_matches(['(', '[', '"', '`', '“']);
        if !word.eq_ignore_ascii_case("spec") {
            continue;
        }
        let Some(page) = words.get(i + 1).filter(|page| is_page(page)) else {
            continue;
        };
        for list in &words[i + 2..] {
            let Some(sections) = list.strip_prefix('§') else {
                break;
            };
            let ends = sections.ends_with([';', ')', ':']) || sections.ends_with("):");
            for section in sections.split(['–', ',', ';', ')', ':', '"', '”', ']', '`']) {
                let section = section.trim_matches(['.', '§', '\'', '*']);
                if !section.is_empty() {
                    found.push(((*page).to_owned(), section.to_owned()));
                }
            }
            if ends {
                break;
            }
        }
    }
    found
}

fn is_page(word: &str) -> bool {
    word.len() == 2 && word.starts_with('0') && word.as_bytes()[1].is_ascii_digit()
}

#[test]
fn every_citation_of_the_method_has_its_section() {
    let pages = sections();
    let documents = ["README.md", "DESIGN.md", "CONTRIBUTING.md"].map(|name| root().join(name));
    let of_docs = fs::read_dir(root().join("docs")).unwrap();
    let documents = documents
        .into_iter()
        .chain(of_docs.map(|entry| entry.unwrap().path()))
        .filter(|path| path.extension().is_some_and(|e| e == "md"))
        .map(|path| {
            (
                path.display().to_string(),
                fs::read_to_string(&path).unwrap(),
            )
        });
    let code = sources()
        .iter()
        .filter(|source| !source.place().ends_with("tidy/citations.rs"))
        .map(|source| (source.place(), source.text.clone()));
    let mut count = 0;
    let mut missing = Vec::new();
    for (place, text) in documents.chain(code) {
        for (page, section) in cited(&text) {
            count += 1;
            if !pages
                .get(&page)
                .is_some_and(|known| known.contains(&section))
            {
                missing.push(format!("{place}: spec {page} §{section}"));
            }
        }
    }
    assert!(
        missing.is_empty(),
        "no such section:\n{}",
        missing.join("\n")
    );
    assert!(count > 150, "only {count} citations were found");
}

#[test]
fn citations_are_read_as_they_are_written() {
    let of = |text: &str| {
        cited(text)
            .into_iter()
            .map(|(page, section)| format!("{page} {section}"))
            .collect::<Vec<_>>()
    };
    assert_eq!(
        of("(spec 01 §2, §4.5–4.7; Spec 02 §1)"),
        ["01 2", "01 4.5", "01 4.7", "02 1"]
    );
    assert_eq!(
        of("/// as in spec 01\n/// §1.5 step 3, and §9 of another"),
        ["01 1.5"]
    );
    assert!(of("a spec of 01 §2 is none").is_empty());
}
