//! Symmetry description files.

use super::SymmetryError;
use super::closure::Generator;
use crate::errors::Code;
use std::path::Path;

/// Read the generators of a symmetry description file: lines `rot_axis <fold> <x> <y> <z>`,
/// `mirror_plane <x> <y> <z>` and `inversion`; empty lines and lines starting with `#` or `;` say nothing.
pub(super) fn read(path: &Path) -> Result<Vec<Generator>, SymmetryError> {
    let text = std::fs::read_to_string(path).map_err(|error| {
        Code::of_reading(&error).says(format!(
            "symmetry description file '{}' cannot be read: {error}",
            path.display()
        ))
    })?;
    let mut generators = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with(['#', ';']) {
            continue;
        }
        generators.push(parse_line(line).ok_or_else(|| {
            Code::SYMMETRY_FILE.says(format!(
                "symmetry description file '{}', line {}: '{line}' is not 'rot_axis <fold> <x> <y> <z>', \
                 'mirror_plane <x> <y> <z>' or 'inversion' (the fold is 1 to 99, the vector not zero)",
                path.display(),
                number + 1
            ))
        })?);
    }
    if generators.is_empty() {
        let error = Code::SYMMETRY_FILE.says(format!(
            "symmetry description file '{}' names no symmetry element; use --sym C1 for no symmetry",
            path.display()
        ));
        return Err(error.into());
    }
    Ok(generators)
}

fn parse_line(line: &str) -> Option<Generator> {
    let words: Vec<&str> = line.split_whitespace().collect();
    match *words.as_slice() {
        ["rot_axis", fold, x, y, z] => {
            let fold = fold.parse().ok().filter(|f| (1..=99).contains(f))?;
            Some(Generator::Rotation(fold, vector(x, y, z)?))
        }
        ["mirror_plane", x, y, z] => Some(Generator::Mirror(vector(x, y, z)?)),
        ["inversion"] => Some(Generator::Inversion),
        _ => None,
    }
}

fn vector(x: &str, y: &str, z: &str) -> Option<[f64; 3]> {
    let v: [f64; 3] = [x.parse().ok()?, y.parse().ok()?, z.parse().ok()?];
    let length: f64 = v.iter().map(|c| c * c).sum();
    (length.is_finite() && length > 1e-12).then_some(v)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_text(text: &str) -> Result<Vec<Generator>, SymmetryError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("group.sym");
        std::fs::write(&path, text).unwrap();
        read(&path)
    }

    #[test]
    fn the_three_kinds_of_lines() {
        let generators =
            read_text("rot_axis 6 0 0 1\n\n; a comment\ninversion\nmirror_plane 0 1 0\n").unwrap();
        assert_eq!(
            generators,
            [
                Generator::Rotation(6, [0.0, 0.0, 1.0]),
                Generator::Inversion,
                Generator::Mirror([0.0, 1.0, 0.0]),
            ]
        );
    }

    #[test]
    fn errors_name_the_line() {
        for bad in [
            "rot_axis 0 0 0 1",
            "rot_axis 2 0 0 0",
            "rot_axis two 0 0 1",
            "mirror_plane 1 0",
            "screw 2",
            "rot_axis 2 0 0 nan",
        ] {
            let error = read_text(&format!("inversion\n{bad}\n")).unwrap_err();
            assert!(error.to_string().contains("line 2"), "{bad}: {error}");
        }
        assert!(
            read_text("# nothing\n")
                .unwrap_err()
                .to_string()
                .contains("C1")
        );
    }
}
