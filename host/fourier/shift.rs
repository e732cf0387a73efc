//! Shifts of images in Fourier space.

use gpu::image::shift_phase;
use num_complex::{Complex32, Complex64};

/// Phases of a shift in the transform of an image ([`shift_phase`]), as the product of a factor per column and one per row.
pub struct Phases {
    columns: Vec<Complex64>,
    /// Rows −size/2+1…size/2.
    rows: Vec<Complex64>,
    first_row: i32,
}

impl Phases {
    /// For a shift (x, y) in pixels of boxes of `box_size`, in transforms that are cropped to `size`.
    pub fn new(shift: [f64; 2], box_size: usize, size: usize) -> Self {
        let phase = |x: i32, y: i32| {
            let [re, im] = shift_phase(x, y, shift, box_size as u32);
            Complex64::new(re, im)
        };
        let half = (size / 2) as i32;
        Self {
            columns: (0..=half).map(|x| phase(x, 0)).collect(),
            rows: (1 - half..=half).map(|y| phase(0, y)).collect(),
            first_row: 1 - half,
        }
    }

    /// Multiplies the values of row `y` from column `first` on by their phases.
    pub fn apply(&self, y: i32, first: usize, values: &mut [Complex32]) {
        let row = self.rows[(y - self.first_row) as usize];
        for (value, column) in values.iter_mut().zip(&self.columns[first..]) {
            let phase = column * row;
            *value *= Complex32::new(phase.re as f32, phase.im as f32);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_have_the_phases_of_their_pixels() {
        let (shift, n, size) = ([1.7, -0.4], 20, 12);
        let phases = Phases::new(shift, n, size);
        for y in -5..=6 {
            let mut row = vec![Complex32::new(1.0, 0.0); 5];
            phases.apply(y, 2, &mut row);
            for (i, found) in row.iter().enumerate() {
                let [re, im] = shift_phase(i as i32 + 2, y, shift, n as u32);
                let expected = Complex32::new(re as f32, im as f32);
                assert!((found - expected).norm() < 1e-6, "({i} + 2, {y})");
            }
        }
    }
}
