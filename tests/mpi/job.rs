//! Jobs of several ranks in folders of their own.

use crate::runs::{command, fixture, succeeded, work_folder};
use material::{Need, skip};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// A job that cannot go on must end within this time.
pub const SOON: Duration = Duration::from_secs(30);

/// mpirun of so many ranks of our program.
fn mpirun(ranks: usize) -> Option<Command> {
    if Command::new("mpirun").arg("--version").output().is_err() {
        skip(Need::Mpi, "there is no mpirun");
        return None;
    }
    let mut command = Command::new("mpirun");
    // Options of Open MPI as variables, which other launchers ignore.
    for (name, value) in [
        ("OMPI_ALLOW_RUN_AS_ROOT", "1"),
        ("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1"),
        ("OMPI_MCA_rmaps_base_oversubscribe", "1"),
        ("OMPI_MCA_hwloc_base_binding_policy", "none"),
        ("OMPI_MCA_btl_vader_single_copy_mechanism", "none"),
    ] {
        command.env(name, value);
    }
    command
        .args(["-n", &ranks.to_string()])
        .arg(env!("CARGO_BIN_EXE_relion_refine_mpi"));
    Some(command)
}

fn inputs() -> [PathBuf; 3] {
    ["bundle.star", "bundle.mrcs", "bundle_truth1.mrc"].map(|f| fixture().join(f))
}

/// A job in a folder of its own.
pub struct Job {
    pub folder: tempfile::TempDir,
    pub root: String,
    pub words: Vec<String>,
}

impl Job {
    /// The reference run `name` of the fixture, with further options.
    pub fn of(name: &str, options: &str) -> Self {
        let mut words = command(&fixture().join(name));
        words.extend(["--j", "1"].map(String::from));
        words.extend(options.split_whitespace().map(String::from));
        let (folder, root) = work_folder(&inputs(), &words);
        Self {
            folder,
            root,
            words,
        }
    }

    pub fn command(&self, ranks: usize) -> Option<Command> {
        let mut command = mpirun(ranks)?;
        command.args(&self.words).current_dir(self.folder.path());
        Some(command)
    }

    pub fn run(&self, ranks: usize) -> Option<Output> {
        let output = self.command(ranks)?.output().unwrap();
        succeeded(&output);
        Some(output)
    }

    /// Start the job and read what it prints.
    pub fn start(&self, ranks: usize) -> Option<Child> {
        let mut command = self.command(ranks)?;
        Some(
            command
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap(),
        )
    }

    pub fn path(&self, suffix: &str) -> PathBuf {
        PathBuf::from(format!("{}{suffix}", self.root))
    }

    /// Wait for a file of the job.
    pub fn wait_for(&self, suffix: &str) {
        let begin = Instant::now();
        while !self.path(suffix).exists() {
            assert!(begin.elapsed().as_secs() < 300, "no {suffix}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// Process numbers of the ranks of a running job, by rank.
pub fn ranks_of(job: &Child) -> Vec<u32> {
    let mut ranks = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let Ok(process) = entry.file_name().to_string_lossy().parse::<u32>() else {
            continue;
        };
        let status = std::fs::read_to_string(entry.path().join("status")).unwrap_or_default();
        let parent = format!("PPid:\t{}\n", job.id());
        if !status.contains(&parent) || !status.contains("Name:\trelion_refine") {
            continue;
        }
        let variables = std::fs::read(entry.path().join("environ")).unwrap_or_default();
        let rank = String::from_utf8_lossy(&variables)
            .split('\0')
            .find_map(|v| {
                v.strip_prefix("OMPI_COMM_WORLD_RANK=")?
                    .parse::<usize>()
                    .ok()
            });
        ranks.extend(rank.map(|rank| (rank, process)));
    }
    ranks.sort_unstable();
    ranks.into_iter().map(|(_, process)| process).collect()
}

pub fn signal(process: u32, name: &str) {
    assert!(signal_if_alive(process, name), "kill -{name} {process}");
}

/// Whether there still was such a process.
pub fn signal_if_alive(process: u32, name: &str) -> bool {
    let status = Command::new("kill")
        .args([&format!("-{name}"), &process.to_string()])
        .status();
    status.unwrap().success()
}

/// Wait for a job that must not go on; its texts.
pub fn ends_soon(mut job: Child) -> (Output, Duration) {
    let begin = Instant::now();
    while job.try_wait().unwrap().is_none() {
        if begin.elapsed() > 2 * SOON {
            let _ = job.kill();
            panic!("the job has not ended");
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    (job.wait_with_output().unwrap(), begin.elapsed())
}

pub fn errors(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}
