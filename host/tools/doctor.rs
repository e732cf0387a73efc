//! Equipment of this machine: processor, memory, and the libraries that are loaded at run time.

use crate::comm;
use std::fmt;
use std::path::{Path, PathBuf};

/// One thing looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What.
    pub name: String,
    /// Whether it is as good as it can be.
    pub good: bool,
    /// Finding, and the remedy where it is not good.
    pub text: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let mark = if self.good { "ok " } else { "-- " };
        write!(f, "{mark}{:22} {}", self.name, self.text)
    }
}

fn finding(name: &str, good: bool, text: impl Into<String>) -> Finding {
    Finding {
        name: name.into(),
        good,
        text: text.into(),
    }
}

/// Look at everything; never fails.
pub fn examine() -> Vec<Finding> {
    let mut found = vec![features(), cores()];
    found.extend(memory(Path::new("/")));
    found.push(driver());
    let folders = library_folders();
    for (library, purpose) in LIBRARIES {
        found.push(match find_library(&folders, library) {
            Some(path) => finding(library, true, path.display().to_string()),
            None => finding(library, false, format!("not found: {purpose}")),
        });
    }
    found.push(blush());
    found.push(finding("python", true, "needed by --blush only"));
    found
}

/// The program of `--blush`.
fn blush() -> Finding {
    const PROGRAM: &str = "relion_python_blush";
    match comm::programs::find_program(PROGRAM) {
        Some(path) => finding(PROGRAM, true, path.display().to_string()),
        None => finding(
            PROGRAM,
            false,
            "not in PATH: --blush is not available; everything else works",
        ),
    }
}

/// Shared libraries that are loaded at run time, and what their absence means.
const LIBRARIES: [(&str, &str); 6] = [
    (
        "libcuda.so.1",
        "no NVIDIA driver, --gpu is not available; the CPU engine works",
    ),
    (
        "libcufft.so",
        "needed by --gpu only; part of the CUDA toolkit",
    ),
    (
        "libcublas.so",
        "needed by --gpu only; part of the CUDA toolkit",
    ),
    (
        "libcublasLt.so",
        "needed by --gpu only; part of the CUDA toolkit",
    ),
    (
        "libnccl.so",
        "several GPUs of a node sum through host memory without it",
    ),
    (
        "libmpi",
        "needed for runs over several nodes; install Open MPI or MPICH",
    ),
];

/// Instruction sets the CPU engine uses.
fn features() -> Finding {
    #[cfg(target_arch = "x86_64")]
    {
        let sets = [
            ("AVX2", is_x86_feature_detected!("avx2")),
            ("FMA", is_x86_feature_detected!("fma")),
            ("AVX-512F", is_x86_feature_detected!("avx512f")),
        ];
        let names: Vec<&str> = sets.iter().filter(|s| s.1).map(|s| s.0).collect();
        let good = sets[0].1 && sets[1].1;
        let text = if good {
            names.join(", ")
        } else {
            "no AVX2 with FMA: the CPU engine works, several times slower".to_string()
        };
        finding("instruction sets", good, text)
    }
    #[cfg(not(target_arch = "x86_64"))]
    finding("instruction sets", true, std::env::consts::ARCH)
}

/// Cores this process may use against cores of the machine: a pinned shell makes every thread share one core.
fn cores() -> Finding {
    let usable = std::thread::available_parallelism().map_or(1, |n| n.get());
    let online = comm::cores::online().unwrap_or(usable);
    if usable == 1 && online > 1 {
        let text = format!(
            "1 of {online} usable: all threads would share it; check taskset, the batch system or the container"
        );
        return finding("cores", false, text);
    }
    finding("cores", true, format!("{usable} of {online} usable"))
}

/// Memory of the machine, and the limits of the control groups that this process lies in. `root` is the file-system root
/// that /proc and /sys are looked for in.
fn memory(root: &Path) -> Vec<Finding> {
    let gib = |bytes: u64| format!("{:.1} GiB", bytes as f64 / f64::from(1u32 << 30));
    let info = std::fs::read_to_string(root.join("proc/meminfo")).unwrap_or_default();
    let mut found = Vec::new();
    if let (Some(total), Some(free)) = (meminfo(&info, "MemTotal"), meminfo(&info, "MemAvailable"))
    {
        found.push(finding(
            "memory",
            true,
            format!("{} free of {}", gib(free), gib(total)),
        ));
    }
    let limits = comm::memory::control_group_limits(root);
    let tightest = |limit: &&comm::memory::GroupLimit| limit.limit.saturating_sub(limit.used);
    if let Some(limit) = limits.iter().min_by_key(tightest) {
        let [all, left] = [limit.limit, tightest(&limit)].map(|bytes| gib(bytes as u64));
        let group = limit.group.display();
        let text = format!("{left} free of {all} in the control group {group}");
        found.push(finding("memory limit", true, text));
    }
    found
}

/// Bytes of an entry of `/proc/meminfo`.
fn meminfo(text: &str, key: &str) -> Option<u64> {
    let line = text.lines().find(|l| l.split(':').next() == Some(key))?;
    let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib * 1024)
}

