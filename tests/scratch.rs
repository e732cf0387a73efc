//! `--scratch_dir` from files to files: what is copied, what is used again, what is left.

mod runs;

use runs::{command, fixture, succeeded, work_folder};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// A folder of input and output, and one for copies.
struct Run {
    folder: tempfile::TempDir,
    scratch: tempfile::TempDir,
    root: String,
    words: Vec<String>,
}

impl Run {
    /// One iteration of the fixture.
    fn new() -> Self {
        let data = fixture();
        let mut words = command(&data.join("class3d_c4"));
        words.retain(|word| word != "--preread_images");
        words.extend(["--iter", "1"].map(String::from));
        let inputs = ["bundle.star", "bundle.mrcs", "bundle_truth1.mrc"].map(|f| data.join(f));
        let (folder, root) = work_folder(&inputs, &words);
        Self {
            folder,
            scratch: tempfile::tempdir().unwrap(),
            root,
            words,
        }
    }

    /// The program with further options; `SCRATCH` stands for the folder of copies.
    fn program(&self, options: &str) -> Command {
        let scratch = self.scratch.path().to_string_lossy().into_owned();
        let mut command = Command::new(env!("CARGO_BIN_EXE_relion_refine"));
        command
            .args(&self.words)
            .args(options.replace("SCRATCH", &scratch).split_whitespace())
            .current_dir(self.folder.path());
        command
    }

    fn run(&self, options: &str) -> Output {
        let output = self.program(options).output().unwrap();
        succeeded(&output);
        output
    }

    fn start(&self, options: &str) -> Child {
        let mut program = self.program(options);
        let program = program.stdout(Stdio::piped()).stderr(Stdio::piped());
        program.spawn().unwrap()
    }

    /// Poses and map of the run.
    fn result(&self) -> [Vec<u8>; 2] {
        result(&self.root)
    }

    /// The copies in the folder of this user.
    fn copies(&self) -> Vec<PathBuf> {
        copies(self.scratch.path())
    }
}

/// Poses and map of a run, without the header of the map, which holds the time.
fn result(root: &str) -> [Vec<u8>; 2] {
    let read = |file: &str| fs::read(format!("{root}_it001_{file}")).unwrap();
    [read("data.star"), read("class001.mrc").split_off(1024)]
}

