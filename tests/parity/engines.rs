//! Runs of the program on the host and on the emulated device.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The stand-in for the libraries of CUDA, which cargo builds beside this test.
fn library() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let library = test.with_file_name("libemulated_cuda.so");
    assert!(
        library.is_file(),
        "{} is missing: cargo builds it as a dependency of the tests",
        library.display()
    );
    library
}

/// Puts the stand-in into `folder` under the names of the libraries that the program loads.
pub fn emulated_libraries(folder: &Path) -> PathBuf {
    let libraries = folder.join("libraries");
    std::fs::create_dir(&libraries).unwrap();
    for name in ["libcuda.so", "libcufft.so", "libcublas.so", "libnccl.so.2"] {
        symlink(library(), libraries.join(name)).unwrap();
    }
    libraries
}

/// Emulated cards.
pub struct Cards<'a> {
    /// Folder with the libraries of [`emulated_libraries`].
    pub libraries: &'a Path,
    /// Value of `--gpu`, which names each of them.
    pub map: &'a str,
}

impl Cards<'_> {
    /// Numbers in the map.
    fn numbers(&self) -> impl Iterator<Item = usize> {
        self.map.split([':', ',']).map(|card| card.parse().unwrap())
    }
}

/// Runs the program in `folder` with `words`, on `cards` where they are given. Output files begin with `root`; what is printed
/// goes to `<root>.log`. Returns the root and the warnings.
pub fn run(
    folder: &Path,
    words: &[String],
    root: &str,
    cards: Option<&Cards>,
) -> (PathBuf, Vec<String>) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_relion_refine"));
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/programs/reconstruct.py");
    command
        .env(
            "RELION_EXTERNAL_RECONSTRUCT_EXECUTABLE",
            format!("python3 {}", program.display()),
        )
        .current_dir(folder)
        .args(words)
        .args(["--o", root, "--j", "1"]);
    if let Some(cards) = cards {
        let present = 1 + cards.numbers().max().unwrap();
        command
            .args(["--gpu", cards.map])
            .env("EMULATED_DEVICES", present.to_string())
            .env("LD_LIBRARY_PATH", cards.libraries);
    }
    let output = command.output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(
        output.status.success(),
        "{words:?}\n{}\n{}",
        text(&output.stdout),
        text(&output.stderr)
    );
    let printed = text(&output.stdout);
    std::fs::write(folder.join(format!("{root}.log")), &printed).unwrap();
    for card in cards.into_iter().flat_map(Cards::numbers) {
        let name = format!("; GPU {card} (");
        assert_eq!(printed.matches(&name).count(), 1, "{name} in {printed}");
    }
    let errors = text(&output.stderr);
    let warnings = errors.lines().filter(|line| line.contains(" + WARNING: "));
    (
        folder.join(root),
        warnings.map(|line| line.replace(root, "root")).collect(),
    )
}
