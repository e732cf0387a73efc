//! Jobs of several ranks: mpirun on this machine. Without mpirun the tests say that they are left out.

mod runs;

use gerelion::formats::star::Document;
use gerelion::tools::compare::{CompareOptions, Comparison, compare_runs};
use runs::{Bounds, check, command, compare, fixture, number, succeeded, work_folder};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// As for a single process (tests/class3d.rs).
const FIRST: Bounds = Bounds {
    poses: 0.995,
    sigma2: 0.003,
    tau2: 0.03,
    pmax: 0.002,
    fsc: 0.999,
};
const LATER: Bounds = Bounds {
    poses: 0.98,
    ..FIRST
};
/// From several ranks, a map may differ by no more than rounding after one iteration.
const SAME_MAP: f64 = 0.9999;
/// A job that cannot go on must end within this time.
const SOON: Duration = Duration::from_secs(30);

/// mpirun of so many ranks of our program.
fn mpirun(ranks: usize) -> Option<Command> {
    if Command::new("mpirun").arg("--version").output().is_err() {
        println!("skipped: there is no mpirun");
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
struct Job {
    folder: tempfile::TempDir,
    root: String,
    words: Vec<String>,
}

impl Job {
    /// The reference run `name` of the fixture, with further options.
    fn of(name: &str, options: &str) -> Self {
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

    fn command(&self, ranks: usize) -> Option<Command> {
        let mut command = mpirun(ranks)?;
        command.args(&self.words).current_dir(self.folder.path());
        Some(command)
    }

    fn run(&self, ranks: usize) -> Option<Output> {
        let output = self.command(ranks)?.output().unwrap();
        succeeded(&output);
        Some(output)
    }

    /// Start the job and read what it prints.
    fn start(&self, ranks: usize) -> Option<Child> {
        let mut command = self.command(ranks)?;
        Some(
            command
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap(),
        )
    }

    fn path(&self, suffix: &str) -> PathBuf {
        PathBuf::from(format!("{}{suffix}", self.root))
    }

    /// Wait for a file of the job.
    fn wait_for(&self, suffix: &str) {
        let begin = Instant::now();
        while !self.path(suffix).exists() {
            assert!(begin.elapsed().as_secs() < 300, "no {suffix}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// Process numbers of the ranks of a running job, by rank.
fn ranks_of(job: &Child) -> Vec<u32> {
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

fn signal(process: u32, name: &str) {
    let status = Command::new("kill")
        .args([&format!("-{name}"), &process.to_string()])
        .status();
    assert!(status.unwrap().success(), "kill -{name} {process}");
}

/// Wait for a job that must not go on; its texts.
fn ends_soon(mut job: Child) -> (Output, Duration) {
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

fn errors(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Two jobs compared after an iteration.
fn compared(first: &Job, other: &Job, iteration: usize, half: Option<u8>) -> Comparison {
    let options = CompareOptions {
        symmetry: "C4".into(),
        step: 7.5,
        half,
    };
    let prefix = |job: &Job| format!("{}_it{iteration:03}", job.root);
    compare_runs(&prefix(first), &prefix(other), &options).unwrap()
}

/// Smallest FSC of the maps of two jobs up to the resolution of the first.
fn smallest_fsc(found: &Comparison) -> f64 {
    let maps = found.maps.iter().flatten();
    maps.map(|map| map.smallest_to_resolution)
        .fold(1.0, f64::min)
}

#[test]
fn any_number_of_ranks_classifies_as_the_reference_program() {
    let reference = fixture().join("class3d_c4");
    let mut first: Option<Job> = None;
    for ranks in [1, 2, 3, 5] {
        let job = Job::of("class3d_c4", "");
        let Some(output) = job.run(ranks) else { return };
        for iteration in 1..=3 {
            let bounds = if iteration == 1 { &FIRST } else { &LATER };
            let found = compare(&reference, &job.root, iteration, "C4");
            check(&found, bounds, iteration);
        }
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            text.contains(&format!("Number of processes: {ranks}\n")),
            "{text}"
        );
        assert_eq!(
            text.matches("Expectation iteration").count(),
            3,
            "one rank prints: {text}"
        );
        if let Some(first) = &first {
            let fsc = smallest_fsc(&compared(first, &job, 1, None));
            println!("{ranks} ranks and one: smallest FSC of iteration 1 {fsc}");
            assert!(fsc >= SAME_MAP, "{ranks} ranks: FSC {fsc}");
        } else {
            first = Some(job);
        }
    }
}

#[test]
fn any_number_of_ranks_refines_both_halves_alike() {
    let schedule = |job: &Job| -> Vec<(f64, f64, f64)> {
        (1..)
            .map(|i| format!("_it{i:03}_"))
            .take_while(|name| job.path(&format!("{name}optimiser.star")).exists())
            .map(|name| {
                let model = format!("{}{name}half1_model.star", job.root);
                let sampling = format!("{}{name}sampling.star", job.root);
                (
                    number(&model, "model_general", "rlnCurrentResolution"),
                    number(&model, "model_general", "rlnCurrentImageSize"),
                    number(&sampling, "sampling_general", "rlnHealpixOrder"),
                )
            })
            .collect()
    };
    // Three iterations: a single particle that finds another pose by rounding can change the schedule of later ones.
    let jobs: Vec<Job> = [1, 2, 3, 5]
        .into_iter()
        .map_while(|ranks| {
            let job = Job::of("refine3d_c4", "--auto_iter_max 3");
            job.run(ranks)?;
            Some(job)
        })
        .collect();
    let Some((first, others)) = jobs.split_first() else {
        return;
    };
    for job in others {
        assert_eq!(schedule(job), schedule(first));
        for half in [1, 2] {
            let fsc = smallest_fsc(&compared(first, job, 1, Some(half)));
            assert!(fsc >= SAME_MAP, "half {half}: FSC {fsc}");
        }
    }
}

/// What the other half-set holds is of no concern to a half: with the images of half 2 in another order, half 1 gives the
/// same map, on any number of ranks.
#[test]
fn no_particle_of_one_half_reaches_the_sums_of_the_other() {
    // Without the prior, which follows from the FSC of the halves.
    let options = "--auto_iter_max 1 --low_resol_join_halves -1 --no_map";
    for ranks in [1, 3] {
        let job = Job::of("refine3d_c4", options);
        if job.run(ranks).is_none() {
            return;
        }
        let table = Document::read(&job.path("_it001_data.star")).unwrap();
        let table = table.require("particles").unwrap();
        let names: Vec<&str> = (0..table.len())
            .filter(|&row| table.integer(row, "rlnRandomSubset").unwrap() == 2)
            .map(|row| table.text(row, "rlnImageName").unwrap())
            .collect();
        assert!(names.len() > 50);
        let turned = |name: &str| {
            let at = names.iter().position(|n| *n == name);
            at.map_or(name, |at| names[(at + 1) % names.len()])
                .to_owned()
        };
        let other = Job::of("refine3d_c4", options);
        let path = other.folder.path().join("bundle.star");
        let text = std::fs::read_to_string(&path).unwrap();
        let lines: Vec<String> = text
            .lines()
            .map(|line| line.split(' ').map(turned).collect::<Vec<_>>().join(" "))
            .collect();
        std::fs::write(&path, lines.join("\n") + "\n").unwrap();
        other.run(ranks).unwrap();
        let difference = |half| {
            let found = compared(&job, &other, 1, Some(half));
            found.maps[0].as_ref().unwrap().relative_l2
        };
        let (first, second) = (difference(1), difference(2));
        println!("{ranks} ranks: half 1 differs by {first:e}, half 2 by {second:e}");
        assert!(first < 1e-5 && second > 1e-2, "{first:e}, {second:e}");
    }
}

/// Iterations of jobs that are disturbed: enough to hit any of them.
const LONG: &str = "--iter 8 --pipeline_control job_";
const LAST: usize = 8;

/// A disturbed job, once continued, must come to what an undisturbed one gives.
fn check_end(undisturbed: &Job, job: &Job) {
    let root = newest_root(job);
    let folder = undisturbed.path("").parent().unwrap().to_owned();
    check(&compare(&folder, &root, LAST, "C4"), &LATER, LAST);
}

/// Root of the newest files of a job that may have been continued.
fn newest_root(job: &Job) -> String {
    (1..LAST)
        .map(|i| format!("{}_ct{i}", job.root))
        .find(|root| Path::new(&format!("{root}_it{LAST:03}_optimiser.star")).exists())
        .unwrap_or_else(|| job.root.clone())
}

/// Continue a job from its newest optimiser file, or start it again when there is none from an iteration.
fn finish(job: &mut Job, ranks: usize) {
    let newest = (1..=LAST)
        .rev()
        .map(|i| job.path(&format!("_it{i:03}_optimiser.star")))
        .find(|path| path.exists());
    if let Some(newest) = newest {
        let newest = newest.to_string_lossy().into_owned();
        job.words = ["--continue", &newest, "--j", "1"]
            .map(String::from)
            .to_vec();
    }
    job.run(ranks).unwrap();
}

impl Job {
    fn failed(&self) -> bool {
        self.folder
            .path()
            .join("job_RELION_JOB_EXIT_FAILURE")
            .exists()
    }
}

#[test]
fn a_killed_rank_ends_the_job_and_the_run_goes_on_from_its_files() {
    // More rounds with GERELION_KILLS; the moments spread over the run.
    let rounds: u64 = std::env::var("GERELION_KILLS").map_or(3, |n| n.parse().unwrap());
    let undisturbed = Job::of("class3d_c4", LONG);
    if undisturbed.run(2).is_none() {
        return;
    }
    for round in 0..rounds {
        let mut job = Job::of("class3d_c4", LONG);
        let running = job.start(2).unwrap();
        job.wait_for(&format!("_it{:03}_optimiser.star", round * 5 % 7));
        std::thread::sleep(Duration::from_millis(round * 37 % 300));
        let ranks = ranks_of(&running);
        let victims = match round % 3 {
            0 => vec![ranks[1]],
            1 => vec![ranks[0]],
            _ => ranks,
        };
        victims.iter().for_each(|&process| signal(process, "KILL"));
        let (output, time) = ends_soon(running);
        println!("round {round}: {} ended after {time:?}", victims.len());
        assert!(time < SOON, "{time:?}");
        assert!(!output.status.success());
        assert!(victims.len() == 2 || job.failed(), "{}", errors(&output));
        finish(&mut job, 2);
        check_end(&undisturbed, &job);
    }
}

#[test]
fn a_signal_ends_the_job_with_one_message_that_says_how_to_go_on() {
    for rank in [0, 1] {
        let job = Job::of("class3d_c4", LONG);
        let Some(running) = job.start(2) else { return };
        job.wait_for("_it002_optimiser.star");
        signal(ranks_of(&running)[rank], "TERM");
        let (output, time) = ends_soon(running);
        let text = errors(&output);
        assert!(
            time < SOON && !output.status.success() && job.failed(),
            "{text}"
        );
        assert_eq!(text.matches("ERROR:").count(), 1, "{text}");
        assert!(
            text.contains(&format!("rank {rank} of 2 ("))
                && text.contains("told to end by SIGTERM"),
            "{text}"
        );
        if rank == 0 {
            assert!(
                text.contains("--continue") && text.contains("_optimiser.star"),
                "{text}"
            );
        }
    }
}

#[test]
fn a_rank_that_hangs_is_named_with_its_stage() {
    for rank in [0, 1] {
        let job = Job::of(
            "class3d_c4",
            "--iter 8 --pipeline_control job_ --stall_limit 3",
        );
        let Some(running) = job.start(2) else { return };
        job.wait_for("_it001_optimiser.star");
        let ranks = ranks_of(&running);
        signal(ranks[rank], "STOP");
        let (output, time) = ends_soon(running);
        let text = errors(&output);
        assert!(
            time < SOON && !output.status.success() && job.failed(),
            "{text}"
        );
        assert!(
            text.contains(&format!("rank {rank} of 2 ("))
                && text.contains("has made no progress for"),
            "{text}"
        );
        assert!(text.contains("it was last seen in: "), "{text}");
    }
}

#[test]
fn an_image_that_cannot_be_read_on_one_rank_ends_all_of_them() {
    let job = Job::of("class3d_c4", &format!("{LONG} --nr_parts_sigma2noise 50"));
    // The last image, which belongs to the last rank, is no image; the noise is estimated from the first ones.
    let stack = job.folder.path().join("bundle.mrcs");
    let mut bytes = std::fs::read(&stack).unwrap();
    let end = bytes.len() - 4;
    bytes[end..].copy_from_slice(&f32::NAN.to_le_bytes());
    std::fs::write(&stack, bytes).unwrap();
    let Some(running) = job.start(3) else { return };
    let (output, time) = ends_soon(running);
    let text = errors(&output);
    assert!(
        time < SOON && !output.status.success() && job.failed(),
        "{text}"
    );
    assert_eq!(text.matches("ERROR:").count(), 1, "{text}");
    assert!(
        text.contains("rank 2 of 3 (") && text.contains("NaN"),
        "{text}"
    );
}

#[test]
fn the_scheduler_can_stop_a_job_of_several_ranks() {
    let job = Job::of("class3d_c4", LONG);
    let Some(running) = job.start(3) else { return };
    job.wait_for("_it001_optimiser.star");
    std::fs::write(job.folder.path().join("job_RELION_JOB_ABORT_NOW"), b"").unwrap();
    let (output, time) = ends_soon(running);
    assert!(time < SOON, "{time:?}");
    assert!(
        job.folder
            .path()
            .join("job_RELION_JOB_EXIT_ABORTED")
            .exists(),
        "{}",
        errors(&output)
    );
    assert!(!job.failed());
    assert_eq!(
        errors(&output).matches("ERROR:").count(),
        0,
        "{}",
        errors(&output)
    );
}

#[test]
fn a_full_disk_ends_the_job_and_the_run_goes_on_when_there_is_space() {
    let mut job = Job::of("class3d_c4", LONG);
    let output_folder = job.path("").parent().unwrap().to_owned();
    let mounted = Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=2m", "tmpfs"])
        .arg(&output_folder)
        .output();
    if !mounted.is_ok_and(|output| output.status.success()) {
        println!("skipped: a tmpfs cannot be mounted here");
        return;
    }
    let unmount = || Command::new("umount").arg(&output_folder).status().unwrap();
    let Some(running) = job.start(2) else {
        unmount();
        return;
    };
    let (output, time) = ends_soon(running);
    // Make space as a user would, keeping what was written.
    let kept = job.folder.path().join("kept");
    let copied = Command::new("cp")
        .arg("-r")
        .arg(&output_folder)
        .arg(&kept)
        .status();
    unmount();
    assert!(copied.unwrap().success());
    std::fs::remove_dir(&output_folder).unwrap();
    std::fs::rename(&kept, &output_folder).unwrap();
    let text = errors(&output);
    assert!(
        time < 2 * SOON && !output.status.success() && job.failed(),
        "{text}"
    );
    assert_eq!(text.matches("ERROR:").count(), 1, "{text}");
    assert!(text.contains("space"), "{text}");
    let undisturbed = Job::of("class3d_c4", LONG);
    undisturbed.run(2).unwrap();
    finish(&mut job, 2);
    check_end(&undisturbed, &job);
}
