//! The commands of `docs/first-project.md`, one block after the other as a reader types them, but on a set and with numbers of
//! iterations that a processor gets through in a minute.

use std::env;
use std::fs;
use std::path::Path;
use std::process::Command;

/// Blocks of shell commands, in order.
fn blocks(page: &str) -> Vec<String> {
    let parts = page.split("\n```sh\n").skip(1);
    parts
        .map(|part| part.split("\n```").next().unwrap().to_owned())
        .collect()
}

/// The block with other words, each of which must be in one block at least.
fn reduced(block: &str, used: &mut [bool]) -> String {
    let smaller = [
        ("--n 2374 --snr 0.2", "--n 60 --box 32 --angpix 8 --snr 0.5"),
        // The point group of that set, as the page says.
        ("--sym D2", "--sym C4"),
        ("--iter 200", "--iter 12"),
        ("run_it200", "run_it012"),
        ("--iter 25", "--iter 3"),
        // As the page says for machines without a card.
        (" --gpu", ""),
    ];
    let mut text = block.to_owned();
    for ((from, to), used) in smaller.iter().zip(used) {
        *used |= text.contains(from);
        text = text.replace(from, to);
    }
    text
}

#[test]
fn its_commands_run_as_they_stand_there() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/first-project.md");
    let page = fs::read_to_string(page).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let programs = Path::new(env!("CARGO_BIN_EXE_relion_refine"))
        .parent()
        .unwrap();
    let path = format!("{}:{}", programs.display(), env::var("PATH").unwrap());
    let mut used = [false; 6];
    let blocks = blocks(&page);
    assert_eq!(blocks.len(), 5, "a set and four jobs");
    for block in blocks {
        let commands = reduced(&block, &mut used);
        let output = Command::new("sh")
            .args(["-euc", &commands])
            .env("PATH", &path)
            .current_dir(folder.path())
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{commands}\n{text}");
    }
    assert_eq!(used, [true; 6], "words that the page no longer has");
    for file in [
        "Class2D/run_it003_classes.mrcs",
        "Class2D/run_report.html",
        "InitialModel/initial_model.mrc",
        "InitialModel/run_report.html",
        "Class3D/run_it003_class002.mrc",
        "Class3D/run_report.html",
        "Refine3D/run_class001.mrc",
        "Refine3D/run_report.html",
    ] {
        assert!(folder.path().join(file).exists(), "{file}");
    }
}
