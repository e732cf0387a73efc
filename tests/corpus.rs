//! Files written by many programs, some broken on purpose: each is read as Python's `starfile` and `mrcfile` read
//! it, or refused with an error that names the file and the reason. Never a panic.
//!
//! The files are optional input (see `shared`); without python3 and its modules only the absence of panics and the
//! form of the errors are checked.

use gerelion::formats::star::Document;
use gerelion::formats::volume::read_map;
use material::{has_python, shared};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The corpus, where this machine has it.
fn corpus(kind: &str) -> Option<Vec<PathBuf>> {
    let folder = shared(Path::new("data/corpus").join(kind))?;
    let entries = std::fs::read_dir(&folder).unwrap();
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    Some(files)
}

/// Returns the output of a Python program about the files, as JSON by file name; `None` without Python or the module.
fn judged(module: &str, program: &str, files: &[PathBuf]) -> Option<Value> {
    if !has_python(&[module]) {
        return None;
    }
    let output = Command::new("python3")
        .args(["-c", program])
        .args(files)
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    Some(serde_json::from_slice(&output.stdout).unwrap())
}

fn assert_names_file_and_reason(error: &str, path: &Path) {
    let reason = error.strip_prefix(&format!("{}: ", path.display()));
    assert!(reason.is_some_and(|r| r.len() > 20), "{error}");
}

/// Prints every table: numbers as `n:…`, anything else as `s:…`.
const STARFILE: &str = r#"
import json, sys, starfile
def cell(v):
    return "s:" + v if isinstance(v, str) else "n:" + repr(float(v))
result = {}
for path in sys.argv[1:]:
    try:
        tables = []
        for name, table in starfile.read(path, always_dict=True).items():
            loop = not isinstance(table, dict)
            rows = table.values.tolist() if loop else [list(table.values())]
            labels = list(table.columns) if loop else list(table)
            tables.append({"name": name, "loop": loop, "labels": labels, "rows": [[cell(v) for v in row] for row in rows]})
        result[path] = {"tables": tables}
    except Exception as error:
        result[path] = {"error": repr(error)}
json.dump(result, sys.stdout)
"#;

/// Files that `starfile` takes for something they are not: it reads the labels of a second loop as rows of the first.
const MISREAD: &[&str] = &["sfftk_test_data6.star"];

#[test]
fn star_files_read_as_starfile_reads_them() {
    let Some(files) = corpus("star") else { return };
    assert!(files.len() > 100);
    let judge = judged("starfile", STARFILE, &files);
    let (mut compared, mut refused) = (0, 0);
    for path in &files {
        let theirs = judge.as_ref().map(|judge| &judge[path.to_str().unwrap()]);
        match Document::read(path) {
            Ok(document) => {
                if let Some(tables) = theirs.and_then(|t| t["tables"].as_array()) {
                    assert_same_tables(&document, tables, path);
                    compared += 1;
                }
            }
            Err(error) => {
                assert_names_file_and_reason(&error.to_string(), path);
                println!("refused: {error}");
                let both = theirs.is_none_or(|t| t["error"].is_string());
                let nonsense = MISREAD.iter().any(|name| path.ends_with(name));
                assert!(both || nonsense, "starfile reads what we refuse: {error}");
                refused += 1;
            }
        }
    }
    println!(
        "{} files, {compared} compared with starfile, {refused} refused",
        files.len()
    );
}

fn assert_same_tables(document: &Document, theirs: &[Value], path: &Path) {
    // Of several tables with one name, `starfile` keeps the last.
    for table in theirs {
        let name = table["name"].as_str().unwrap();
        let ours = document.tables.iter().rfind(|t| t.name() == name);
        let ours = ours.unwrap_or_else(|| panic!("{}: no table data_{name}", path.display()));
        let labels: Vec<&str> = table["labels"]
            .as_array()
            .unwrap()
            .iter()
            .map(|l| l.as_str().unwrap())
            .collect();
        assert_eq!(ours.labels(), labels, "{} data_{name}", path.display());
        assert_eq!(ours.is_loop(), table["loop"].as_bool().unwrap());
        let rows = table["rows"].as_array().unwrap();
        assert_eq!(ours.len(), rows.len(), "{} data_{name}", path.display());
        for (row, cells) in rows.iter().enumerate() {
            for (label, cell) in labels.iter().zip(cells.as_array().unwrap()) {
                let cell = cell.as_str().unwrap();
                let place = format!("{} data_{name} row {row} {label}: {cell}", path.display());
                match cell.split_once(':').unwrap() {
                    ("n", number) => {
                        let theirs: f64 = number.parse().unwrap();
                        let ours = ours.real(row, label).unwrap();
                        // pandas' own number parser may be off in the last digit.
                        let same = (ours - theirs).abs() <= 4e-16 * theirs.abs();
                        assert!(
                            same || ours.is_nan() && theirs.is_nan() || ours == theirs,
                            "{place}"
                        );
                    }
                    // In loops `starfile` turns single quotes into double ones.
                    (_, text) => assert_eq!(
                        ours.text(row, label).unwrap().replace('\'', "\""),
                        text.replace('\'', "\""),
                        "{place}"
                    ),
                }
            }
        }
    }
    let names: Vec<&str> = theirs.iter().map(|t| t["name"].as_str().unwrap()).collect();
    for ours in &document.tables {
        assert!(
            names.contains(&ours.name()),
            "{}: {names:?}",
            path.display()
        );
    }
}

