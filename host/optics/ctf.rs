//! The CTF of a particle (spec 01 §3.7).

use super::aberrations::PixelToFrequency;
use super::zernike::Polynomial;
use super::{CtfFlags, OpticsError, rows, wavelength};
use crate::dataset::{CtfFields, OpticsGroup};
use crate::errors::Code;
use gpu::ctf::{self, CtfCoefficients};
use num_complex::Complex64;
use std::f64::consts::{FRAC_PI_2, PI};

/// A particle's CTF, ready to be evaluated at any image frequency.
#[derive(Debug, Clone)]
pub struct Ctf {
    /// `None` for images that are CTF corrected: C = 1.
    coefficients: Option<CtfCoefficients<f64>>,
    /// Symmetric aberrations.
    aberration: Option<(Polynomial, PixelToFrequency)>,
}

impl Ctf {
    /// Combine particle and optics-group values.
    ///
    /// # Errors
    /// Voltage, spherical aberration or amplitude contrast is missing; a value is not a number; the amplitude contrast
    /// is not in [0, 1]; or there is nothing to compute a CTF from (all of them zero).
    pub fn new(
        fields: &CtfFields,
        group: &OpticsGroup,
        flags: CtfFlags,
    ) -> Result<Self, OpticsError> {
        if group.ctf_corrected {
            return Ok(Ctf {
                coefficients: None,
                aberration: None,
            });
        }
        let frequency = PixelToFrequency::new(group);
        let aberration = Polynomial::even(&group.even_zernike).map(|sum| (sum, frequency));
        Ok(Ctf {
            coefficients: Some(coefficients(fields, group, flags, &frequency)?),
            aberration,
        })
    }

    /// C at Fourier pixel (x, y) of an image of the group's box (C², for premultiplied groups).
    #[inline]
    pub fn value(&self, x: i32, y: i32) -> f64 {
        let Some(coefficients) = &self.coefficients else {
            return 1.0;
        };
        let phase = self
            .aberration
            .as_ref()
            .map_or(0.0, |(sum, frequency)| frequency.evaluate(sum, x, y));
        ctf::value(coefficients, f64::from(x), f64::from(y), phase)
    }

    /// Returns C at the Fourier pixels (0…`width` − 1, `y`), as [`Self::value`] has it up to rounding, and faster.
    pub fn row(&self, y: i32, width: usize) -> Vec<f64> {
        let Some(coefficients) = &self.coefficients else {
            return vec![1.0; width];
        };
        let mut row = self.aberrations(y, width);
        pulp::Arch::new().dispatch(rows::Values {
            coefficients,
            y,
            row: &mut row,
        });
        row
    }

    /// Returns i·e^{iγ} = −sin γ + i·cos γ at the Fourier pixels (0…`width` − 1, `y`), which the image is multiplied by to see one
    /// side of the Ewald sphere: neither damping nor factor (spec 06 §8.3). 1 for images that are CTF corrected.
    pub fn waves(&self, y: i32, width: usize) -> Vec<Complex64> {
        let Some(coefficients) = &self.coefficients else {
            return vec![Complex64::new(1.0, 0.0); width];
        };
        let mut row: Vec<Complex64> = self
            .aberrations(y, width)
            .into_iter()
            .map(Complex64::from)
            .collect();
        pulp::Arch::new().dispatch(rows::Waves {
            coefficients,
            y,
            row: &mut row,
        });
        row
    }

    /// Phases of symmetric aberrations of a row; 0 without aberrations.
    fn aberrations(&self, y: i32, width: usize) -> Vec<f64> {
        match &self.aberration {
            Some((sum, frequency)) => (0..width as i32)
                .map(|x| frequency.evaluate(sum, x, y))
                .collect(),
            None => vec![0.0; width],
        }
    }

    /// Returns the same CTF without its B-factor.
    pub fn undamped(&self) -> Self {
        let coefficients = self.coefficients.map(|coefficients| CtfCoefficients {
            damping: 0.0,
            ..coefficients
        });
        Self {
            coefficients,
            aberration: self.aberration.clone(),
        }
    }

    /// Phase of symmetric aberrations at Fourier pixel (x, y); None without aberrations. The same for all particles of a
    /// group.
    pub fn aberration(&self, x: i32, y: i32) -> Option<f64> {
        let (sum, frequency) = self.aberration.as_ref()?;
        Some(frequency.evaluate(sum, x, y))
    }

    /// Returns the coefficients that a device kernel needs; `None` for images that are CTF corrected (C = 1).
    pub fn coefficients(&self) -> Option<&CtfCoefficients<f64>> {
        self.coefficients.as_ref()
    }
}

