//! Copies among jobs, interruptions and damaged files.

use super::*;

const ALL: ScratchRule = ScratchRule {
    keep_free: 0,
    only_reuse: false,
    compare: true,
};
const REUSE: ScratchRule = ScratchRule {
    only_reuse: true,
    ..ALL
};

fn go_on(_: Step) -> Result<(), DatasetError> {
    Ok(())
}

fn open(folder: &Path, keep: bool) -> Scratch {
    Scratch::open(folder, keep, &mut go_on).unwrap()
}

/// A folder with a stack of `bytes`.
fn source(bytes: &[u8]) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.mrcs");
    fs::write(&path, bytes).unwrap();
    (folder, path)
}

fn files(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(private::folder(folder).unwrap())
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .filter(|name| name != "users.lock")
        .collect();
    names.sort();
    names
}

#[test]
fn copies_are_found_again_until_their_source_changes() {
    let (folder, path) = source(b"images");
    let mut scratch = open(folder.path(), false);
    let none = scratch.copy_of(&path, &REUSE, &mut go_on).unwrap();
    assert_eq!(none, None, "nothing to reuse yet");
    let copy = scratch.copy_of(&path, &ALL, &mut go_on).unwrap().unwrap();
    assert_eq!(fs::read(&copy).unwrap(), b"images");
    let found = scratch.copy_of(&path, &REUSE, &mut go_on).unwrap();
    assert_eq!(found, Some(copy.clone()));
    fs::write(&path, b"others").unwrap();
    let file = File::options().write(true).open(&path).unwrap();
    file.set_modified(std::time::UNIX_EPOCH).unwrap();
    let new = scratch.copy_of(&path, &ALL, &mut go_on).unwrap().unwrap();
    assert_ne!(new, copy);
    assert_eq!(fs::read(new).unwrap(), b"others");
    scratch.leave().unwrap();
    assert!(files(folder.path()).is_empty());
}

/// Copies noted as being on the disk are not made again; those that may be zeros after a power failure are.
#[test]
fn interrupted_copying_goes_on_from_what_was_synced() {
    let bytes: Vec<u8> = (0..100_000u32).map(|i| i as u8).collect();
    let (folder, path) = source(&bytes);
    let stop = |_: Step| Err(DatasetError::from(Code::OTHER_RANK.says("stopped")));
    let mut scratch = open(folder.path(), false);
    scratch.copy_of(&path, &ALL, &mut { stop }).unwrap_err();
    let name = copy_name(&path, &fs::metadata(&path).unwrap()).unwrap();
    let copy = private::folder(folder.path()).unwrap().join(name);
    // What an interruption left, wrongly filled, so that the test can see that it was not copied again.
    fs::write(part(&copy), [vec![7; 1000], vec![0; 5000]].concat()).unwrap();
    fs::write(synced(&copy), "1000").unwrap();
    let found = scratch.copy_of(&path, &ALL, &mut go_on).unwrap().unwrap();
    assert_eq!(found, copy);
    let found = fs::read(copy).unwrap();
    assert_eq!(found[..1000], vec![7; 1000]);
    assert_eq!(found[1000..], bytes[1000..]);
}

#[test]
fn a_copy_of_another_length_or_open_to_others_is_made_again() {
    use std::os::unix::fs::PermissionsExt;
    let (folder, path) = source(b"images");
    let mut scratch = open(folder.path(), false);
    let copy = scratch.copy_of(&path, &ALL, &mut go_on).unwrap().unwrap();
    fs::write(&copy, b"imag").unwrap();
    let found = scratch.copy_of(&path, &REUSE, &mut go_on).unwrap();
    assert_eq!(found, None, "a part of the file");
    scratch.copy_of(&path, &ALL, &mut go_on).unwrap().unwrap();
    assert_eq!(fs::read(&copy).unwrap(), b"images");
    fs::write(&copy, b"others").unwrap();
    fs::set_permissions(&copy, fs::Permissions::from_mode(0o666)).unwrap();
    scratch.copy_of(&path, &ALL, &mut go_on).unwrap().unwrap();
    assert_eq!(fs::read(&copy).unwrap(), b"images");
}