/// Prints shape (z, y, x), voxel size along x, and each map's sum and a checksum weighted by position.
const MRCFILE: &str = r#"
import json, sys, warnings, numpy, mrcfile
warnings.simplefilter("ignore")
result = {}
for path in sys.argv[1:]:
    try:
        with mrcfile.open(path) as m:
            data = m.data.astype(numpy.float64)
            data = data.reshape((1,) * (3 - data.ndim) + data.shape)
            # mrcfile leaves the axes in the order of the file; here they are put in order.
            axes = [int(m.header.maps), int(m.header.mapr), int(m.header.mapc)]
            if sorted(axes) == [1, 2, 3]:
                data = data.transpose([axes.index(axis) for axis in (3, 2, 1)])
            place = numpy.arange(data.size) % 101
            result[path] = {"shape": data.shape, "voxel": float(m.voxel_size.x), "sum": data.sum(), "check": (data.ravel() * place).sum()}
    except Exception as error:
        result[path] = {"error": repr(error)}
json.dump(result, sys.stdout)
"#;

#[test]
fn mrc_files_read_as_mrcfile_reads_them() {
    let Some(files) = corpus("mrc") else { return };
    assert!(files.len() > 10);
    let judge = judged("mrcfile", MRCFILE, &files);
    let (mut compared, mut refused) = (0, 0);
    for path in &files {
        let theirs = judge.as_ref().map(|judge| &judge[path.to_str().unwrap()]);
        match read_map(path) {
            Ok(map) => {
                map.warnings
                    .iter()
                    .for_each(|w| println!("{}: {w}", path.display()));
                let Some(theirs) = theirs.filter(|t| t["error"].is_null()) else {
                    println!(
                        "read, but not by mrcfile: {} {:?}",
                        path.display(),
                        map.data.dim()
                    );
                    continue;
                };
                let (z, y, x) = map.data.dim();
                assert_eq!(
                    theirs["shape"],
                    serde_json::json!([z, y, x]),
                    "{}",
                    path.display()
                );
                let voxel = theirs["voxel"].as_f64().unwrap();
                assert!(
                    (map.pixel_size.unwrap_or(0.0) - voxel).abs() < 1e-5,
                    "{}",
                    path.display()
                );
                let sum: f64 = map.data.iter().map(|&v| f64::from(v)).sum();
                let weighted = map
                    .data
                    .iter()
                    .enumerate()
                    .map(|(i, &v)| f64::from(v) * (i % 101) as f64);
                let check: f64 = weighted.sum();
                for (ours, name) in [(sum, "sum"), (check, "check")] {
                    let theirs = theirs[name].as_f64().unwrap();
                    assert!(
                        (ours - theirs).abs() <= 1e-9 * theirs.abs().max(1.0),
                        "{} {name}",
                        path.display()
                    );
                }
                compared += 1;
            }
            Err(error) => {
                assert_names_file_and_reason(&error.to_string(), path);
                println!("refused: {error}");
                let both = theirs.is_none_or(|t| t["error"].is_string());
                assert!(both, "mrcfile reads what we refuse: {error}");
                refused += 1;
            }
        }
    }
    println!(
        "{} files, {compared} compared with mrcfile, {refused} refused",
        files.len()
    );
}

/// The paper's sets and the corpus hold particle tables of RELION 1.3 to 5 and of other programs: as data sets they
/// are read or refused, never a panic.
#[test]
fn particle_sets_are_read_or_refused() {
    use gerelion::dataset::{ParticleSet, ReadOptions};
    let Some(files) = corpus("star") else { return };
    let options = ReadOptions {
        pixel_size: Some(1.5),
        need_ctf: false,
    };
    let mut read = 0;
    for path in &files {
        match ParticleSet::read(path, &options) {
            Ok(set) => {
                read += 1;
                println!(
                    "{}: {} particles, {} optics groups, {} scale groups",
                    path.display(),
                    set.particles.len(),
                    set.optics.len(),
                    set.scale_groups.len()
                );
                let folder = tempfile::tempdir().unwrap();
                let copy = folder.path().join("copy.star");
                set.write(&copy, false, true).unwrap();
                let again = ParticleSet::read(&copy, &options).unwrap();
                assert_eq!(again.particles.len(), set.particles.len());
                assert_eq!(again.stacks, set.stacks);
                assert_eq!(again.scale_groups, set.scale_groups);
            }
            Err(error) => {
                println!("refused: {error}");
                assert!(
                    error.to_string().contains(path.to_str().unwrap()),
                    "{error}"
                );
            }
        }
    }
    assert!(read > 3, "{read} read");
}
