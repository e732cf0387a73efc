//! Intensity-scale groups (spec 01 §3.1).

use super::{DatasetError, OpticsGroup, ScaleGroup};
use crate::formats::star::Table;
use std::collections::HashMap;

/// A micrograph's name without the job folder of the pipeline it came from:
/// `MotionCorr/job002/Movies/a.mrc` becomes `Movies/a.mrc`.
pub(super) fn without_job_folder(name: &str) -> &str {
    let mut end = 0;
    for part in name.split('/') {
        end += part.len() + 1;
        let number = part.strip_prefix("job").unwrap_or("");
        let is_job = number.len() >= 3 && number.bytes().all(|b| b.is_ascii_digit());
        if is_job && end < name.len() {
            return &name[end..];
        }
    }
    name
}

/// Scale group of each row of the (sorted) particle table, and the groups in order of first appearance.
///
/// Groups are named by `rlnGroupName`, else by micrograph; without either, the optics groups serve (all particles
/// together if there is only one), with a warning.
pub(super) fn scale_groups(
    table: &Table,
    optics: &[OpticsGroup],
    optics_of_row: impl Fn(usize) -> usize,
    warnings: &mut Vec<String>,
) -> Result<(Vec<usize>, Vec<ScaleGroup>), DatasetError> {
    let mut numbering = Numbering::default();
    let of_row = if table.has("rlnGroupName") {
        table
            .texts("rlnGroupName")?
            .map(|name| numbering.number(name))
            .collect()
    } else if table.has("rlnMicrographName") {
        let names = table.texts("rlnMicrographName")?;
        names
            .map(|name| numbering.number(without_job_folder(name)))
            .collect()
    } else {
        warnings.push(format!(
            "the particles have neither rlnMicrographName nor rlnGroupName: intensity scales are estimated for {}",
            match optics.len() {
                1 => "all particles together".to_string(),
                n => format!("the {n} optics groups instead of micrographs"),
            }
        ));
        let name = |row| optics[optics_of_row(row)].name.as_str();
        (0..table.len())
            .map(|row| numbering.number(name(row)))
            .collect()
    };
    Ok((of_row, numbering.groups))
}

/// Gives names numbers in order of first appearance.
#[derive(Default)]
struct Numbering {
    numbers: HashMap<String, usize>,
    groups: Vec<ScaleGroup>,
}

impl Numbering {
    fn number(&mut self, name: &str) -> usize {
        if let Some(&number) = self.numbers.get(name) {
            return number;
        }
        let number = self.groups.len();
        self.numbers.insert(name.to_string(), number);
        self.groups.push(ScaleGroup {
            name: name.to_string(),
        });
        number
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn job_folders_are_left_out() {
        assert_eq!(
            without_job_folder("MotionCorr/job002/Movies/a.mrc"),
            "Movies/a.mrc"
        );
        assert_eq!(without_job_folder("job1234/a.mrc"), "a.mrc");
        assert_eq!(without_job_folder("Movies/job2.mrc"), "Movies/job2.mrc");
        assert_eq!(without_job_folder("Movies/job002"), "Movies/job002");
        assert_eq!(without_job_folder("a.mrc"), "a.mrc");
    }
}