/// Lists the folder of this user, without the lock.
fn copies(scratch: &Path) -> Vec<PathBuf> {
    let Some(folder) = fs::read_dir(scratch).unwrap().next() else {
        return Vec::new();
    };
    let entries = fs::read_dir(folder.unwrap().path()).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    // The seal of a copy goes with it.
    let is_seal = |path: &Path| {
        path.extension().is_some_and(|end| end == "seal") && path.with_extension("").exists()
    };
    paths
        .filter(|path| !path.ends_with("users.lock") && !is_seal(path))
        .collect()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[test]
fn copies_give_the_same_result_and_are_removed_kept_or_used_again() {
    let run = Run::new();
    run.run("");
    let expected = run.result();
    let output = run.run("--scratch_dir SCRATCH --keep_free_scratch 0");
    assert!(said(&output).contains("Copying particles to scratch directory"));
    assert!(run.result() == expected);
    assert!(run.copies().is_empty(), "removed at the end");

    run.run("--scratch_dir SCRATCH --keep_free_scratch 0 --keep_scratch");
    let [copy] = run.copies().try_into().unwrap();
    let stack = run.folder.path().join("bundle.mrcs");
    assert!(
        fs::read(&copy).unwrap() == fs::read(&stack).unwrap(),
        "byte for byte, in the precision of the stack"
    );

    // The copy is what is read: an image spoilt in the stack is no error, where no block is compared.
    let bytes = fs::read(&stack).unwrap();
    let time = fs::metadata(&stack).unwrap().modified().unwrap();
    let mut spoilt = bytes.clone();
    spoilt[20_000..20_004].copy_from_slice(&f32::NAN.to_le_bytes());
    let write_stack = |bytes: &[u8]| {
        fs::write(&stack, bytes).unwrap();
        let file = fs::File::options().write(true).open(&stack).unwrap();
        file.set_modified(time).unwrap();
    };
    write_stack(&spoilt);
    run.run("--scratch_dir SCRATCH --reuse_scratch --keep_scratch");
    assert!(run.result() == expected);
    write_stack(&bytes);

    // A copy that was written to is not used, and is made again where that is allowed.
    let fill = |copy: &Path| fs::write(copy, vec![0; bytes.len()]).unwrap();
    for (options, words) in [
        (
            "--scratch_dir SCRATCH --reuse_scratch --keep_scratch",
            "no copies to use again on",
        ),
        (
            "--scratch_dir SCRATCH --keep_free_scratch 0 --keep_scratch",
            "is not as it was made",
        ),
    ] {
        fill(&copy);
        let output = run.run(options);
        assert!(said(&output).contains(words), "{}", said(&output));
        assert!(run.result() == expected);
    }
    assert!(fs::read(&copy).unwrap() == bytes);

    // A stack of another time is another stack.
    let file = fs::File::options().write(true).open(&stack).unwrap();
    file.set_modified(std::time::UNIX_EPOCH).unwrap();
    let output = run.run("--scratch_dir SCRATCH --reuse_scratch --keep_scratch");
    assert!(said(&output).contains("will be read from where they are"));
    assert!(run.result() == expected);
    assert_eq!(run.copies(), [copy], "none is made");
}

#[test]
fn a_disk_without_room_is_left_alone() {
    let run = Run::new();
    let output = run.run("--scratch_dir SCRATCH --keep_free_scratch 1e9");
    assert!(said(&output).contains("scratch space full on"));
    assert!(run.copies().is_empty());
    let output = run.program("--scratch_dir SCRATCH/none").output().unwrap();
    assert!(!output.status.success() && said(&output).contains("--scratch_dir"));
    // Images in memory need no copies.
    run.run("--scratch_dir SCRATCH --keep_free_scratch 0 --keep_scratch --preread_images");
    assert!(run.copies().is_empty());
}

#[test]
fn jobs_that_share_a_folder_use_one_copy_until_the_last_has_left() {
    let run = Run::new();
    run.run("");
    let expected = run.result();
    let options = "--scratch_dir SCRATCH --keep_free_scratch 0";
    let outputs = ["one", "two", "three"].map(|name| {
        fs::create_dir(run.folder.path().join(name)).unwrap();
        let job = run.start(&format!("{options} --o {name}/run"));
        (name, job)
    });
    for (name, job) in outputs {
        succeeded(&job.wait_with_output().unwrap());
        let root = run.folder.path().join(name).join("run");
        assert!(result(&root.to_string_lossy()) == expected, "{name}");
    }
    assert!(run.copies().is_empty());
}

/// Stacks that a killed job had copied are not copied again.
#[test]
fn a_copy_that_was_interrupted_goes_on() {
    let run = Run::new();
    run.run("--scratch_dir SCRATCH --keep_free_scratch 0 --keep_scratch");
    let [copy] = run.copies().try_into().unwrap();
    let mut bytes = fs::read(&copy).unwrap();
    // As if the job had been killed in the middle, and with a mark to know the first part by: a value of the last image.
    let kept = bytes.len() - 8;
    bytes[kept - 4..kept].copy_from_slice(&7f32.to_le_bytes());
    let beside = |end: &str| PathBuf::from(format!("{}.{end}", copy.display()));
    for (name, bytes) in [
        (beside("part"), &bytes[..kept]),
        (beside("synced"), kept.to_string().as_bytes()),
    ] {
        fs::write(&name, bytes).unwrap();
        fs::set_permissions(&name, fs::Permissions::from_mode(0o600)).unwrap();
    }
    fs::remove_file(&copy).unwrap();
    run.run("--scratch_dir SCRATCH --keep_free_scratch 0 --keep_scratch");
    assert_eq!(run.copies(), std::slice::from_ref(&copy));
    let stack = fs::read(run.folder.path().join("bundle.mrcs")).unwrap();
    let found = fs::read(&copy).unwrap();
    assert!(found[..kept] == bytes[..kept] && found[kept..] == stack[kept..]);
}

/// Copies are as private as a folder of one's own, and go when the run is told to end or fails.
#[test]
fn copies_are_private_and_removed_after_a_signal_or_an_error() {
    let run = Run::new();
    for signal in ["TERM", "INT"] {
        let mut job = run.start("--scratch_dir SCRATCH --keep_free_scratch 0 --iter 30");
        let begin = Instant::now();
        while !Path::new(&format!("{}_it001_optimiser.star", run.root)).exists() {
            assert!(begin.elapsed().as_secs() < 300 && job.try_wait().unwrap().is_none());
            std::thread::sleep(Duration::from_millis(20));
        }
        let folder = fs::read_dir(run.scratch.path()).unwrap().next().unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o777;
        assert_eq!(mode(&folder.unwrap().path()), 0o700);
        let copies = run.copies();
        assert!(copies.iter().all(|copy| mode(copy) == 0o600), "{copies:?}");
        assert!(
            copies
                .iter()
                .any(|copy| copy.extension().unwrap() == "mrcs")
        );
        let mut kill = Command::new("kill");
        kill.args([&format!("-{signal}"), &job.id().to_string()]);
        assert!(kill.status().unwrap().success());
        let output = job.wait_with_output().unwrap();
        assert!(said(&output).contains("GR-0606"), "{}", said(&output));
        assert!(run.copies().is_empty(), "{signal}");
        fs::remove_file(format!("{}_it001_optimiser.star", run.root)).unwrap();
    }
    let stack = run.folder.path().join("bundle.mrcs");
    let mut bytes = fs::read(&stack).unwrap();
    bytes[1024..1028].copy_from_slice(&f32::NAN.to_le_bytes());
    fs::write(&stack, bytes).unwrap();
    let mut program = run.program("--scratch_dir SCRATCH --keep_free_scratch 0");
    let output = program.output().unwrap();
    assert!(!output.status.success() && said(&output).contains("NaN"));
    assert!(run.copies().is_empty());
}

#[test]
fn a_folder_of_copies_that_others_may_write_to_is_refused() {
    let run = Run::new();
    run.run("--scratch_dir SCRATCH --keep_free_scratch 0");
    let folder = fs::read_dir(run.scratch.path()).unwrap().next().unwrap();
    let open_to_all = fs::Permissions::from_mode(0o777);
    fs::set_permissions(folder.unwrap().path(), open_to_all).unwrap();
    let output = run.program("--scratch_dir SCRATCH").output().unwrap();
    assert!(!output.status.success());
    assert!(said(&output).contains("GR-0210") && said(&output).contains("open to other users"));
}
