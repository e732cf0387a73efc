//! How much memory this process may still take: what is free on the machine, and the limits of control groups (versions 1
//! and 2), of the shell (`ulimit -v`, `ulimit -d`) and of Slurm, whichever leaves least.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

/// Limits from here on mean none.
const NO_LIMIT: usize = 1 << 60;

/// Bytes that this process may still take as one of `ranks` on the machine; None where nothing is known. `root` is the
/// file-system root that /proc and /sys are looked for in.
pub fn free(ranks: usize, root: &Path) -> Option<usize> {
    free_in(ranks, root, |name| env::var(name).ok())
}

/// As [`free`], with an environment of its own.
fn free_in(ranks: usize, root: &Path, variable: impl Fn(&str) -> Option<String>) -> Option<usize> {
    let shared = of_machine(root)
        .into_iter()
        .chain(of_control_groups(root))
        .chain(of_slurm(root, ranks, variable))
        .min();
    let own = of_shell(root);
    shared
        .map(|bytes| bytes / ranks.max(1))
        .into_iter()
        .chain(own)
        .min()
}

/// Returns the memory that the kernel reports as available.
fn of_machine(root: &Path) -> Option<usize> {
    kilobytes(&root.join("proc/meminfo"), "MemAvailable:")
}

/// Returns the remainders of the limits of this process's control group and of all groups that it lies in.
fn of_control_groups(root: &Path) -> impl Iterator<Item = usize> {
    control_group_limits(root)
        .into_iter()
        .map(|group| group.limit.saturating_sub(group.used))
}

/// A control group that limits the memory of this process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupLimit {
    /// Its folder.
    pub group: PathBuf,
    /// Bytes that all processes in it may take.
    pub limit: usize,
    /// Bytes that they take, less pages of files that the kernel drops when it needs them.
    pub used: usize,
}

/// Returns the limits of this process's control group and of all groups that it lies in, of both versions. `root` is the
/// file-system root that /proc and /sys are looked for in.
pub fn control_group_limits(root: &Path) -> Vec<GroupLimit> {
    let mounts = root.join("sys/fs/cgroup");
    let mut found: Vec<GroupLimit> = Vec::new();
    let text = fs::read_to_string(root.join("proc/self/cgroup")).unwrap_or_default();
    // Without that file, or in a container that shows its own group as the root, the root's files are the ones.
    let root_groups = ["0::/", "0:memory:/"].into_iter();
    for line in text.lines().chain(root_groups) {
        let mut fields = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (fields.next(), fields.next()) else {
            continue;
        };
        let places: &[(&str, &Version)] = if controllers.is_empty() {
            &[("", &VERSION_2), ("unified", &VERSION_2)]
        } else if controllers.split(',').any(|name| name == "memory") {
            &[("memory", &VERSION_1)]
        } else {
            &[]
        };
        for (mount, version) in places {
            let group = mounts.join(mount).join(path.trim_start_matches('/'));
            let groups = group
                .ancestors()
                .take_while(|g| g.starts_with(mounts.join(mount)));
            for limit in groups.filter_map(|group| version.limit(group)) {
                if found.iter().all(|known| known.group != limit.group) {
                    found.push(limit);
                }
            }
        }
    }
    found
}

/// Names of the files of a version of control groups.
struct Version {
    limit: &'static str,
    used: &'static str,
    /// In memory.stat: pages of files that the kernel drops when it needs them.
    droppable: &'static str,
}

const VERSION_1: Version = Version {
    limit: "memory.limit_in_bytes",
    used: "memory.usage_in_bytes",
    droppable: "total_inactive_file",
};

const VERSION_2: Version = Version {
    limit: "memory.max",
    used: "memory.current",
    droppable: "inactive_file",
};

impl Version {
    /// The limit of a group; None without one.
    fn limit(&self, group: &Path) -> Option<GroupLimit> {
        let number = |name: &str| -> Option<usize> {
            fs::read_to_string(group.join(name))
                .ok()?
                .trim()
                .parse()
                .ok()
        };
        let limit = number(self.limit).filter(|&bytes| bytes < NO_LIMIT)?;
        let stat = fs::read_to_string(group.join("memory.stat")).unwrap_or_default();
        let droppable = stat
            .lines()
            .find_map(|line| line.strip_prefix(self.droppable)?.trim().parse().ok())
            .unwrap_or(0);
        Some(GroupLimit {
            group: group.components().collect(),
            limit,
            used: number(self.used)?.saturating_sub(droppable),
        })
    }
}

/// Returns the remainder of the process's own limits of address space and data.
fn of_shell(root: &Path) -> Option<usize> {
    let limits = fs::read_to_string(root.join("proc/self/limits")).ok()?;
    let status = root.join("proc/self/status");
    let left = |limit: &str, used: &str| -> Option<usize> {
        let line = limits.lines().find_map(|line| line.strip_prefix(limit))?;
        // "unlimited" is no number.
        let bytes: usize = line.split_whitespace().next()?.parse().ok()?;
        Some(bytes.saturating_sub(kilobytes(&status, used)?))
    };
    left("Max address space", "VmSize:")
        .into_iter()
        .chain(left("Max data size", "VmData:"))
        .min()
}

/// Returns the memory that Slurm has allocated to the job on this machine, less what this process takes, as one of `ranks` alike.
fn of_slurm(root: &Path, ranks: usize, variable: impl Fn(&str) -> Option<String>) -> Option<usize> {
    let number = |name: &str| -> Option<usize> {
        variable(name)?
            .trim()
            .parse()
            .ok()
            .filter(|&number| number > 0)
    };
    let per = |memory: &str, count: &str| Some(number(memory)? * number(count)?);
    let mebibytes = number("SLURM_MEM_PER_NODE")
        .or_else(|| per("SLURM_MEM_PER_CPU", "SLURM_CPUS_ON_NODE"))
        .or_else(|| per("SLURM_MEM_PER_GPU", "SLURM_GPUS_ON_NODE"))?;
    let used = kilobytes(&root.join("proc/self/status"), "VmRSS:").unwrap_or(0);
    Some((mebibytes << 20).saturating_sub(used * ranks.max(1)))
}

