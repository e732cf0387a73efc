//! The comparison as a table for the terminal.

use super::{
    Agreement, AlignedMap, Figure, MapDifference, Match, PoseComparison, SpectrumDifference,
};
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
    /// Of runs with several classes.
    pub divisions: Option<Divisions>,
    /// Class averages that show the same, of 2D runs.
    pub averages: Option<Vec<Match>>,
    /// One a class of the reference run; None where the other run has no such map.
    pub maps: Vec<Option<MapDifference>>,
    /// Maps that were laid onto each other first.
    pub aligned: Vec<AlignedMap>,
}

/// How the particles are divided into classes.
#[derive(Debug, Clone, PartialEq)]
pub struct Divisions {
    /// The other run's classes by those of the reference run.
    pub runs: Agreement,
    /// Classes of the reference run and of the other one by the true ones, where these are known.
    pub truth: [Option<Agreement>; 2],
}

impl Divisions {
    fn lines(&self) -> Vec<String> {
        let line = |what: &str, a: &Agreement| {
            format!(
                "{what}: purity {:.4}, adjusted Rand index {:.4}, {} particles",
                a.purity, a.rand_index, a.common
            )
        };
        let truth = [
            "classes of ref by the truth",
            "classes of ours by the truth",
        ];
        let mut lines = vec![line("classes of ours by those of ref", &self.runs)];
        let known = truth.iter().zip(&self.truth);
        lines.extend(known.filter_map(|(what, a)| Some(line(what, a.as_ref()?))));
        lines
    }
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
        for line in self.divisions.iter().flat_map(Divisions::lines) {
            writeln!(f, "{line}")?;
        }
        for m in self.averages.iter().flatten() {
            writeln!(
                f,
                "class {} of ref is class {} of ours: correlation {:.4}, rotation {:.2} deg",
                m.reference + 1,
                m.ours + 1,
                m.correlation,
                m.angle
            )?;
        }
        for map in &self.aligned {
            writeln!(f, "{map}")?;
        }
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