/// Fold microscope, defocus and sampling into the coefficients of γ(x, y).
fn coefficients(
    fields: &CtfFields,
    group: &OpticsGroup,
    flags: CtfFlags,
    frequency: &PixelToFrequency,
) -> Result<CtfCoefficients<f64>, OpticsError> {
    let need = |value: Option<f64>, label: &str| {
        value.filter(|v| v.is_finite()).ok_or_else(|| {
            Code::CTF_PARAMETERS.says(format!(
                "optics group '{}' has no usable {label}, which the CTF needs; add it to the optics table of the \
                 particle STAR file, or run without --ctf",
                group.name
            ))
        })
    };
    let voltage = need(group.voltage, "rlnVoltage")?;
    let spherical_aberration = need(group.spherical_aberration, "rlnSphericalAberration")?;
    let contrast = need(group.amplitude_contrast, "rlnAmplitudeContrast")?;
    check(fields, group, voltage, spherical_aberration, contrast)?;

    let lambda = wavelength(voltage);
    let (sin, cos) = fields.defocus_angle.to_radians().sin_cos();
    let (u, v) = (fields.defocus_u, fields.defocus_v);
    // Astigmatic defocus as a quadratic form, times πλ; positive defocus is underfocus.
    let xx = -PI * lambda * (u * cos * cos + v * sin * sin);
    let xy = -PI * lambda * (u - v) * sin * cos;
    let yy = -PI * lambda * (u * sin * sin + v * cos * cos);
    let defocus = pulled_back([[xx, xy], [xy, yy]], &frequency.matrix);
    let u2 = pulled_back([[1.0, 0.0], [0.0, 1.0]], &frequency.matrix);
    // atan(Q/√(1−Q²)), also at Q = 1.
    let contrast_phase = contrast.atan2((1.0 - contrast * contrast).sqrt());
    let flag = |on: bool, bit: u32| if on { bit } else { 0 };
    Ok(CtfCoefficients {
        phase_xx: defocus[0],
        phase_xy: defocus[1],
        phase_yy: defocus[2],
        phase_u4: FRAC_PI_2 * spherical_aberration * 1e7 * lambda.powi(3),
        phase_constant: -fields.phase_shift.to_radians() - contrast_phase,
        u_xx: u2[0],
        u_xy: u2[1],
        u_yy: u2[2],
        damping: -fields.b_factor / 4.0,
        scale: fields.scale,
        flags: flag(flags.intact_first_peak, ctf::INTACT_FIRST_PEAK)
            | flag(flags.phase_flipped, ctf::PHASE_FLIPPED)
            | flag(flags.only_flip_phases, ctf::ONLY_FLIP_PHASES)
            | flag(group.ctf_premultiplied, ctf::PREMULTIPLIED),
    })
}

/// Refuse values from which no CTF can be computed.
fn check(
    fields: &CtfFields,
    group: &OpticsGroup,
    voltage: f64,
    spherical_aberration: f64,
    contrast: f64,
) -> Result<(), OpticsError> {
    let refuse = |what: String| {
        let error = format!(
            "optics group '{}': {what}. Correct it in the particle STAR file",
            group.name
        );
        Err(Code::CTF_PARAMETERS.says(error).into())
    };
    if voltage <= 0.0 {
        return refuse(format!("rlnVoltage is {voltage} kV; it must be positive"));
    }
    if !(0.0..=1.0).contains(&contrast) {
        return refuse(format!(
            "rlnAmplitudeContrast is {contrast}; it must lie between 0 and 1"
        ));
    }
    for (value, label) in [
        (fields.defocus_u, "rlnDefocusU"),
        (fields.defocus_v, "rlnDefocusV"),
        (fields.defocus_angle, "rlnDefocusAngle"),
        (fields.b_factor, "rlnCtfBfactor"),
        (fields.scale, "rlnCtfScalefactor"),
        (fields.phase_shift, "rlnPhaseShift"),
    ] {
        if !value.is_finite() {
            return refuse(format!("{label} of a particle is not a number ({value})"));
        }
    }
    let nothing = [
        fields.defocus_u,
        fields.defocus_v,
        spherical_aberration,
        contrast,
    ];
    if nothing.iter().all(|value| value.abs() < 1e-10) {
        return refuse(
            "rlnDefocusU, rlnDefocusV, rlnSphericalAberration and rlnAmplitudeContrast are all zero: the particles \
             have no CTF information; run without --ctf or estimate the CTF first"
                .to_owned(),
        );
    }
    Ok(())
}

