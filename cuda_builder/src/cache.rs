//! PTX kept under the hash of what it was made from.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Modules kept per architecture; older ones are removed.
const KEPT: usize = 4;

/// FNV-1a: stable across compilers, unlike the standard hasher.
#[derive(Clone, Copy)]
pub struct Fingerprint(u64);

impl Fingerprint {
    pub fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    pub fn add(&mut self, bytes: &[u8]) {
        for byte in (bytes.len() as u64).to_le_bytes().iter().chain(bytes) {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }

    /// Adds names and contents of all files under `path`.
    pub fn add_tree(&mut self, path: &Path) -> io::Result<()> {
        for file in files(path)? {
            self.add(
                file.strip_prefix(path)
                    .unwrap_or(&file)
                    .as_os_str()
                    .as_encoded_bytes(),
            );
            self.add(&fs::read(&file)?);
        }
        Ok(())
    }

    pub fn text(self) -> String {
        format!("{:016x}", self.0)
    }
}

/// All files under `path` in a fixed order.
fn files(path: &Path) -> io::Result<Vec<PathBuf>> {
    if path.is_file() {
        return Ok(vec![path.to_path_buf()]);
    }
    let mut entries = fs::read_dir(path)?
        .map(|e| e.map(|e| e.path()))
        .collect::<io::Result<Vec<_>>>()?;
    entries.sort();
    let mut out = Vec::new();
    for entry in entries {
        out.extend(files(&entry)?);
    }
    Ok(out)
}

/// Where the module of `name` (an architecture) with this fingerprint is kept.
pub fn slot(folder: &Path, name: &str, fingerprint: Fingerprint) -> PathBuf {
    folder.join(format!("{name}-{}.ptx", fingerprint.text()))
}

/// Removes all but the newest modules of `name`.
pub fn prune(folder: &Path, name: &str) -> io::Result<()> {
    let mut modules: Vec<_> = fs::read_dir(folder)?
        .filter_map(Result::ok)
        .filter(|e| {
            e.file_name()
                .to_string_lossy()
                .starts_with(&format!("{name}-"))
        })
        .filter_map(|e| Some((e.metadata().ok()?.modified().ok()?, e.path())))
        .collect();
    modules.sort();
    for (_, path) in modules.iter().rev().skip(KEPT) {
        fs::remove_file(path)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(parts: &[&str]) -> String {
        let mut f = Fingerprint::new();
        parts.iter().for_each(|p| f.add(p.as_bytes()));
        f.text()
    }

    #[test]
    fn fingerprints_see_content_and_boundaries() {
        assert_eq!(of(&["ab", "c"]), of(&["ab", "c"]));
        assert_ne!(of(&["ab", "c"]), of(&["a", "bc"]));
        assert_ne!(of(&["ab"]), of(&["ac"]));
    }

    #[test]
    fn a_tree_changes_with_any_file() {
        let folder = std::env::temp_dir().join(format!("cuda_builder-{}", std::process::id()));
        fs::create_dir_all(folder.join("kernels")).unwrap();
        fs::write(folder.join("lib.rs"), "a").unwrap();
        fs::write(folder.join("kernels/k.rs"), "b").unwrap();
        let tree = || {
            let mut f = Fingerprint::new();
            f.add_tree(&folder).unwrap();
            f.text()
        };
        let before = tree();
        assert_eq!(before, tree());
        fs::write(folder.join("kernels/k.rs"), "c").unwrap();
        assert_ne!(before, tree());
        fs::remove_dir_all(&folder).unwrap();
    }
}
