//! Names of the point groups and their generators (spec 02 §1.6).

use super::SymmetryError;
use super::closure::Generator;
use crate::errors::Code;

/// Which point group. Numbers are the fold of the z axis, or the setting (1–4) of an icosahedral group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    Cn(u32),
    Ci,
    Cs,
    CnV(u32),
    CnH(u32),
    Sn(u32),
    Dn(u32),
    DnV(u32),
    DnH(u32),
    T,
    Td,
    Th,
    O,
    Oh,
    I(u32),
    Ih(u32),
    /// From a description file.
    Described,
}

impl Family {
    /// Recognise a name; `None` when it is not one (it may be a file).
    pub(super) fn parse(name: &str) -> Result<Option<Self>, SymmetryError> {
        let name = name.to_ascii_uppercase();
        let fixed = match name.as_str() {
            "CI" => Some(Family::Ci),
            "CS" => Some(Family::Cs),
            "T" => Some(Family::T),
            "TD" => Some(Family::Td),
            "TH" => Some(Family::Th),
            "O" => Some(Family::O),
            "OH" => Some(Family::Oh),
            "I" => Some(Family::I(2)),
            "IH" => Some(Family::Ih(2)),
            _ => None,
        };
        if fixed.is_some() {
            return Ok(fixed);
        }
        let Some(letter) = name.chars().next().filter(|c| "CDSI".contains(*c)) else {
            return Ok(None);
        };
        let rest = &name[1..];
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (number, suffix) = rest.split_at(digits);
        let n = match (digits, number.parse::<u32>()) {
            (1..=2, Ok(n)) if n > 0 => n,
            _ => return Ok(None),
        };
        Ok(match (letter, suffix) {
            ('C', "") => Some(Family::Cn(n)),
            ('C', "V") => Some(Family::CnV(n)),
            ('C', "H") => Some(Family::CnH(n)),
            ('D', "") => Some(Family::Dn(n)),
            ('D', "V") => Some(Family::DnV(n)),
            ('D', "H") => Some(Family::DnH(n)),
            ('S', "") if n % 2 == 0 => Some(Family::Sn(n)),
            ('S', "") => {
                return Err(Code::POINT_GROUP.says(format!(
                    "point group {name}: n of Sn must be even; C{n}H is the group with an {n}-fold axis and a mirror \
                     plane"
                )).into());
            }
            ('I', "") if n <= 4 => Some(Family::I(n)),
            ('I', "H") if n <= 4 => Some(Family::Ih(n)),
            ('I', "" | "H") if n == 5 => {
                return Err(Code::POINT_GROUP.says(format!(
                    "point group {name} is not supported; turn the reference into one of the settings I1 to I4"
                )).into());
            }
            _ => None,
        })
    }

    /// Generators; axes and normals need not be normalised.
    #[expect(clippy::approx_constant, reason = "axes as published, digit by digit")]
    pub(super) fn generators(self) -> Vec<Generator> {
        const X: [f64; 3] = [1.0, 0.0, 0.0];
        const Z: [f64; 3] = [0.0, 0.0, 1.0];
        let axis = Generator::Rotation;
        let mirror = Generator::Mirror;
        match self {
            Family::Cn(n) => vec![axis(n, Z)],
            Family::Ci => vec![Generator::Inversion],
            Family::Cs => vec![mirror(Z)],
            Family::CnV(n) => vec![axis(n, Z), mirror([0.0, 1.0, 0.0])],
            Family::CnH(n) => vec![axis(n, Z), mirror(Z)],
            Family::Sn(n) => vec![axis(n / 2, Z), Generator::Inversion],
            Family::Dn(n) => vec![axis(n, Z), axis(2, X)],
            Family::DnV(n) => vec![axis(n, Z), axis(2, X), mirror(X)],
            Family::DnH(n) => vec![axis(n, Z), axis(2, X), mirror(Z)],
            Family::T => vec![axis(3, Z), axis(2, [0.0, 0.816496, 0.577350])],
            Family::Td => vec![
                axis(3, Z),
                axis(2, [0.0, 0.816496, 0.577350]),
                mirror([1.4142136, 2.4494897, 0.0]),
            ],
            Family::Th => vec![
                axis(3, Z),
                axis(2, [0.0, -0.816496, -0.577350]),
                Generator::Inversion,
            ],
            Family::O => vec![axis(3, [1.0, 1.0, 1.0]), axis(4, Z)],
            Family::Oh => vec![
                axis(3, [1.0, 1.0, 1.0]),
                axis(4, Z),
                mirror([0.0, 1.0, 1.0]),
            ],
            Family::I(setting) => icosahedral_axes(setting).to_vec(),
            Family::Ih(setting) => {
                let normal = match setting {
                    1 => [0.0, 0.0, -1.0],
                    3 => [0.850650807, 0.0, 0.525731114],
                    4 => [0.850650807, 0.0, -0.525731114],
                    _ => X,
                };
                let mut generators = icosahedral_axes(setting).to_vec();
                generators.push(mirror(normal));
                generators
            }
            Family::Described => Vec::new(),
        }
    }
}

/// A two-, a five- and a three-fold axis of an icosahedral setting.
fn icosahedral_axes(setting: u32) -> [Generator; 3] {
    let (two, five, three) = match setting {
        1 => (
            [1.0, 0.0, 0.0],
            [0.85065080702670, 0.0, -0.5257311142635],
            [0.9341723640, 0.3568220765, 0.0],
        ),
        3 => (
            [-0.5257311143, 0.0, 0.8506508070],
            [0.0, 0.0, 1.0],
            [-0.4911234778630044, 0.3568220764705179, 0.7946544753759428],
        ),
        4 => (
            [0.5257311143, 0.0, 0.8506508070],
            [0.8944271932547096, 0.0, 0.4472135909903704],
            [0.4911234778630044, 0.3568220764705179, 0.7946544753759428],
        ),
        _ => (
            [0.0, 0.0, 1.0],
            [0.525731114, 0.0, 0.850650807],
            [0.0, 0.356822076, 0.934172364],
        ),
    };
    [
        Generator::Rotation(2, two),
        Generator::Rotation(5, five),
        Generator::Rotation(3, three),
    ]
}