fn driver() -> Finding {
    match std::fs::read_to_string("/proc/driver/nvidia/version") {
        Ok(text) => finding(
            "NVIDIA driver",
            true,
            text.lines().next().unwrap_or_default().trim(),
        ),
        Err(_) => finding(
            "NVIDIA driver",
            false,
            "not loaded: --gpu is not available; the CPU engine works",
        ),
    }
}

/// Folders that the dynamic linker and CUDA installations use.
fn library_folders() -> Vec<PathBuf> {
    let mut folders: Vec<PathBuf> = std::env::var_os("LD_LIBRARY_PATH")
        .map(|paths| std::env::split_paths(&paths).collect())
        .unwrap_or_default();
    let mut configuration = vec![PathBuf::from("/etc/ld.so.conf")];
    if let Ok(entries) = std::fs::read_dir("/etc/ld.so.conf.d") {
        configuration.extend(entries.flatten().map(|e| e.path()));
    }
    for file in configuration {
        let text = std::fs::read_to_string(file).unwrap_or_default();
        folders.extend(
            text.lines()
                .map(str::trim)
                .filter(|l| l.starts_with('/'))
                .map(PathBuf::from),
        );
    }
    let usual = [
        "/lib/x86_64-linux-gnu",
        "/usr/lib/x86_64-linux-gnu",
        "/usr/lib64",
        "/usr/lib",
        "/usr/local/lib",
        "/usr/local/cuda/lib64",
    ];
    folders.extend(usual.map(PathBuf::from));
    folders
}

/// First file in the folders whose name begins with `library` followed by nothing, a dot or a version.
fn find_library(folders: &[PathBuf], library: &str) -> Option<PathBuf> {
    let matches = |path: &Path| {
        path.file_name()
            .and_then(|n| n.to_str())
            .and_then(|n| n.strip_prefix(library))
            .is_some_and(|rest| {
                rest.is_empty()
                    || rest.starts_with('.')
                    || rest.starts_with("_abi")
                    || rest.starts_with("ch.so")
            })
    };
    folders.iter().find_map(|folder| {
        let mut hits: Vec<PathBuf> = std::fs::read_dir(folder)
            .ok()?
            .flatten()
            .map(|e| e.path())
            .filter(|p| matches(p) && p.to_string_lossy().contains(".so"))
            .collect();
        hits.sort();
        hits.into_iter().next()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::comm::memory::fixtures::Machine;

    #[test]
    fn memory_entries_are_found_by_their_whole_name() {
        let text = "MemTotal:       2048 kB\nMemAvailable:   1024 kB\n";
        assert_eq!(meminfo(text, "MemTotal"), Some(2048 * 1024));
        assert_eq!(meminfo(text, "Mem"), None);
    }

    /// The limit of a batch job is that of a group above the one of its step (version 2), or of its own (version 1).
    #[test]
    fn the_limit_is_that_of_the_control_group_that_the_process_is_in() {
        let job = "sys/fs/cgroup/slurm/job_7";
        let machine = Machine::with_free(8 << 30)
            .write("proc/self/cgroup", "0::/slurm/job_7/step_0\n")
            .write("sys/fs/cgroup/memory.max", "8589934592\n")
            .write("sys/fs/cgroup/memory.current", "0\n")
            .write(&format!("{job}/step_0/memory.max"), "max\n")
            .write(&format!("{job}/memory.max"), "3221225472\n")
            .write(&format!("{job}/memory.current"), "1073741824\n");
        let found = memory(machine.root());
        assert_eq!(found.len(), 2, "{found:?}");
        let text = &found[1].text;
        assert!(text.starts_with("2.0 GiB free of 3.0 GiB in"), "{text}");
        assert!(text.ends_with("/sys/fs/cgroup/slurm/job_7"), "{text}");

        let group = "sys/fs/cgroup/memory/pbs/9";
        let machine = Machine::with_free(8 << 30)
            .write("proc/self/cgroup", "3:cpu,memory:/pbs/9\n")
            .write(&format!("{group}/memory.limit_in_bytes"), "1073741824\n")
            .write(&format!("{group}/memory.usage_in_bytes"), "0\n");
        let text = &memory(machine.root())[1].text;
        assert!(text.starts_with("1.0 GiB free of 1.0 GiB in"), "{text}");
        assert!(text.ends_with(group), "{text}");
        assert_eq!(memory(Machine::with_free(1 << 30).root()).len(), 1);
    }

    #[test]
    fn libraries_are_found_by_name_and_not_by_a_longer_one() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["libcublasLt.so.12", "libmpich.so.12", "libcublas.a"] {
            std::fs::write(folder.path().join(name), "").unwrap();
        }
        let folders = [folder.path().to_path_buf()];
        assert!(find_library(&folders, "libcublasLt.so").is_some());
        assert!(find_library(&folders, "libcublas.so").is_none());
        assert!(find_library(&folders, "libmpi").is_some());
    }

    #[test]
    fn examination_never_fails_and_says_what_absence_means() {
        for f in examine() {
            assert!(!f.text.is_empty(), "{}", f.name);
        }
    }
}
