//! The build itself: one cargo run an architecture, into a folder of its own.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::cache::{self, Fingerprint};
use crate::module_text;
use crate::{KernelCompiler, MissingCompiler, NvvmArch};

/// A compiled module.
#[derive(Debug, Clone)]
pub struct PtxModule {
    /// Architecture that it was compiled for.
    pub arch: NvvmArch,
    /// The PTX text.
    pub path: PathBuf,
}

/// Why there is no PTX.
#[derive(Debug)]
pub enum BuildError {
    /// The compiler is not installed: build without kernels.
    NoCompiler(MissingCompiler),
    /// The kernels do not compile.
    Compile {
        /// For which architecture.
        arch: NvvmArch,
        /// Output of the compiler.
        message: String,
    },
    /// Files cannot be read or written.
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BuildError::NoCompiler(missing) => missing.fmt(f),
            BuildError::Compile { arch, message } => {
                write!(
                    f,
                    "kernels do not compile for {}:\n{message}",
                    arch.target_cpu()
                )
            }
            BuildError::Io { path, source } => write!(f, "{}: {source}", path.display()),
        }
    }
}

impl std::error::Error for BuildError {}

/// Builds the kernels of one crate.
#[derive(Debug, Clone)]
pub struct CudaBuilder {
    crate_folder: PathBuf,
    target_folder: PathBuf,
    sources: Vec<PathBuf>,
    arches: Vec<NvvmArch>,
}

impl CudaBuilder {
    /// For the crate in `crate_folder`, relative to the package whose build script this is.
    /// PTX, tools and intermediate files live in the cargo target folder that OUT_DIR lies in.
    pub fn new(crate_folder: impl Into<PathBuf>) -> Self {
        let crate_folder = crate_folder.into();
        let out = PathBuf::from(std::env::var_os("OUT_DIR").unwrap_or_else(|| "target".into()));
        Self {
            sources: vec![crate_folder.clone()],
            target_folder: target_folder(&out),
            crate_folder,
            arches: Vec::new(),
        }
    }

    /// PTX, tools and intermediate files live in the cargo target folder that holds `file` instead, for use outside a build
    /// script.
    pub fn target_of(mut self, file: &Path) -> Self {
        self.target_folder = target_folder(file);
        self
    }

    /// Also build for `arch`.
    pub fn arch(mut self, arch: NvvmArch) -> Self {
        self.arches.push(arch);
        self
    }

    /// A file or folder that the kernels depend on: when it changes they are compiled again.
    pub fn source(mut self, path: impl Into<PathBuf>) -> Self {
        self.sources.push(path.into());
        self
    }

    /// Folder the tools are installed into.
    pub fn tools_folder(&self) -> PathBuf {
        self.target_folder.join("kernel-tools")
    }

    /// Compiles what is not in the cache, and says to cargo which files the result depends on.
    pub fn build(&self) -> Result<Vec<PtxModule>, BuildError> {
        for source in &self.sources {
            println!("cargo:rerun-if-changed={}", source.display());
        }
        println!("cargo:rerun-if-env-changed=GERELION_KERNEL_RUSTC");
        let tools = self.tools_folder();
        if tools.exists() {
            println!("cargo:rerun-if-changed={}", tools.display());
        }
        self.modules()
    }

    /// Compiles what is not in the cache, outside a build script.
    pub fn modules(&self) -> Result<Vec<PtxModule>, BuildError> {
        let tools = self.tools_folder();
        let compiler = KernelCompiler::find(&tools).map_err(BuildError::NoCompiler)?;
        let cache_folder = self.target_folder.join("ptx-cache");
        fs::create_dir_all(&cache_folder).map_err(|e| io_error(&cache_folder, e))?;
        let (compiler, cache_folder) = (&compiler, &cache_folder);
        let mut fingerprint = Fingerprint::new();
        fingerprint.add(compiler.version.as_bytes());
        fingerprint.add(include_bytes!("builder.rs"));
        fingerprint.add(include_bytes!("arch.rs"));
        for source in &self.sources {
            fingerprint
                .add_tree(source)
                .map_err(|e| io_error(source, e))?;
        }
        // Each in a folder of its own, so that they need not wait for each other.
        std::thread::scope(|scope| {
            let builds: Vec<_> = self
                .arches
                .iter()
                .map(|&arch| {
                    scope.spawn(move || self.module(compiler, arch, cache_folder, fingerprint))
                })
                .collect();
            let finished = builds
                .into_iter()
                .map(|b| b.join().expect("a build does not panic"));
            finished.collect()
        })
    }

