//! Running moments of the gradient of a class (spec 05 §6).

use crate::fourier::shape::VolumeShape;
use num_complex::Complex64;

/// First moments of both pseudo-halves and the second moment, on the grid of the largest current size so far: beyond it
/// they are what they are at the start, 0 and 1.
#[derive(Debug, Clone, PartialEq)]
pub struct Moments {
    /// M₁ and M₂.
    pub first: [Vec<Complex64>; 2],
    /// V.
    pub second: Vec<f64>,
    /// Their grid; elements with |v|² < Rp² have been visited.
    pub shape: VolumeShape,
}

impl Moments {
    /// Moments before the first gradient.
    pub fn new(shape: VolumeShape) -> Self {
        let zeros = vec![Complex64::default(); shape.voxels()];
        Self {
            first: [zeros.clone(), zeros],
            second: vec![1.0; shape.voxels()],
            shape,
        }
    }

    /// Makes room for the elements of a grid, if that is larger.
    ///
    /// # Panics
    /// If the grids differ in more than their size.
    pub fn grow(&mut self, shape: &VolumeShape) {
        assert_eq!(
            (self.shape.dimensions, self.shape.padded_box),
            (shape.dimensions, shape.padded_box),
            "the moments of a class have its box and padding"
        );
        if shape.r_max <= self.shape.r_max {
            return;
        }
        let mut larger = Self::new(*shape);
        let old = self.shape;
        let row = old.half() + 1;
        let visited = old.radius2();
        for z in 0..old.depth() {
            for y in 0..old.side {
                let from = (z * old.side + y) * row;
                let to = larger.shape.row_of(&old, z, y);
                let [zz, yy] = [
                    z as i64 - old.half_depth() as i64,
                    y as i64 - old.half() as i64,
                ];
                for x in 0..row {
                    if zz * zz + yy * yy + (x * x) as i64 >= visited {
                        break;
                    }
                    for (new, old) in larger.first.iter_mut().zip(&self.first) {
                        new[to + x] = old[from + x];
                    }
                    larger.second[to + x] = self.second[from + x];
                }
            }
        }
        *self = larger;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fourier::shape::Dimensions;

    #[test]
    fn growing_keeps_every_visited_element_in_its_place() {
        for dimensions in [Dimensions::Two, Dimensions::Three] {
            let small = VolumeShape::new(dimensions, 16, 2.0, 6);
            let large = VolumeShape::new(dimensions, 16, 2.0, 12);
            let mut moments = Moments::new(small);
            let at = |shape: &VolumeShape, [z, y, x]: [i64; 3]| {
                let z = z + shape.half_depth() as i64;
                let y = y + shape.half() as i64;
                (z as usize * shape.side + y as usize) * (shape.half() + 1) + x as usize
            };
            let z = if dimensions == Dimensions::Two { 0 } else { -2 };
            moments.first[1][at(&small, [z, 3, 1])] = Complex64::new(2.0, -1.0);
            moments.second[at(&small, [z, 3, 1])] = 0.5;
            moments.grow(&large);
            assert_eq!(moments.shape, large);
            assert_eq!(
                moments.first[1][at(&large, [z, 3, 1])],
                Complex64::new(2.0, -1.0)
            );
            assert_eq!(moments.second.iter().filter(|&&v| v != 1.0).count(), 1);
            assert_eq!(moments.second[at(&large, [z, 3, 1])], 0.5);
            let before = moments.clone();
            moments.grow(&small);
            assert_eq!(moments, before);
        }
    }
}
