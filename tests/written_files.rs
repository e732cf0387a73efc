//! Files of a run: RELION's tables and columns, readable by Python's `starfile`, maps valid for `mrcfile`.

mod runs;

use gerelion::formats::star::Document;
use runs::{fixture, rerun};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Loads every STAR file as tables and every map strictly; prints what is wrong.
const JUDGE: &str = r#"
import sys, starfile, mrcfile
for path in sys.argv[1:]:
    if path.endswith(".star"):
        tables = starfile.read(path, always_dict=True)
        assert tables and all(len(table) for table in tables.values()), path
    else:
        assert mrcfile.validate(path), path
print("all read")
"#;

#[test]
fn files_of_a_run_have_relions_columns_and_are_read_by_other_programs() {
    let data = fixture();
    let reference = data.join("class3d_c4");
    let inputs = ["bundle.star", "bundle.mrcs", "bundle_truth1.mrc"].map(|f| data.join(f));
    let (_folder, ours) = rerun(&reference, &inputs);
    for kind in ["data", "model", "optimiser", "sampling"] {
        let theirs = labels(&reference.join(format!("run_it001_{kind}.star")));
        let ours = labels(Path::new(&format!("{ours}_it001_{kind}.star")));
        for (table, columns) in &theirs {
            let found = ours.iter().find(|(name, _)| name == table);
            let found = found.unwrap_or_else(|| panic!("_{kind}.star has no table {table}"));
            assert_eq!(&found.1, columns, "_{kind}.star, table {table}");
        }
    }
    let files = written(Path::new(&ours).parent().unwrap());
    assert!(files.len() > 15, "{files:?}");
    if !material::has_python(&["starfile", "mrcfile"]) {
        return;
    }
    let judged = Command::new("python3")
        .args(["-c", JUDGE])
        .args(&files)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&judged.stderr);
    assert!(
        judged.status.success(),
        "{text}{}",
        String::from_utf8_lossy(&judged.stdout)
    );
}

/// Tables of a file with their columns.
fn labels(path: &Path) -> Vec<(String, Vec<String>)> {
    let document = Document::read(path).unwrap();
    let owned = |labels: Vec<&str>| labels.into_iter().map(String::from).collect();
    let tables = document.tables.iter();
    tables
        .map(|t| (t.name().to_string(), owned(t.labels())))
        .collect()
}

/// STAR files and maps of a folder.
fn written(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder)
        .unwrap()
        .map(|e| e.unwrap().path());
    let wanted = |p: &PathBuf| p.extension().is_some_and(|e| e == "star" || e == "mrc");
    let mut files: Vec<PathBuf> = entries.filter(wanted).collect();
    files.sort();
    files
}
