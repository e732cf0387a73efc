//! Point groups: operators, asymmetric unit (spec 01 §4.4, 02 §1.5–1.6).

mod asymmetric_unit;
mod closure;
mod description;
mod family;

use super::Matrix3;
use crate::errors::{Code, Coded, Message};
use family::Family;
use std::path::Path;

/// Unknown or unusable point-group name.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct SymmetryError(#[from] Message);

impl Coded for SymmetryError {
    fn code(&self) -> Code {
        self.0.code
    }
}

/// A point group: a name, its operators and the part of the sphere that the search of orientations visits.
#[derive(Debug, Clone)]
pub struct PointGroup {
    name: String,
    family: Family,
    operators: Vec<Matrix3>,
}

impl PointGroup {
    /// Parse `C4`, `d2`, `I1`, … or a symmetry description file (lines `rot_axis <fold> <x> <y> <z>`, `inversion`,
    /// `mirror_plane <x> <y> <z>`). Names are case-insensitive and go before files.
    ///
    /// ```
    /// use gerelion::geometry::symmetry::PointGroup;
    /// let group = PointGroup::parse("d2")?;
    /// assert_eq!(group.name(), "D2");
    /// assert_eq!(group.order(), 4);
    /// # Ok::<(), gerelion::geometry::symmetry::SymmetryError>(())
    /// ```
    ///
    /// # Errors
    /// The name is neither a point group nor a readable file, the group is not supported (I5, odd S), or the
    /// operators of a file do not form a finite point group.
    pub fn parse(name: &str) -> Result<Self, SymmetryError> {
        let name = name.trim();
        if let Some(family) = Family::parse(name)? {
            let operators = closure::close(&family.generators(), name)?;
            return Ok(PointGroup {
                name: name.to_ascii_uppercase(),
                family,
                operators,
            });
        }
        let path = Path::new(name);
        if !path.is_file() {
            let error = Code::POINT_GROUP.says(format!(
                "'{name}' is neither a point group nor a symmetry description file. Point groups are Cn, Ci, \
                 Cs, CnV, CnH, Sn, Dn, DnV, DnH, T, TD, TH, O, OH, I (= I2), I1 to I4, IH and I1H to I4H, with n from 1 to 99"
            ));
            return Err(error.into());
        }
        let operators = closure::close(&description::read(path)?, name)?;
        Ok(PointGroup {
            name: name.to_owned(),
            family: Family::Described,
            operators,
        })
    }

    /// No symmetry.
    pub fn c1() -> Self {
        PointGroup {
            name: "C1".to_owned(),
            family: Family::Cn(1),
            operators: Vec::new(),
        }
    }

    /// Name in capitals (or the path of the description file), as written in sampling files.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Number of elements, the identity included.
    pub fn order(&self) -> usize {
        self.operators.len() + 1
    }

    /// Non-identity operators (active on coordinates; the set is closed, so transposes give the same sums).
    pub fn operators(&self) -> &[Matrix3] {
        &self.operators
    }

