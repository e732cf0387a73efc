//! File names of one set of output files (spec 03 §1.6).

use std::path::PathBuf;

/// Names that share `<o>` and, but for the final set of an auto-refinement, an iteration number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FileNames {
    stem: String,
}

impl FileNames {
    /// `<root>_itNNN`.
    pub(super) fn of_iteration(root: &str, iteration: usize) -> Self {
        Self {
            stem: format!("{root}_it{iteration:03}"),
        }
    }

    /// `<root>`: no iteration number.
    pub(super) fn of_final(root: &str) -> Self {
        Self {
            stem: root.to_string(),
        }
    }

    /// Stem of the model and map names: `<stem>`, or `<stem>_half1|2` in half-set runs.
    pub(super) fn model_stem(&self, half: Option<usize>) -> String {
        match half {
            Some(half) => format!("{}_half{half}", self.stem),
            None => self.stem.clone(),
        }
    }

    /// `…_optimiser.star`.
    pub(super) fn optimiser(&self) -> String {
        format!("{}_optimiser.star", self.stem)
    }

    /// `…_sampling.star`.
    pub(super) fn sampling(&self) -> String {
        format!("{}_sampling.star", self.stem)
    }

    /// `…_data.star`.
    pub(super) fn data(&self) -> String {
        format!("{}_data.star", self.stem)
    }

    /// `…_model.star`.
    pub(super) fn model(&self, half: Option<usize>) -> String {
        format!("{}_model.star", self.model_stem(half))
    }

    /// `…_half1_class001_unfil.mrc`.
    pub(super) fn unfiltered(&self, half: usize) -> PathBuf {
        let class = class_stem(&self.model_stem(Some(half)), 1);
        PathBuf::from(format!("{class}_unfil.mrc"))
    }
}

/// `…_classKKK`, `class` counted from 1.
fn class_stem(model_stem: &str, class: usize) -> String {
    format!("{model_stem}_class{class:03}")
}

/// `…_classKKK.mrc`, `class` counted from 1.
pub(super) fn class_map(model_stem: &str, class: usize) -> String {
    format!("{}.mrc", class_stem(model_stem, class))
}

/// `…_classes.mrcs`: the averages of all classes.
pub(super) fn averages(model_stem: &str) -> PathBuf {
    PathBuf::from(format!("{model_stem}_classes.mrcs"))
}

/// `00000001@…_classes.mrcs`, `class` counted from 1.
pub(super) fn class_average(model_stem: &str, class: usize) -> String {
    format!("{class:08}@{}", averages(model_stem).display())
}

/// `<o>_unmasked_classes.mrcs`: the averages of the last iteration before the solvent was flattened.
pub(super) fn unmasked_averages(root: &str) -> PathBuf {
    PathBuf::from(format!("{root}_unmasked_classes.mrcs"))
}

/// `…_classKKK_angdist.bild`.
pub(super) fn angular_distribution(model_stem: &str, class: usize) -> PathBuf {
    PathBuf::from(format!("{}_angdist.bild", class_stem(model_stem, class)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn iteration_names_have_three_digits_or_more() {
        let names = FileNames::of_iteration("Class3D/job001/run", 7);
        assert_eq!(names.optimiser(), "Class3D/job001/run_it007_optimiser.star");
        assert_eq!(
            names.model(Some(2)),
            "Class3D/job001/run_it007_half2_model.star"
        );
        let late = FileNames::of_iteration("run", 1234);
        assert_eq!(late.data(), "run_it1234_data.star");
    }

    #[test]
    fn final_names_have_none() {
        let names = FileNames::of_final("run");
        assert_eq!(names.model(None), "run_model.star");
        assert_eq!(names.sampling(), "run_sampling.star");
        assert_eq!(
            names.unfiltered(1),
            PathBuf::from("run_half1_class001_unfil.mrc")
        );
    }

    #[test]
    fn maps_are_numbered_from_one() {
        let stem = FileNames::of_iteration("run", 2).model_stem(None);
        assert_eq!(class_map(&stem, 3), "run_it002_class003.mrc");
        let average = class_average(&stem, 12);
        assert_eq!(average, "00000012@run_it002_classes.mrcs");
        assert_eq!(
            angular_distribution(&stem, 12),
            PathBuf::from("run_it002_class012_angdist.bild")
        );
    }
}
