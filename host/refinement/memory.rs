//! How much host memory the expectation step may take, and images that are kept.

use std::fs;
use std::path::Path;

/// Enough for boxes up to [`SMALL_BOX`] pixels.
const SMALL_BUDGET: usize = 400 << 20;
const SMALL_BOX: usize = 128;
/// Never ask for less than this, however little is free.
const LEAST: usize = 64 << 20;

/// Bytes for the batches of an engine on this machine: 400 MB for boxes up to 128 pixels and in proportion to the image
/// area above, but at most half of what is free (memory of the machine or of the control group, whichever is less),
/// divided among the `ranks` on the machine. `root` is the file-system root that /proc and /sys are looked for in.
pub fn engine_budget(box_size: usize, ranks: usize, root: &Path) -> usize {
    let wanted = SMALL_BUDGET * (box_size * box_size).div_ceil(SMALL_BOX * SMALL_BOX);
    match free(root) {
        Some(free) => wanted.min(free / 2 / ranks.max(1)).max(LEAST),
        None => wanted,
    }
}

/// Bytes in which images may be kept between iterations: a quarter of what is free; 0 where that is not known.
pub fn image_budget(root: &Path) -> usize {
    free(root).map_or(0, |free| free / 4)
}

fn free(root: &Path) -> Option<usize> {
    let machine = fs::read_to_string(root.join("proc/meminfo"))
        .ok()
        .and_then(|text| available(&text));
    let number = |name: &str| -> Option<usize> {
        let text = fs::read_to_string(root.join("sys/fs/cgroup").join(name)).ok()?;
        text.trim().parse().ok()
    };
    let group = number("memory.max")
        .zip(number("memory.current"))
        .map(|(limit, used)| limit.saturating_sub(used));
    machine.into_iter().chain(group).min()
}

fn available(meminfo: &str) -> Option<usize> {
    let line = meminfo.lines().find(|l| l.starts_with("MemAvailable:"))?;
    let kilobytes: usize = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kilobytes << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(available_kb: usize, limit: &str, used: &str) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: String| {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write(
            "proc/meminfo",
            format!("MemTotal: 99999999 kB\nMemAvailable:   {available_kb} kB\n"),
        );
        write("sys/fs/cgroup/memory.max", limit.into());
        write("sys/fs/cgroup/memory.current", used.into());
        dir
    }

    #[test]
    fn the_tighter_of_machine_and_control_group_counts() {
        let roomy = machine(64 << 20, "max\n", "1000\n");
        assert_eq!(engine_budget(64, 1, roomy.path()), SMALL_BUDGET);
        assert_eq!(engine_budget(256, 1, roomy.path()), 4 * SMALL_BUDGET);
        let group = machine(64 << 20, "524288000\n", "104857600\n");
        let half = (524288000 - 104857600) / 2;
        assert_eq!(engine_budget(64, 1, group.path()), half);
        assert_eq!(engine_budget(64, 2, group.path()), half / 2);
        let full = machine(1000, "max\n", "1000\n");
        assert_eq!(engine_budget(64, 1, full.path()), LEAST);
    }

    #[test]
    fn machines_without_such_files_get_what_is_wanted() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(engine_budget(64, 1, dir.path()), SMALL_BUDGET);
        assert_eq!(image_budget(dir.path()), 0);
    }
}