/// Coefficients of x², x·y and y² of the symmetric quadratic form q taken at m·(x, y).
fn pulled_back(q: [[f64; 2]; 2], m: &[[f64; 2]; 2]) -> [f64; 3] {
    let form = |a: [f64; 2], b: [f64; 2]| {
        a[0] * (q[0][0] * b[0] + q[0][1] * b[1]) + a[1] * (q[1][0] * b[0] + q[1][1] * b[1])
    };
    let (x, y) = ([m[0][0], m[1][0]], [m[0][1], m[1][1]]);
    [form(x, x), 2.0 * form(x, y), form(y, y)]
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;

    pub(in crate::optics) fn group() -> OpticsGroup {
        OpticsGroup {
            voltage: Some(300.0),
            spherical_aberration: Some(2.7),
            amplitude_contrast: Some(0.1),
            ..OpticsGroup::new(1.3, 128)
        }
    }

    fn fields() -> CtfFields {
        CtfFields {
            defocus_u: 15_000.0,
            defocus_v: 13_500.0,
            defocus_angle: 32.0,
            b_factor: 60.0,
            scale: 0.9,
            phase_shift: 25.0,
        }
    }

    /// The formulas of the specification, unfolded.
    fn by_the_book(fields: &CtfFields, group: &OpticsGroup, x: i32, y: i32) -> f64 {
        let pixel = 1.0 / (group.box_size as f64 * group.pixel_size);
        let (px, py) = (f64::from(x) * pixel, f64::from(y) * pixel);
        let m = group.magnification;
        let (x, y) = (m[0][0] * px + m[0][1] * py, m[1][0] * px + m[1][1] * py);
        let lambda = wavelength(group.voltage.unwrap());
        let (s, c) = fields.defocus_angle.to_radians().sin_cos();
        let axx = -(fields.defocus_u * c * c + fields.defocus_v * s * s);
        let axy = -(fields.defocus_u - fields.defocus_v) * s * c;
        let ayy = -(fields.defocus_u * s * s + fields.defocus_v * c * c);
        let u2 = x * x + y * y;
        let q = group.amplitude_contrast.unwrap();
        let gamma = PI * lambda * (axx * x * x + 2.0 * axy * x * y + ayy * y * y)
            + PI / 2.0 * group.spherical_aberration.unwrap() * 1e7 * lambda.powi(3) * u2 * u2
            - fields.phase_shift.to_radians()
            - (q / (1.0 - q * q).sqrt()).atan();
        -gamma.sin() * (-fields.b_factor * u2 / 4.0).exp() * fields.scale
    }

    #[test]
    fn astigmatism_is_along_the_defocus_angle() {
        // Along the angle of defocus U, the CTF is that of defocus U.
        let along = CtfFields {
            defocus_angle: 90.0,
            ..fields()
        };
        let round = CtfFields {
            defocus_v: 15_000.0,
            ..along
        };
        let ctf = Ctf::new(&along, &group(), CtfFlags::default()).unwrap();
        let expected = Ctf::new(&round, &group(), CtfFlags::default()).unwrap();
        assert!((ctf.value(0, 20) - expected.value(0, 20)).abs() < 1e-12);
        assert!((ctf.value(20, 0) - expected.value(20, 0)).abs() > 1e-2);
    }

    #[test]
    fn at_the_origin_the_ctf_is_the_amplitude_contrast() {
        let plain = CtfFields {
            phase_shift: 0.0,
            scale: 1.0,
            ..fields()
        };
        let ctf = Ctf::new(&plain, &group(), CtfFlags::default()).unwrap();
        assert!((ctf.value(0, 0) - 0.1).abs() < 1e-15);
    }

    #[test]
    fn premultiplied_and_corrected_groups() {
        let plain = Ctf::new(&fields(), &group(), CtfFlags::default()).unwrap();
        let mut other = group();
        other.ctf_premultiplied = true;
        let squared = Ctf::new(&fields(), &other, CtfFlags::default()).unwrap();
        assert!((squared.value(9, -4) - plain.value(9, -4).powi(2)).abs() < 1e-15);
        other.ctf_corrected = true;
        let corrected = Ctf::new(&fields(), &other, CtfFlags::default()).unwrap();
        assert_eq!(corrected.value(9, -4), 1.0);
    }

    /// Rows hold the values of single pixels, whatever the flags.
    #[test]
    fn rows_hold_the_values_of_pixels() {
        let mut aberrant = group();
        aberrant.even_zernike = vec![0.0, 0.3, 0.1, -0.2, 0.05, 0.0, 0.1, 0.0, 0.02];
        let with = |bit: u32| CtfFlags {
            intact_first_peak: bit == 1,
            phase_flipped: bit == 2,
            only_flip_phases: bit == 3,
        };
        for group in [group(), aberrant] {
            for flags in (0..4).map(with) {
                let ctf = Ctf::new(&fields(), &group, flags).unwrap();
                for y in [-63, -7, 0, 11, 64] {
                    for (x, value) in ctf.row(y, 65).into_iter().enumerate() {
                        let expected = ctf.value(x as i32, y);
                        assert!((value - expected).abs() < 1e-11, "{flags:?} {x} {y}");
                    }
                }
            }
        }
    }

    /// The wave has length 1, its real part is the undamped CTF, and a quarter turn of phase makes the CTF its imaginary part.
    #[test]
    fn the_wave_holds_the_ctf() {
        let ctf = Ctf::new(&fields(), &group(), CtfFlags::default()).unwrap();
        let turned = CtfFields {
            phase_shift: fields().phase_shift + 90.0,
            ..fields()
        };
        let turned = Ctf::new(&turned, &group(), CtfFlags::default()).unwrap();
        for (x, y) in [(0, 0), (9, -4), (31, 60)] {
            let wave = ctf.waves(y, 64)[x as usize];
            assert!((wave.norm() - 1.0).abs() < 1e-12);
            assert!((0.9 * wave.re - ctf.undamped().value(x, y)).abs() < 1e-12);
            assert!((0.9 * wave.im - turned.undamped().value(x, y)).abs() < 1e-12);
        }
        assert_ne!(ctf.value(31, 60), ctf.undamped().value(31, 60));
    }

    #[test]
    fn symmetric_aberrations_add_to_the_phase() {
        let mut aberrated = group();
        // Z_2^0 = 2u² − 1: the same as a change of defocus and a constant phase.
        let strength = 3.0;
        aberrated.even_zernike = vec![0.0, 0.0, strength];
        let lambda = wavelength(300.0);
        let shift = 2.0 * strength / (PI * lambda);
        let equivalent = CtfFields {
            defocus_u: fields().defocus_u - shift,
            defocus_v: fields().defocus_v - shift,
            phase_shift: fields().phase_shift + strength.to_degrees(),
            ..fields()
        };
        let a = Ctf::new(&fields(), &aberrated, CtfFlags::default()).unwrap();
        let b = Ctf::new(&equivalent, &group(), CtfFlags::default()).unwrap();
        for (x, y) in [(0, 0), (5, 3), (40, -20), (64, 63)] {
            assert!((a.value(x, y) - b.value(x, y)).abs() < 1e-10, "({x}, {y})");
        }
    }

    #[test]
    fn absurd_parameters_are_refused_in_words() {
        let try_group = |change: fn(&mut OpticsGroup)| {
            let mut g = group();
            change(&mut g);
            let error = Ctf::new(&fields(), &g, CtfFlags::default()).unwrap_err();
            error.to_string()
        };
        assert!(try_group(|g| g.voltage = None).contains("rlnVoltage"));
        assert!(try_group(|g| g.voltage = Some(0.0)).contains("positive"));
        assert!(try_group(|g| g.spherical_aberration = None).contains("rlnSphericalAberration"));
        assert!(try_group(|g| g.amplitude_contrast = Some(1.2)).contains("between 0 and 1"));
        let nan = CtfFields {
            defocus_u: f64::NAN,
            ..fields()
        };
        let error = Ctf::new(&nan, &group(), CtfFlags::default()).unwrap_err();
        assert!(error.to_string().contains("rlnDefocusU"), "{error}");
        let empty = CtfFields {
            defocus_u: 0.0,
            defocus_v: 0.0,
            ..fields()
        };
        let mut none = group();
        none.spherical_aberration = Some(0.0);
        none.amplitude_contrast = Some(0.0);
        let error = Ctf::new(&empty, &none, CtfFlags::default()).unwrap_err();
        assert!(error.to_string().contains("opticsGroup1"), "{error}");
    }

    #[test]
    fn full_amplitude_contrast_is_defined() {
        let mut g = group();
        g.amplitude_contrast = Some(1.0);
        let plain = CtfFields {
            phase_shift: 0.0,
            scale: 1.0,
            ..fields()
        };
        let ctf = Ctf::new(&plain, &g, CtfFlags::default()).unwrap();
        assert!((ctf.value(0, 0) - 1.0).abs() < 1e-12);
    }

    proptest! {
        #[test]
        fn folded_coefficients_are_the_formulas(
            x in 0..64i32, y in -63..64i32,
            m in prop::array::uniform4(-0.03..0.03f64), angle in -180.0..180.0f64,
        ) {
            let mut group = group();
            group.magnification = [[1.0 + m[0], m[1]], [m[2], 1.0 + m[3]]];
            let fields = CtfFields { defocus_angle: angle, ..fields() };
            let ctf = Ctf::new(&fields, &group, CtfFlags::default()).unwrap();
            let expected = by_the_book(&fields, &group, x, y);
            prop_assert!((ctf.value(x, y) - expected).abs() < 1e-9, "{} {}", ctf.value(x, y), expected);
        }
    }
}