/// Of the right length, and of the user alone: written to by mistake, or lost by the disk.
#[test]
fn a_copy_with_other_images_is_made_again() {
    let (folder, path) = source(b"images");
    let mut scratch = open(folder.path(), false);
    let copy = scratch.copy_of(&path, &ALL, &mut go_on).unwrap().unwrap();
    let mut changed = Vec::new();
    let mut steps = |step: Step| -> Result<(), DatasetError> {
        if let Step::Changed(copy) = step {
            changed.push(copy.to_owned());
        }
        Ok(())
    };
    fs::write(&copy, b"\0\0\0\0\0\0").unwrap();
    let found = scratch.copy_of(&path, &REUSE, &mut steps).unwrap();
    assert_eq!(found, None);
    scratch.copy_of(&path, &ALL, &mut steps).unwrap().unwrap();
    assert_eq!(fs::read(&copy).unwrap(), b"images");
    // Lost without a write: the seal holds, but the blocks are not those of the source.
    fs::write(&copy, b"others").unwrap();
    seal::put_on(&copy).unwrap();
    let unseen = ScratchRule {
        compare: false,
        ..REUSE
    };
    assert!(
        scratch
            .copy_of(&path, &unseen, &mut go_on)
            .unwrap()
            .is_some()
    );
    scratch.copy_of(&path, &ALL, &mut steps).unwrap().unwrap();
    assert_eq!(fs::read(&copy).unwrap(), b"images");
    // Without a seal it was left unfinished, about which there is nothing to say.
    fs::remove_file(seal::path(&copy)).unwrap();
    assert_eq!(scratch.copy_of(&path, &REUSE, &mut steps).unwrap(), None);
    assert_eq!(changed, [copy.clone(), copy.clone(), copy]);
}

#[test]
fn who_waits_for_a_lock_says_so_and_can_be_stopped() {
    let (folder, path) = source(b"images");
    let mut scratch = open(folder.path(), false);
    let name = copy_name(&path, &fs::metadata(&path).unwrap()).unwrap();
    let held = scratch.0.folder.join(format!("{name}.lock"));
    let mut holder = private::open(&held).unwrap();
    write!(holder, "process 7").unwrap();
    holder.lock().unwrap();
    let mut seen = Vec::new();
    let mut steps = |step: Step| -> Result<(), DatasetError> {
        if let Step::WaitingFor(path, holder) = step {
            seen.push((path.to_owned(), holder.to_owned()));
            return Ok(());
        }
        Err(Code::OTHER_RANK.says("stopped").into())
    };
    scratch.copy_of(&path, &ALL, &mut steps).unwrap_err();
    assert_eq!(seen, [(held, "process 7".to_owned())]);
}

#[test]
fn copies_of_a_job_that_fails_are_removed() {
    let (folder, path) = source(b"images");
    let mut scratch = open(folder.path(), false);
    let copy = scratch.copy_of(&path, &ALL, &mut go_on).unwrap().unwrap();
    assert!(copy.exists());
    drop(scratch);
    assert!(files(folder.path()).is_empty());
}

/// A job that was killed could remove nothing; the next one does.
#[test]
fn copies_of_a_killed_job_are_removed_by_the_next() {
    let (folder, path) = source(b"images");
    let mut killed = open(folder.path(), false);
    killed.copy_of(&path, &ALL, &mut go_on).unwrap().unwrap();
    // The system frees the locks of a process that has ended.
    drop(lock(&killed.0.using).users.take());
    drop(killed);
    assert_eq!(
        files(folder.path()).len(),
        3,
        "a copy, its seal and its mark"
    );
    open(folder.path(), true).leave().unwrap();
    assert!(files(folder.path()).is_empty());
}

#[test]
fn a_disk_that_is_full_is_left_alone() {
    let (folder, path) = source(b"images");
    let greedy = ScratchRule {
        keep_free: u64::MAX / 2,
        ..ALL
    };
    let mut scratch = open(folder.path(), false);
    let none = scratch.copy_of(&path, &greedy, &mut go_on).unwrap();
    assert_eq!(none, None);
    drop(scratch);
    assert!(files(folder.path()).is_empty());
    let missing = Scratch::open(&folder.path().join("none"), false, &mut go_on).unwrap_err();
    assert!(missing.to_string().contains("--scratch_dir"), "{missing}");
}

#[test]
fn jobs_share_copies_and_the_last_one_removes_them() {
    let (folder, path) = source(b"images");
    let mut one = open(folder.path(), false);
    let mut two = open(folder.path(), false);
    std::thread::scope(|scope| {
        for scratch in [&mut one, &mut two] {
            let path = &path;
            scope.spawn(move || scratch.copy_of(path, &ALL, &mut go_on).unwrap().unwrap());
        }
    });
    let copies = |name: &String| name.ends_with(".mrcs");
    let found = files(folder.path());
    assert_eq!(found.iter().filter(|name| copies(name)).count(), 1);
    one.leave().unwrap();
    let copy = two.copy_of(&path, &REUSE, &mut go_on).unwrap().unwrap();
    assert!(copy.exists(), "the other job still uses it");
    two.leave().unwrap();
    assert!(!copy.exists());
    // With --keep_scratch it stays.
    let mut three = open(folder.path(), true);
    let copy = three.copy_of(&path, &ALL, &mut go_on).unwrap().unwrap();
    three.leave().unwrap();
    assert!(copy.exists());
}