    /// Stage-1 geometric filter of the asymmetric unit, rot and tilt in degrees. Limits are inclusive; mates on the
    /// seams are removed when the sampling is built.
    pub fn in_asymmetric_unit(&self, rot: f64, tilt: f64) -> bool {
        asymmetric_unit::contains(self.family, &self.operators, rot, tilt)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::euler::{multiply, transpose};

    const EVERY_GROUP: [(&str, usize); 34] = [
        ("C1", 1),
        ("C2", 2),
        ("C7", 7),
        ("C99", 99),
        ("Ci", 2),
        ("Cs", 2),
        ("C3v", 6),
        ("C3h", 6),
        ("S4", 4),
        ("S6", 6),
        ("D1", 2),
        ("D2", 4),
        ("D7", 14),
        ("D3v", 12),
        ("D3h", 12),
        ("T", 12),
        ("Td", 24),
        ("Th", 24),
        ("O", 24),
        ("Oh", 48),
        ("I", 60),
        ("I1", 60),
        ("I2", 60),
        ("I3", 60),
        ("I4", 60),
        ("Ih", 120),
        ("I1h", 120),
        ("I2h", 120),
        ("I3h", 120),
        ("I4h", 120),
        ("c4", 4),
        ("d4H", 16),
        ("D2v", 8),
        ("C2V", 4),
    ];

    fn difference(a: &Matrix3, b: &Matrix3) -> f64 {
        a.iter()
            .flatten()
            .zip(b.iter().flatten())
            .map(|(x, y)| (x - y).abs())
            .fold(0.0, f64::max)
    }

    const IDENTITY: Matrix3 = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]];

    #[test]
    fn orders() {
        for (name, order) in EVERY_GROUP {
            assert_eq!(PointGroup::parse(name).unwrap().order(), order, "{name}");
        }
    }

    #[test]
    fn operators_are_orthogonal_distinct_and_closed() {
        for (name, _) in EVERY_GROUP {
            let group = PointGroup::parse(name).unwrap();
            let mut elements = vec![IDENTITY];
            elements.extend_from_slice(group.operators());
            for (i, a) in elements.iter().enumerate() {
                let unit = multiply(a, &transpose(a));
                assert!(difference(&unit, &IDENTITY) < 1e-12, "{name} {a:?}");
                for b in &elements[..i] {
                    assert!(difference(a, b) > 0.03, "{name}: {a:?} twice");
                    let product = multiply(a, b);
                    // Generators carry 6 (T) to 10 digits.
                    let nearest = elements
                        .iter()
                        .map(|e| difference(e, &product))
                        .fold(f64::MAX, f64::min);
                    assert!(nearest < 5e-6, "{name}: product off by {nearest}");
                }
            }
        }
    }

    #[test]
    fn every_orbit_meets_the_asymmetric_unit() {
        use crate::geometry::euler::{apply, viewing_direction};
        // The published unit of DnH with odd n, 90 ≤ rot ≤ 90 + 180/n, lies across a mirror plane: it meets some
        // orbits twice and others never. It is kept, for files that agree with the reference program.
        for (name, _) in EVERY_GROUP.iter().filter(|(name, _)| *name != "D3h") {
            let group = PointGroup::parse(name).unwrap();
            for pixel in 0..768 {
                let (rot, tilt) = crate::geometry::healpix::direction(3, pixel);
                // Off the seams.
                let (rot, tilt) = (rot + 0.37, (tilt + 0.21).min(180.0));
                let view = viewing_direction(rot, tilt);
                let inside = |d: [f64; 3]| {
                    let rot = d[1].atan2(d[0]).to_degrees();
                    group.in_asymmetric_unit(rot, d[2].clamp(-1.0, 1.0).acos().to_degrees())
                };
                let found =
                    inside(view) || group.operators().iter().any(|g| inside(apply(g, view)));
                assert!(found, "{name}: no mate of ({rot}, {tilt}) is searched");
            }
        }
    }

    #[test]
    fn names_in_capitals_and_errors_in_words() {
        assert_eq!(PointGroup::parse(" d2 ").unwrap().name(), "D2");
        assert_eq!(PointGroup::c1().name(), "C1");
        for (bad, hint) in [
            ("Q3", "neither"),
            ("C0", "neither"),
            ("C100", "neither"),
            ("S3", "even"),
            ("I5", "not supported"),
            ("I5H", "not supported"),
            ("", "neither"),
        ] {
            let error = PointGroup::parse(bad).unwrap_err().to_string();
            assert!(error.contains(hint), "{bad}: {error}");
        }
    }

    #[test]
    fn a_description_file_gives_the_named_group() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tetra.sym");
        std::fs::write(
            &path,
            "# tetrahedral\nrot_axis 3 0 0 1\nrot_axis 2 0 0.8165 0.57735\n",
        )
        .unwrap();
        let described = PointGroup::parse(path.to_str().unwrap()).unwrap();
        let named = PointGroup::parse("T").unwrap();
        assert_eq!(described.order(), 12);
        for operator in described.operators() {
            let nearest = named
                .operators()
                .iter()
                .map(|o| difference(o, operator))
                .fold(f64::MAX, f64::min);
            assert!(nearest < 1e-4);
        }
        // One direction in twelve lies in its asymmetric unit.
        let inside = (0..3072)
            .filter(|&pixel| {
                let (rot, tilt) = crate::geometry::healpix::direction(4, pixel);
                described.in_asymmetric_unit(rot, tilt)
            })
            .count();
        assert!((240..=290).contains(&inside), "{inside}");
    }
}
