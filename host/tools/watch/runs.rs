//! Finding runs: by their output root, or in the folders below one.

use crate::tools::report::files;
use crate::tools::watch::stage_lines;
use std::collections::BTreeSet;
use std::path::Path;

/// Folders are searched so deep: a project has `Class3D/job001`.
const DEPTH: usize = 3;
/// More runs than this are not followed at a time.
const MOST_RUNS: usize = 60;

/// Returns the output roots of runs in `places`, each an output root or a folder: those written to last, in the order of
/// their names.
pub(super) fn find(places: &[String]) -> Vec<String> {
    let mut found = BTreeSet::new();
    for place in places {
        let place = place.as_str();
        let is_root = files::sets(place).is_ok() || stage_lines::of_root(place, "").is_some();
        if is_root {
            found.insert(place.to_owned());
        }
        if Path::new(place).is_dir() {
            search(place.trim_end_matches('/'), DEPTH, &mut found);
        }
    }
    let mut all: Vec<String> = found.into_iter().collect();
    if all.len() > MOST_RUNS {
        all.sort_by_key(|root| std::cmp::Reverse(last_written(root)));
        all.truncate(MOST_RUNS);
        all.sort();
    }
    all
}

fn last_written(root: &str) -> Option<std::time::SystemTime> {
    let last = *files::sets(root).ok()?.last()?;
    let path = last.existing(root, "_optimiser.star")?;
    path.metadata().ok()?.modified().ok()
}

fn search(folder: &str, depth: usize, found: &mut BTreeSet<String>) {
    // Folders that cannot be read hold nothing that could be shown.
    let Ok(entries) = std::fs::read_dir(folder) else {
        return;
    };
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = format!("{folder}/{name}");
        if let Some(root) = root_of(&name) {
            found.insert(format!("{folder}/{root}"));
        } else if name.ends_with(stage_lines::ENDING) {
            let roots = stage_lines::roots_named_in(Path::new(&path));
            found.extend(roots.iter().map(|root| format!("{folder}/{root}")));
        } else if depth > 1 && entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            search(&path, depth - 1, found);
        }
    }
}

/// Name of the run that a file `NAME_itNNN_optimiser.star` belongs to.
fn root_of(file: &str) -> Option<&str> {
    let stem = file.strip_suffix("_optimiser.star")?;
    let (root, digits) = stem.rsplit_once("_it")?;
    let numbered = digits.len() >= 3 && digits.bytes().all(|b| b.is_ascii_digit());
    (numbered && !root.is_empty()).then_some(root)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_found_in_the_folders_of_a_project() {
        let project = tempfile::tempdir().unwrap();
        let root = project.path().to_str().unwrap();
        let folder = format!("{root}/Class3D/job002");
        std::fs::create_dir_all(&folder).unwrap();
        for file in [
            "run_it000",
            "run_it001",
            "run_ct1_it002",
            "_it003",
            "run_it4",
        ] {
            std::fs::write(format!("{folder}/{file}_optimiser.star"), "").unwrap();
        }
        let line = r#"{"event":"run","output_root":"Class3D/job002/other"}"#;
        std::fs::write(format!("{folder}/a.jsonl"), line).unwrap();
        let expected = ["other", "run", "run_ct1"].map(|name| format!("{folder}/{name}"));
        assert_eq!(find(&[root.to_owned()]), expected);
        assert_eq!(find(&[format!("{folder}/run")]), [expected[1].clone()]);
        assert_eq!(find(&["/no/such/place".to_owned()]), Vec::<String>::new());
    }
}
