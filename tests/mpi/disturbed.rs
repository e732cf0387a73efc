//! Jobs that are killed, signalled, stopped, given a bad image or a full disk: they end soon, say why, and can be continued.

use crate::job::{Job, SOON, ends_soon, errors, ranks_of, signal, signal_if_alive};
use crate::results::LATER;
use crate::runs::{check, compare};
use material::{Need, skip};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

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

/// Disturbance of a job of two ranks.
#[derive(Debug, Clone, Copy)]
enum Blow {
    /// This rank is killed.
    Rank(usize),
    /// Both ranks are killed.
    All,
    /// The disk of the output is full.
    FullDisk,
}

const BLOWS: [Blow; 4] = [Blow::Rank(1), Blow::FullDisk, Blow::All, Blow::Rank(0)];

/// A small disk of memory in the place of a folder; unmounted when dropped.
struct SmallDisk(PathBuf);

impl SmallDisk {
    /// None, with a message, where none can be mounted.
    fn mount(folder: &Path) -> Option<Self> {
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=64m", "tmpfs"])
            .arg(folder)
            .output();
        if mounted.is_ok_and(|output| output.status.success()) {
            return Some(Self(folder.to_owned()));
        }
        skip(Need::Privileges, "a tmpfs cannot be mounted here");
        None
    }

    /// Takes all space that is left.
    fn fill(&self) {
        let mut file = fs::File::create(self.0.join("filler")).unwrap();
        while file.write_all(&[1; 1 << 12]).is_ok() {}
    }

    fn make_space(&self) {
        fs::remove_file(self.0.join("filler")).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

/// Fractions of a run, spread without a pattern.
fn moments() -> impl Iterator<Item = f64> {
    (1..).map(|n: u64| (n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 11) as f64 / (1u64 << 53) as f64)
}

/// Both ranks of a job, once they run.
fn both_ranks(job: &Child) -> Vec<u32> {
    let begin = Instant::now();
    loop {
        let ranks = ranks_of(job);
        if ranks.len() == 2 {
            return ranks;
        }
        assert!(begin.elapsed() < SOON, "the ranks did not start");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Whether the blow hit a job that was still running, which has then ended as it must.
fn strikes(blow: Blow, moment: Duration, job: &Job, disk: Option<&SmallDisk>) -> bool {
    let mut running = job.start(2).unwrap();
    let ranks = both_ranks(&running);
    std::thread::sleep(moment);
    if running.try_wait().unwrap().is_some() {
        return false;
    }
    // A process may end, or be ended by the launcher, before its own blow.
    match blow {
        Blow::Rank(rank) => _ = signal_if_alive(ranks[rank], "KILL"),
        Blow::All => {
            for process in ranks {
                signal_if_alive(process, "KILL");
            }
        }
        Blow::FullDisk => disk.unwrap().fill(),
    }
    let (output, time) = ends_soon(running);
    let text = errors(&output);
    println!("{blow:?} after {moment:?}: ended after {time:?}");
    if output.status.success() {
        return false;
    }
    assert!(time < SOON, "{time:?}\n{text}");
    match blow {
        Blow::All => {}
        Blow::Rank(_) => assert!(job.failed(), "{text}"),
        Blow::FullDisk => {
            assert!(job.failed() && text.contains("space"), "{text}");
            assert!(text.contains("ERROR:\nGR-0209: "), "{text}");
            assert_eq!(text.matches("ERROR:").count(), 1, "{text}");
            disk.unwrap().make_space();
        }
    }
    true
}

#[test]
fn whatever_kills_a_job_at_any_moment_the_run_goes_on_from_its_files() {
    // More rounds with GERELION_KILLS.
    let rounds = std::env::var("GERELION_KILLS").map_or(4, |n| n.parse().unwrap());
    let undisturbed = Job::of("class3d_c4", LONG);
    let begin = Instant::now();
    if undisturbed.run(2).is_none() {
        return;
    }
    let whole = begin.elapsed();
    for (round, mut fraction) in moments().enumerate().take(rounds) {
        let blow = BLOWS[round % BLOWS.len()];
        loop {
            let mut job = Job::of("class3d_c4", LONG);
            let disk = match blow {
                Blow::FullDisk => SmallDisk::mount(job.path("").parent().unwrap()),
                _ => None,
            };
            if matches!(blow, Blow::FullDisk) && disk.is_none() {
                break;
            }
            if strikes(blow, whole.mul_f64(fraction), &job, disk.as_ref()) {
                finish(&mut job, 2);
                check_end(&undisturbed, &job);
                break;
            }
            // It came too late: the job was done.
            fraction *= 0.8;
        }
    }
}

/// The texts of a job that ends before long, as one that has failed.
fn fails_soon(job: &Job, running: Child) -> String {
    let (output, time) = ends_soon(running);
    let text = errors(&output);
    assert!(
        time < SOON && !output.status.success() && job.failed(),
        "{text}"
    );
    text
}

#[test]
fn a_signal_ends_the_job_with_one_message_that_says_how_to_go_on() {
    for rank in [0, 1] {
        let job = Job::of("class3d_c4", LONG);
        let Some(running) = job.start(2) else { return };
        job.wait_for("_it002_optimiser.star");
        signal(ranks_of(&running)[rank], "TERM");
        let text = fails_soon(&job, running);
        assert_eq!(text.matches("ERROR:").count(), 1, "{text}");
        assert!(
            text.contains(&format!("ERROR:\nGR-0606: rank {rank} of 2 ("))
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

/// A launcher that is killed takes the ranks with it, which are those who can leave the marker.
#[test]
fn a_job_whose_launcher_is_killed_ends_and_leaves_the_failure_marker() {
    let job = Job::of("class3d_c4", LONG);
    let Some(mut running) = job.start(2) else {
        return;
    };
    job.wait_for("_it001_optimiser.star");
    let ranks = both_ranks(&running);
    running.kill().unwrap();
    running.wait().unwrap();
    let begin = Instant::now();
    let alive = |rank: &u32| Path::new(&format!("/proc/{rank}")).exists();
    while !job.failed() || ranks.iter().any(alive) {
        assert!(
            begin.elapsed() < SOON,
            "marker: {}, ranks: {ranks:?}",
            job.failed()
        );
        std::thread::sleep(Duration::from_millis(20));
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
        let text = fails_soon(&job, running);
        assert!(
            text.contains(&format!("GR-0603: rank {rank} of 2 ("))
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
    let text = fails_soon(&job, running);
    assert_eq!(text.matches("ERROR:").count(), 1, "{text}");
    assert!(
        text.contains("ERROR:\nGR-0305: rank 2 of 3 (") && text.contains("NaN"),
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
