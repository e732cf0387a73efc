//! The comparison as a table for the terminal.

use super::{Figure, MapDifference, PoseComparison, SpectrumDifference};
use std::fmt;

/// Everything that [`super::compare_runs`] found.
#[derive(Debug, Clone, PartialEq)]
pub struct Comparison {
    /// Numbers of the model.
    pub figures: Vec<Figure>,
    /// Noise and signal spectra.
    pub spectra: Vec<SpectrumDifference>,
    /// Particles.
    pub poses: PoseComparison,
    /// One a class of the reference run; None where the other run has no such map.
    pub maps: Vec<Option<MapDifference>>,
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let number = |v: Option<f64>| v.map_or("-".to_string(), |v| v.to_string());
        for figure in &self.figures {
            writeln!(
                f,
                "{:28} ref {:<16} ours {}",
                figure.name,
                number(figure.reference),
                number(figure.ours)
            )?;
        }
        for s in &self.spectra {
            writeln!(
                f,
                "{:46} largest relative difference {:.2e} up to the resolution, {:.2e} overall",
                s.name, s.to_resolution, s.overall
            )?;
        }
        let p = &self.poses;
        writeln!(
            f,
            "particles {}: same class {}, pose identical (<0.01 deg) {:.4}, within one step {:.4}, median angle {:.3} deg, \
             shift identical (<0.01 A) {:.4}, |dPmax| p95 {:.2e}",
            p.common,
            p.same_class.map_or("-".to_string(), |v| format!("{v:.4}")),
            p.identical,
            p.within_step,
            p.median_angle,
            p.shifts_identical,
            p.pmax_p95
        )?;
        for (class, map) in self.maps.iter().enumerate() {
            match map {
                Some(m) => {
                    let shells = &m.fsc[1..];
                    writeln!(
                        f,
                        "{}: relative L2 {:.2e}, FSC mean {:.6} min {:.4}, min up to the resolution {:.6}",
                        m.name,
                        m.relative_l2,
                        shells.iter().sum::<f64>() / shells.len() as f64,
                        shells.iter().copied().fold(f64::INFINITY, f64::min),
                        m.smallest_to_resolution
                    )?;
                }
                None => writeln!(f, "class{:03}: missing in the second run", class + 1)?,
            }
        }
        Ok(())
    }
}