/// The bytes of a line such as "VmRSS:  1234 kB".
fn kilobytes(file: &PathBuf, label: &str) -> Option<usize> {
    let text = fs::read_to_string(file).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(label))?;
    let kilobytes: usize = line.split_whitespace().next()?.parse().ok()?;
    Some(kilobytes << 10)
}

#[cfg(test)]
pub mod fixtures {
    //! A file-system root of a machine that is not this one.

    use std::fs;
    use std::path::Path;

    pub struct Machine(tempfile::TempDir);

    impl Machine {
        pub fn with_free(bytes: usize) -> Self {
            let machine = Self(tempfile::tempdir().unwrap());
            let kilobytes = bytes >> 10;
            machine.write(
                "proc/meminfo",
                &format!("MemTotal: 99999999 kB\nMemAvailable:   {kilobytes} kB\n"),
            )
        }

        pub fn write(self, name: &str, text: &str) -> Self {
            let path = self.0.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
            self
        }

        pub fn root(&self) -> &Path {
            self.0.path()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::fixtures::Machine;
    use super::*;

    const MIB: usize = 1 << 20;

    fn machine() -> Machine {
        Machine::with_free(64 << 30)
    }

    fn free_of(machine: &Machine) -> usize {
        free_in(1, machine.root(), |_| None).unwrap()
    }

    #[test]
    fn the_root_group_of_a_container_counts() {
        let machine = machine()
            .write("sys/fs/cgroup/memory.max", "524288000\n")
            .write("sys/fs/cgroup/memory.current", "104857600\n");
        assert_eq!(free_of(&machine), 400 * MIB);
        let unlimited = machine.write("sys/fs/cgroup/memory.max", "max\n");
        assert_eq!(free_of(&unlimited), 64 << 30);
    }

    /// The limit of a batch job is that of a group above the one of its step.
    #[test]
    fn the_tightest_of_nested_groups_counts() {
        let job = "sys/fs/cgroup/system.slice/slurmstepd.scope/job_7";
        let machine = machine()
            .write(
                "proc/self/cgroup",
                "0::/system.slice/slurmstepd.scope/job_7/step_0/user\n",
            )
            .write(&format!("{job}/step_0/user/memory.max"), "max\n")
            .write(&format!("{job}/step_0/user/memory.current"), "1048576\n")
            .write(&format!("{job}/memory.max"), "367001600\n")
            .write(&format!("{job}/memory.current"), "104857600\n")
            .write(
                &format!("{job}/memory.stat"),
                "anon 1\ninactive_file 52428800\n",
            )
            .write("sys/fs/cgroup/system.slice/memory.max", "1048576000\n")
            .write("sys/fs/cgroup/system.slice/memory.current", "0\n");
        assert_eq!(free_of(&machine), 300 * MIB);
    }

    #[test]
    fn groups_of_version_1_count_beside_those_of_version_2() {
        let group = "sys/fs/cgroup/memory/slurm/uid_0/job_7";
        let machine = machine()
            .write(
                "proc/self/cgroup",
                "5:cpuset:/slurm\n4:cpu,memory:/slurm/uid_0/job_7\n0::/\n",
            )
            .write(&format!("{group}/memory.limit_in_bytes"), "367001600\n")
            .write(&format!("{group}/memory.usage_in_bytes"), "209715200\n")
            .write(
                &format!("{group}/memory.stat"),
                "inactive_file 0\ntotal_inactive_file 104857600\n",
            )
            .write(
                "sys/fs/cgroup/memory/memory.limit_in_bytes",
                "9223372036854771712\n",
            )
            .write("sys/fs/cgroup/memory/memory.usage_in_bytes", "5\n");
        assert_eq!(free_of(&machine), 250 * MIB);
    }

    #[test]
    fn limits_of_the_shell_count_for_each_rank() {
        let machine = machine()
            .write(
                "proc/self/limits",
                "Limit                     Soft Limit           Hard Limit           Units\n\
                 Max data size             unlimited            unlimited            bytes\n\
                 Max address space         367001600            unlimited            bytes\n",
            )
            .write("proc/self/status", "VmSize:\t  102400 kB\nVmData:\t 1 kB\n");
        assert_eq!(free_of(&machine), 250 * MIB);
        assert_eq!(free_in(8, machine.root(), |_| None), Some(250 * MIB));
    }

    #[test]
    fn what_slurm_gives_is_shared_by_the_ranks() {
        let machine = machine().write("proc/self/status", "VmRSS:\t  51200 kB\n");
        let with = |variables: &[(&str, &str)]| {
            let found = |name: &str| {
                let value = variables.iter().find(|(n, _)| *n == name)?.1;
                Some(value.to_owned())
            };
            free_in(2, machine.root(), found).unwrap()
        };
        assert_eq!(with(&[("SLURM_MEM_PER_NODE", "400")]), 150 * MIB);
        let per_cpu = [("SLURM_MEM_PER_CPU", "100"), ("SLURM_CPUS_ON_NODE", "6")];
        assert_eq!(with(&per_cpu), 250 * MIB);
        assert_eq!(
            with(&[("SLURM_MEM_PER_NODE", "0")]),
            32 << 30,
            "all of the machine"
        );
    }
}
