//! Finding a compiler for the device.
//!
//! Needed: a rustc with its library source (for `-Zbuild-std=core`), the LLVM tools of the same LLVM
//! (`llvm-link`, `opt`, `llc`), and `llvm-bitcode-linker`. Debian has them as `rustc-web`, `rust-web-src` and
//! `llvm-22`, with the linker built from `rust-web-src` by `scripts/setup-kernels.sh`; rustup has them as the
//! components `rust-src llvm-tools llvm-bitcode-linker` of a nightly toolchain.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// First release whose device target has everything the kernels use.
const OLDEST_MINOR: u32 = 96;

/// A complete set of tools.
#[derive(Debug, Clone)]
pub struct KernelCompiler {
    /// The compiler.
    pub rustc: PathBuf,
    /// First line of `rustc -V`.
    pub version: String,
    /// Folders that go first on PATH: LLVM's tools, the linker.
    pub tool_folders: Vec<PathBuf>,
}

/// No complete set was found; says what each candidate lacks.
#[derive(Debug, Clone)]
pub struct MissingCompiler {
    /// One line a candidate.
    pub reasons: Vec<String>,
}

impl fmt::Display for MissingCompiler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "no compiler for device kernels ({}); run scripts/setup-kernels.sh, or `rustup toolchain install nightly \
             --component rust-src,llvm-tools,llvm-bitcode-linker`",
            self.reasons.join("; ")
        )
    }
}

impl std::error::Error for MissingCompiler {}

impl KernelCompiler {
    /// The first complete set among `$GERELION_KERNEL_RUSTC`, Debian's `/usr/bin/rustc` and rustup's nightly.
    /// `tools`: folder that `scripts/setup-kernels.sh` installs into.
    pub fn find(tools: &Path) -> Result<Self, MissingCompiler> {
        let mut candidates: Vec<PathBuf> = Vec::new();
        candidates.extend(std::env::var_os("GERELION_KERNEL_RUSTC").map(PathBuf::from));
        candidates.push("/usr/bin/rustc".into());
        candidates.extend(rustup_nightly());
        let mut reasons = Vec::new();
        for rustc in candidates {
            match Self::complete(&rustc, tools) {
                Ok(found) => return Ok(found),
                Err(reason) => reasons.push(format!("{}: {reason}", rustc.display())),
            }
        }
        Err(MissingCompiler { reasons })
    }

    fn complete(rustc: &Path, tools: &Path) -> Result<Self, String> {
        let about = output(Command::new(rustc).arg("-vV")).ok_or("does not run")?;
        let version = about.lines().next().unwrap_or_default().to_string();
        let minor = minor_version(&version).ok_or("unknown version")?;
        if minor < OLDEST_MINOR {
            return Err(format!("{version} is older than 1.{OLDEST_MINOR}"));
        }
        let field = |name: &str| {
            about
                .lines()
                .find_map(|l| l.strip_prefix(name))
                .map(str::trim)
        };
        let host = field("host:").unwrap_or_default();
        let llvm = field("LLVM version:").unwrap_or_default();
        let llvm_major = llvm.split('.').next().unwrap_or_default();
        let sysroot =
            output(Command::new(rustc).args(["--print", "sysroot"])).ok_or("has no sysroot")?;
        let rustlib = Path::new(sysroot.trim()).join("lib/rustlib");
        if !rustlib.join("src/rust/library/core/src/lib.rs").exists() {
            return Err("has no library source (rust-web-src or component rust-src)".into());
        }
        let own_tools = rustlib.join(host).join("bin");
        let llvm_tools = [
            own_tools.clone(),
            format!("/usr/lib/llvm-{llvm_major}/bin").into(),
        ]
        .into_iter()
        .find(|folder| {
            ["llvm-link", "opt", "llc"]
                .iter()
                .all(|t| folder.join(t).exists())
        })
        .ok_or_else(|| {
            format!("has no LLVM {llvm_major} tools (llvm-{llvm_major} or component llvm-tools)")
        })?;
        let linker = [
            own_tools.join("self-contained"),
            own_tools,
            tools.join("bin"),
        ]
        .into_iter()
        .find(|folder| folder.join("llvm-bitcode-linker").exists())
        .ok_or("has no llvm-bitcode-linker")?;
        Ok(Self {
            rustc: rustc.to_path_buf(),
            version,
            tool_folders: vec![linker, llvm_tools],
        })
    }

    /// PATH with the tools first.
    pub fn path(&self) -> std::ffi::OsString {
        let old = std::env::var_os("PATH").unwrap_or_default();
        let all = self
            .tool_folders
            .iter()
            .cloned()
            .chain(std::env::split_paths(&old));
        std::env::join_paths(all).unwrap_or(old)
    }
}

fn rustup_nightly() -> Option<PathBuf> {
    let path = output(Command::new("rustup").args(["which", "--toolchain", "nightly", "rustc"]))?;
    Some(PathBuf::from(path.trim()))
}

fn output(command: &mut Command) -> Option<String> {
    let out = command.output().ok()?;
    out.status
        .success()
        .then(|| String::from_utf8_lossy(&out.stdout).into_owned())
}

/// 96 of `rustc 1.96.0 (…)`.
fn minor_version(line: &str) -> Option<u32> {
    line.strip_prefix("rustc 1.")?
        .split('.')
        .next()?
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_versions() {
        assert_eq!(
            minor_version("rustc 1.96.0 (ac68faa20 2026-05-25)"),
            Some(96)
        );
        assert_eq!(
            minor_version("rustc 1.97.0-nightly (e50aa6fba 2026-05-19)"),
            Some(97)
        );
        assert_eq!(minor_version("clang 19"), None);
    }

    #[test]
    fn a_missing_compiler_says_what_to_install() {
        let reason = KernelCompiler::complete(Path::new("/nowhere/rustc"), Path::new("/nowhere"))
            .unwrap_err();
        assert_eq!(reason, "does not run");
        let text = MissingCompiler {
            reasons: vec!["/usr/bin/rustc: does not run".into()],
        }
        .to_string();
        assert!(text.contains("scripts/setup-kernels.sh"), "{text}");
    }
}
