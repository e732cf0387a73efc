//! Output roots that look like something else: the beginning of the names of files, not a folder or a file.

use std::path::Path;

/// Endings of files that a root is confused with.
const FILES: [&str; 8] = ["star", "mrc", "mrcs", "map", "spi", "png", "pdf", "txt"];

/// Returns a hint about an output root (`--o`) that looks like a folder or a file. `example` is how the name of a file goes on
/// after the root, as `_it000_data.star`.
pub fn hint(root: &str, example: &str) -> Option<String> {
    let begins =
        format!("--o is what the names of the output files begin with, as {root}{example}");
    if let Some(folder) = root.strip_suffix('/') {
        return Some(format!(
            "{begins}. To write into the folder {folder}, give a name behind it, as --o {root}run."
        ));
    }
    let path = Path::new(root);
    if path.is_dir() {
        return Some(format!(
            "{begins}, which lies beside the folder {root}. To write into the folder, give a name behind it, as --o {root}/run."
        ));
    }
    let ending = path.extension()?.to_str()?;
    let without = root.strip_suffix(ending)?.strip_suffix('.')?;
    FILES.contains(&ending).then(|| {
        format!("{begins}, but {root} looks like the name of a file. Leave out .{ending}: --o {without}.")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roots_that_look_like_folders_or_files_are_told() {
        let told = |root: &str| hint(root, "_it000_data.star");
        for good in [
            "run",
            "Refine3D/job001/run",
            "./run_v1.2",
            "/tmp/no_such_folder/run",
        ] {
            assert_eq!(told(good), None, "{good}");
        }
        for (odd, advice) in [
            (
                "o/",
                "as o/_it000_data.star. To write into the folder o, give a name behind it, as --o o/run.",
            ),
            (
                "a/s.star",
                "as a/s.star_it000_data.star, but a/s.star looks like",
            ),
            ("s.mrc", "--o s."),
            ("/tmp", "beside the folder /tmp"),
        ] {
            let text = told(odd).unwrap();
            assert!(text.contains(advice), "{text}");
        }
    }
}
