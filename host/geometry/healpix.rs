//! HEALPix pixelisation of the sphere, NESTED numbering (spec 01 §4.1, §4.3).

/// (rot, tilt) in degrees of the centre of a nested pixel at `order`.
pub fn direction(_order: u32, _pixel: u64) -> (f64, f64) {
    todo!()
}
