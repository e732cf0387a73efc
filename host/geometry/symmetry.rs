//! Point groups: operators, asymmetric unit (spec 01 §4.4, 02 §1.5–1.6).

use super::Matrix3;

/// Unknown or unusable point-group name.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct SymmetryError(pub String);

/// A point group.
#[derive(Debug, Clone)]
pub struct PointGroup {}

impl PointGroup {
    /// Parse `C4`, `d2`, `I1`, … or a symmetry description file.
    pub fn parse(_name: &str) -> Result<Self, SymmetryError> {
        todo!()
    }
    /// Canonical name as RELION writes it in sampling files.
    pub fn name(&self) -> &str {
        todo!()
    }
    /// Non-identity operators (active on coordinates; the set is closed, so transposes give the same sums).
    pub fn operators(&self) -> &[Matrix3] {
        todo!()
    }
    /// Stage-1 geometric filter of the asymmetric unit, rot and tilt in degrees.
    pub fn in_asymmetric_unit(&self, _rot: f64, _tilt: f64) -> bool {
        todo!()
    }
}
