//! Pixel sizes that stacks state in their headers, beside those of the optics groups: one that is another factor was binned, or its
//! table was not told.

use crate::dataset::OpticsGroup;
use crate::formats::angstrom::Angstrom;

/// Factor beyond which a pixel size is not that of another calibration.
const OTHER: f64 = 1.3;
/// Pixel size (Å) in the headers of programs that do not know it.
const UNKNOWN: f64 = 1.0;

/// Stacks whose headers state quite another pixel size than their optics groups.
#[derive(Debug, Default)]
pub(super) struct StatedPixels {
    stacks: usize,
    /// Name of the first, both pixel sizes (Å) and the name of the group.
    first: Option<(String, [f64; 2], String)>,
}

impl StatedPixels {
    /// Counts a stack whose header states `size` (Å), and whose images are of an optics group.
    pub(super) fn compare(&mut self, stack: &str, size: Option<f64>, group: &OpticsGroup) {
        let known = size.filter(|size| size.is_finite() && *size > 0.0 && *size != UNKNOWN);
        let Some(size) = known else { return };
        if (size / group.pixel_size).max(group.pixel_size / size) < OTHER {
            return;
        }
        self.stacks += 1;
        self.first.get_or_insert_with(|| {
            (
                stack.to_owned(),
                [size, group.pixel_size],
                group.name.clone(),
            )
        });
    }

    /// Returns a warning about them.
    pub(super) fn warning(&self) -> Option<String> {
        let (stack, [stated, of_group], group) = self.first.as_ref()?;
        let more = match self.stacks {
            1 => String::new(),
            n => format!(" ({n} stacks are like this)"),
        };
        Some(format!(
            "{stack}: the header gives pixels of {} Å, but rlnImagePixelSize of optics group '{group}' is {} Å{more}. Were the images \
             binned? The optics group holds; correct it if it is wrong.",
            Angstrom(*stated),
            Angstrom(*of_group)
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_pixel_size_is_told_once_for_all_stacks() {
        let group = OpticsGroup::new(2.0, 64);
        let mut stated = StatedPixels::default();
        for size in [None, Some(0.0), Some(1.0), Some(2.0), Some(2.1), Some(1.6)] {
            stated.compare("good.mrcs", size, &group);
        }
        assert_eq!(stated.warning(), None);
        stated.compare("a.mrcs", Some(4.0), &group);
        stated.compare("b.mrcs", Some(0.5), &group);
        let text = stated.warning().unwrap();
        let begin = "a.mrcs: the header gives pixels of 4 Å, but rlnImagePixelSize of optics group 'opticsGroup1' is 2 Å (2 stacks";
        assert!(text.starts_with(begin), "{text}");
    }
}