    /// The module of one architecture, from the cache or compiled.
    fn module(
        &self,
        compiler: &KernelCompiler,
        arch: NvvmArch,
        cache_folder: &Path,
        fingerprint: Fingerprint,
    ) -> Result<PtxModule, BuildError> {
        let name = arch.target_cpu();
        let slot = cache::slot(cache_folder, &name, fingerprint);
        if !slot.exists() {
            let ptx = self.compile(compiler, arch, &cache_folder.join("build").join(&name))?;
            // By way of another name: a build that is stopped half-way leaves no broken module.
            let partial = slot.with_extension(format!("{}", std::process::id()));
            let text = fs::read_to_string(&ptx).map_err(|e| io_error(&ptx, e))?;
            fs::write(&partial, module_text::finished(&text)).map_err(|e| io_error(&partial, e))?;
            fs::rename(&partial, &slot).map_err(|e| io_error(&slot, e))?;
            cache::prune(cache_folder, &name).map_err(|e| io_error(cache_folder, e))?;
        }
        Ok(PtxModule { arch, path: slot })
    }

    fn compile(
        &self,
        compiler: &KernelCompiler,
        arch: NvvmArch,
        folder: &Path,
    ) -> Result<PathBuf, BuildError> {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut command = Command::new(cargo);
        // The settings of the outer cargo (flags, wrappers such as clippy, target folder) are not for this build.
        for (name, _) in std::env::vars_os() {
            if is_of_outer_build(&name.to_string_lossy()) {
                command.env_remove(name);
            }
        }
        let output = command
            .current_dir(&self.crate_folder)
            .args(["rustc", "--lib", "--crate-type", "cdylib", "--release"])
            .args([
                "--target",
                "nvptx64-nvidia-cuda",
                "-Zbuild-std=core",
                "--target-dir",
            ])
            .arg(folder)
            .env("PATH", compiler.path())
            .env("RUSTC", &compiler.rustc)
            .env("RUSTC_BOOTSTRAP", "1")
            .env(
                "CARGO_TARGET_NVPTX64_NVIDIA_CUDA_RUSTFLAGS",
                format!(
                    "-Ctarget-cpu={cpu} -Ctarget-feature=+ptx{ptx} -Clinker=llvm-bitcode-linker \
                     -Cllvm-args=-unroll-threshold=5000 --cfg gpu_arch=\"{cpu}\"",
                    cpu = arch.target_cpu(),
                    ptx = arch.ptx_version()
                ),
            )
            .env("CARGO_PROFILE_RELEASE_PANIC", "abort")
            .env("CARGO_PROFILE_RELEASE_LTO", "fat")
            .env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "1")
            .env("CARGO_PROFILE_RELEASE_DEBUG", "false")
            .output()
            .map_err(|e| io_error(Path::new("cargo"), e))?;
        if !output.status.success() {
            return Err(BuildError::Compile {
                arch,
                message: String::from_utf8_lossy(&output.stderr).into_owned(),
            });
        }
        let folder = folder.join("nvptx64-nvidia-cuda/release");
        let modules = fs::read_dir(&folder).map_err(|e| io_error(&folder, e))?;
        modules
            .filter_map(Result::ok)
            .map(|e| e.path())
            .find(|p| p.extension().is_some_and(|x| x == "ptx"))
            .ok_or(BuildError::Compile {
                arch,
                message: format!("no .ptx file in {}", folder.display()),
            })
    }
}

fn io_error(path: &Path, source: std::io::Error) -> BuildError {
    BuildError::Io {
        path: path.to_path_buf(),
        source,
    }
}

/// Environment variables that cargo sets, or the user set, for the host build.
fn is_of_outer_build(name: &str) -> bool {
    let kept = ["CARGO_HOME", "CARGO_NET_", "CARGO_HTTP_", "CARGO_REGISTR"];
    name.starts_with("RUSTC")
        || name == "RUSTFLAGS"
        || name == "MAKEFLAGS"
        || name.starts_with("CARGO_") && !kept.iter().any(|k| name.starts_with(k))
}

/// The cargo target folder that holds `out`: the nearest folder above with one of the files that cargo marks it with.
fn target_folder(out: &Path) -> PathBuf {
    out.ancestors()
        .find(|folder| {
            ["CACHEDIR.TAG", ".rustc_info.json"]
                .iter()
                .any(|mark| folder.join(mark).exists())
        })
        .unwrap_or(out)
        .to_path_buf()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_outer_build_is_kept_out() {
        for name in [
            "RUSTC_WORKSPACE_WRAPPER",
            "RUSTFLAGS",
            "CARGO_ENCODED_RUSTFLAGS",
            "CARGO_TARGET_DIR",
        ] {
            assert!(is_of_outer_build(name), "{name}");
        }
        for name in ["CARGO_HOME", "PATH", "CARGO_NET_OFFLINE", "HOME"] {
            assert!(!is_of_outer_build(name), "{name}");
        }
    }
}
