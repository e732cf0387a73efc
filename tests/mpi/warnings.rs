//! Warnings of several ranks: the first one prints them, once, and they say what a single process says.

use crate::job::Job;
use gerelion::formats::mrc::write_map;
use gerelion::formats::volume::read_map;
use std::fs;

/// Warnings of a run on so many ranks of the fixture with the reference inverted and far too strong, and the list of
/// rejected particles. Image 10 holds a pixel of an enormous value.
fn warnings(ranks: usize, options: &str) -> Option<(Vec<String>, String)> {
    let mut job = Job::of("class3d_c4", &format!("--iter 1 {options}"));
    job.words.retain(|word| word != "--firstiter_cc");
    let path = job.folder.path().join("bundle_truth1.mrc");
    let map = read_map(&path).unwrap();
    let strong = map.data * -1000.0;
    write_map(&path, strong.view(), map.pixel_size.unwrap()).unwrap();
    let path = job.folder.path().join("bundle.mrcs");
    let mut bytes = fs::read(&path).unwrap();
    let pixel = 1024 + 2 * (9 * 48 * 48 + 1000);
    // 16-bit float: 30000.
    bytes[pixel..pixel + 2].copy_from_slice(&0x7753u16.to_le_bytes());
    fs::write(&path, bytes).unwrap();
    let output = job.run(ranks)?;
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    let lines = errors.lines().filter(|line| line.contains(" + WARNING: "));
    let rejected = fs::read_to_string(format!("{}_rejected.star", job.root)).unwrap_or_default();
    Some((lines.map(String::from).collect(), rejected))
}

#[test]
fn any_number_of_ranks_warns_once_and_says_the_same() {
    for (options, first) in [
        ("", "power is out of proportion: 1 of the 400"),
        (
            "--reject_limit 1",
            "1 of 400 particles (0.250 %) cannot be used",
        ),
    ] {
        let Some((alone, rejected)) = warnings(1, options) else {
            return;
        };
        let all = alone.join("\n");
        for words in [
            first,
            "contrast seems to be inverted",
            "the norm correction of",
            "its grey scale is wrong",
        ] {
            assert_eq!(all.matches(words).count(), 1, "'{words}' in: {all}");
        }
        for ranks in [2, 3] {
            let (lines, list) = warnings(ranks, options).unwrap();
            assert_eq!(lines, alone, "{ranks} ranks, {options}");
            assert_eq!(list, rejected);
        }
    }
}
