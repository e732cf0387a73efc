//! Lengths from file headers in messages.

use std::fmt;

/// A length in Å (a pixel size, the width of a box) as messages print it: with six significant digits at most.
///
/// Headers hold single precision and widths in place of pixel sizes, so that 4.02 Å arrives as 4.019999980926514.
///
/// ```
/// # use gerelion::formats::angstrom::Angstrom;
/// assert_eq!(Angstrom(4.019999980926514).to_string(), "4.02");
/// assert_eq!(Angstrom(f64::from(257.28f32)).to_string(), "257.28");
/// assert_eq!(Angstrom(3.0).to_string(), "3");
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Angstrom(pub f64);

impl fmt::Display for Angstrom {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let digits = format!("{:.5e}", self.0);
        let rounded = digits.parse().unwrap_or(self.0);
        fmt::Display::fmt(&rounded, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn single_precision_and_widths_divided_by_boxes_print_as_they_were_given() {
        for (given, text) in [
            (f64::from(4.02f32), "4.02"),
            (f64::from(318.0f32 * 1.06) / 318.0, "1.06"),
            (f64::from(0.6575f32), "0.6575"),
            (257.28 / 64.0, "4.02"),
            (1e-7, "0.0000001"),
            (0.0, "0"),
            (-1.5, "-1.5"),
            (f64::NAN, "NaN"),
            (f64::INFINITY, "inf"),
        ] {
            assert_eq!(Angstrom(given).to_string(), text);
        }
    }
}
