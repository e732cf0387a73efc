//! Material of tests that a machine may lack: reference runs, a GPU, an MPI, an assembler of kernels, Python modules.
//!
//! A test asks for it here. Where it is missing, the test prints `skipped (need): why` and returns; `make test` counts
//! these lines and ends with how many tests passed, failed and were skipped, by need. A skip is a failure where the need
//! should have been met: `GERELION_REQUIRE` lists such needs (`shared,gpu`), and with `CI` in the environment those that
//! `make setup` installs are required as well.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Something that a test needs and a machine may lack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// Reference runs and particle sets that are no part of the repository.
    Shared,
    /// A GPU and its driver.
    Gpu,
    /// Kernels in the program: the compiler for the device.
    Kernels,
    /// An assembler for the device.
    Ptxas,
    /// `mpirun`.
    Mpi,
    /// Python with the modules that files are compared with.
    Python,
    /// The right to mount file systems or to make network namespaces.
    Privileges,
    /// Hours.
    LongTests,
}

impl Need {
    /// The name of the need in `GERELION_REQUIRE` and in summaries.
    pub fn name(self) -> &'static str {
        match self {
            Need::Shared => "shared",
            Need::Gpu => "gpu",
            Need::Kernels => "kernels",
            Need::Ptxas => "ptxas",
            Need::Mpi => "mpi",
            Need::Python => "python",
            Need::Privileges => "privileges",
            Need::LongTests => "long",
        }
    }

    /// `make setup` installs it.
    fn is_installed_by_setup(self) -> bool {
        matches!(self, Need::Kernels | Need::Ptxas | Need::Mpi | Need::Python)
    }

    /// A skip for want of it is a failure, given the values of `GERELION_REQUIRE` and `CI`.
    fn is_required(self, listed: Option<&str>, ci: Option<&str>) -> bool {
        let ci = ci.is_some_and(|value| !["", "0", "false"].contains(&value));
        ci && self.is_installed_by_setup()
            || listed.is_some_and(|list| list.split(',').any(|name| name.trim() == self.name()))
    }
}

/// Says that a test, or a part of it, is skipped because of `need`.
///
/// # Panics
/// Where the need is required.
#[track_caller]
pub fn skip(need: Need, why: impl std::fmt::Display) {
    let variable = |name| std::env::var(name).ok();
    let (listed, ci) = (variable("GERELION_REQUIRE"), variable("CI"));
    let name = need.name();
    assert!(
        !need.is_required(listed.as_deref(), ci.as_deref()),
        "{why}, but tests that need it ({name}) must run here (GERELION_REQUIRE, CI)"
    );
    println!("skipped ({name}): {why}");
}

/// A folder of the material that is no part of the repository: of the folder `GERELION_SHARED`, else of `../shared`.
/// None, with a message, without it.
#[track_caller]
pub fn shared(folder: impl AsRef<Path>) -> Option<PathBuf> {
    let root = std::env::var_os("GERELION_SHARED").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared"),
        PathBuf::from,
    );
    let path = root.join(folder);
    if path.is_dir() {
        return Some(path);
    }
    skip(
        Need::Shared,
        format_args!("there is no folder {}", path.display()),
    );
    None
}

/// A reference run; None, with a message, without it.
#[track_caller]
pub fn golden(run: &str) -> Option<PathBuf> {
    shared(Path::new("golden").join(run))
}

/// True with Python and these of its modules; says so without.
#[track_caller]
pub fn has_python(modules: &[&str]) -> bool {
    let program = format!("import {}", modules.join(", "));
    let found = Command::new("python3").args(["-c", &program]).output();
    let has = found.is_ok_and(|output| output.status.success());
    if !has {
        let modules = modules.join(" and ");
        skip(
            Need::Python,
            format_args!("python3 with {modules} is not installed"),
        );
    }
    has
}

/// True where tests that take hours are asked for (`GERELION_LONG_TESTS`); says so otherwise.
#[track_caller]
pub fn long_tests() -> bool {
    let wanted = std::env::var_os("GERELION_LONG_TESTS").is_some();
    if !wanted {
        skip(Need::LongTests, "GERELION_LONG_TESTS is not set");
    }
    wanted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_setup_installs_is_required_in_continuous_integration() {
        for (need, in_ci) in [
            (Need::Mpi, true),
            (Need::Kernels, true),
            (Need::Shared, false),
            (Need::Gpu, false),
        ] {
            assert_eq!(need.is_required(None, Some("1")), in_ci, "{need:?}");
            assert_eq!(need.is_required(None, Some("true")), in_ci, "{need:?}");
            assert!(!need.is_required(None, None));
            assert!(!need.is_required(None, Some("false")));
        }
    }

    #[test]
    fn a_list_makes_needs_required() {
        assert!(Need::Shared.is_required(Some("gpu, shared"), None));
        assert!(!Need::Shared.is_required(Some("gpu"), None));
        assert!(!Need::Shared.is_required(Some(""), None));
    }
}
