//! Named sets of simulation settings: twins of the data sets of the method's paper.

use super::SimulationSettings;
use super::micrograph::DefocusSource;
use super::phantom::HelixBundle;

/// A data set whose twin can be simulated by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Preset {
    /// TRPV1 (EMPIAR-10005): 256 px, 1.2156 Å, C4.
    Trpv1,
    /// RAG1–RAG2 (EMPIAR-10049): 192 px, 1.23 Å; the phantom is D2.
    Rag,
    /// 64 px, 4 Å, C4: minutes on two cores.
    Mini,
}

impl Preset {
    /// Settings of the preset: number of particles, box, pixel, point group, mask diameter and phantom.
    pub fn settings(self) -> SimulationSettings {
        let general = SimulationSettings {
            particles: 5000,
            box_size: 256,
            pixel_size: 1.2156,
            snr: 0.02,
            b_factor: 80.0,
            shift: 3.0,
            defocus: DefocusSource::Range(10000.0, 30000.0),
            voltage: 300.0,
            spherical_aberration: 2.0,
            amplitude_contrast: 0.1,
            diameter: 160.0,
            particles_per_micrograph: 50,
            seed: 1,
            half_precision: false,
            symmetry: "C4".into(),
            phantom: HelixBundle {
                diameter: 130.0,
                helices: 24,
                conformation: 0,
            },
            views: 0,
            view_spread: 10.0,
            contaminants: 0.0,
            empty: 0.0,
        };
        match self {
            Self::Trpv1 => general,
            Self::Rag => SimulationSettings {
                box_size: 192,
                pixel_size: 1.23,
                diameter: 180.0,
                symmetry: "D2".into(),
                phantom: HelixBundle {
                    diameter: 140.0,
                    helices: 28,
                    conformation: 0,
                },
                ..general
            },
            Self::Mini => SimulationSettings {
                particles: 1500,
                box_size: 64,
                pixel_size: 4.0,
                snr: 0.05,
                b_factor: 100.0,
                diameter: 170.0,
                ..general
            },
        }
    }
}
