//! Which kind of job a run is.

use super::history::Run;

/// Kinds of jobs, by RELION's names for them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Job {
    /// Class averages.
    Class2d,
    /// A map from nothing, by gradient refinement.
    InitialModel,
    /// Maps from given ones.
    Class3d,
    /// One map, its half-sets refined independently.
    AutoRefine,
    /// Maps of a run without an optimiser file, which would say more.
    Maps,
}

impl Job {
    /// Kind of a run, by its files.
    pub(super) fn of(run: &Run) -> Self {
        if run.last().model.is_2d {
            return Self::Class2d;
        }
        let Some(optimiser) = run.optimiser() else {
            return Self::Maps;
        };
        let has_reference = optimiser
            .command_line
            .split_whitespace()
            .any(|word| word == "--ref");
        match (optimiser.auto_refine, optimiser.gradient.is_some()) {
            (true, _) => Self::AutoRefine,
            (false, true) if !has_reference => Self::InitialModel,
            (false, _) => Self::Class3d,
        }
    }

    /// In words.
    pub(super) fn title(self, run: &Run) -> String {
        let name = match self {
            Self::Class2d => "2D classification",
            Self::InitialModel => "Initial model",
            Self::Class3d => "3D classification",
            Self::AutoRefine => "3D auto-refine",
            Self::Maps => "3D refinement",
        };
        let one_class = run.last().model.classes.len() == 1;
        let by_gradient = run.optimiser().is_some_and(|o| o.gradient.is_some());
        match self {
            Self::Class2d | Self::Class3d if one_class => format!("{name} with one class"),
            Self::Class2d | Self::Class3d if by_gradient => format!("{name} (gradient refinement)"),
            _ => name.into(),
        }
    }
}
