//! Number formats of RELION's STAR files (spec 03 §1.1).

use std::io::Write;

/// Width of a number field in characters.
pub const WIDTH: usize = 12;

/// Append a real number in RELION's format: right-aligned in 12 characters, fixed with 6 decimals (5 when
/// negative), scientific when 0 < |v| < 0.001 or |v| > 100000.
///
/// The text never exceeds 12 characters. RELION cuts longer ones, which would turn a three-digit exponent into
/// another number; here |v| < 1e-99 is written as 0 and |v| ≥ 1e100 loses one decimal instead.
///
/// ```
/// # use gerelion::formats::star::number::push_real;
/// let mut text = Vec::new();
/// push_real(&mut text, -7.5e-4);
/// assert_eq!(text, b"-7.50000e-04");
/// ```
pub fn push_real(out: &mut Vec<u8>, value: f64) {
    let magnitude = value.abs();
    if value.is_nan() {
        out.extend_from_slice(b"         nan");
    } else if value.is_infinite() {
        out.extend_from_slice(if value > 0.0 {
            b"         inf"
        } else {
            b"        -inf"
        });
    } else if magnitude > 0.0 && magnitude < 1e-99 {
        push_real(out, 0.0);
    } else if magnitude > 0.0 && !(0.001..=100_000.0).contains(&magnitude) {
        push_scientific(out, value);
    } else {
        let start = out.len();
        let decimals = if value >= 0.0 { 6 } else { 5 };
        write!(out, "{value:>WIDTH$.decimals$}").expect("writing to memory cannot fail");
        out.truncate(start + WIDTH);
    }
}

/// `d.dddddde±XX` with as many decimals as fit into 12 characters.
fn push_scientific(out: &mut Vec<u8>, value: f64) {
    let mut decimals = if value >= 0.0 { 6 } else { 5 };
    let text = loop {
        // Rust prints the exponent without sign or padding; C prints a sign and at least two digits.
        let text = format!("{value:.decimals$e}");
        let (mantissa, exponent) = text
            .split_once('e')
            .expect("scientific notation has an exponent");
        let (sign, digits) = match exponent.strip_prefix('-') {
            Some(digits) => ('-', digits),
            None => ('+', exponent),
        };
        let text = format!("{mantissa}e{sign}{digits:0>2}");
        if text.len() <= WIDTH {
            break text;
        }
        decimals -= 1;
    };
    write!(out, "{text:>WIDTH$}").expect("writing to memory cannot fail");
}

/// Append an integer, right-aligned in 12 characters.
pub fn push_integer(out: &mut Vec<u8>, value: i64) {
    write!(out, "{value:>WIDTH$}").expect("writing to memory cannot fail");
}

/// A real number as C's `scanf` reads it (also `inf`, `nan`, leading `+`), `None` if the text is not one.
pub fn parse_real(text: &str) -> Option<f64> {
    text.parse().ok()
}

/// An integer; also one written as a real number (`2.000000`), as RELION's reader accepts.
pub fn parse_integer(text: &str) -> Option<i64> {
    if let Ok(value) = text.parse() {
        return Some(value);
    }
    let real: f64 = text.parse().ok()?;
    // Beyond 2^53 a real number no longer says which integer was meant.
    (real.fract() == 0.0 && real.abs() < 9.0e15).then_some(real as i64)
}

/// Whether a cell is written in a number field (12 wide) rather than a text field (10 wide).
pub(super) fn looks_numeric(text: &str) -> bool {
    match text.as_bytes().first() {
        Some(b'0'..=b'9' | b'+' | b'-' | b'.') => parse_real(text).is_some(),
        Some(b'i' | b'n') => text == "inf" || text == "nan",
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn real(value: f64) -> String {
        let mut out = Vec::new();
        push_real(&mut out, value);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn reals_follow_the_rules_of_the_format() {
        for (value, text) in [
            (0.0, "    0.000000"),
            (-1.0, "    -1.00000"),
            (300.0, "  300.000000"),
            (0.001, "    0.001000"),
            (0.000_999, "9.990000e-04"),
            (100_000.0, "100000.00000"),
            (100_000.5, "1.000005e+05"),
            (-100_000.0, "-100000.0000"),
            (5_726_323.0, "5.726323e+06"),
            (-7.5e-4, "-7.50000e-04"),
            (1e-100, "    0.000000"),
            (-2e-300, "    0.000000"),
            (1e100, "1.00000e+100"),
            (-1e300, "-1.0000e+300"),
            (9.999_999_9e99, "1.00000e+100"),
            (f64::INFINITY, "         inf"),
            (f64::NEG_INFINITY, "        -inf"),
            (f64::NAN, "         nan"),
        ] {
            assert_eq!(real(value), text);
        }
    }

    #[test]
    fn integers_may_be_written_as_reals() {
        assert_eq!(parse_integer("2.000000"), Some(2));
        assert_eq!(parse_integer("-17"), Some(-17));
        assert_eq!(parse_integer("2.5"), None);
        assert_eq!(parse_integer("two"), None);
        assert_eq!(parse_integer("inf"), None);
    }

    proptest! {
        #[test]
        fn reals_fit_the_field_and_read_back(value in prop::num::f64::ANY) {
            let text = real(value);
            prop_assert_eq!(text.len(), WIDTH);
            let back = parse_real(text.trim()).unwrap();
            if value.is_nan() {
                prop_assert!(back.is_nan());
            } else if value.is_infinite() {
                prop_assert_eq!(back, value);
            } else if value.abs() >= 1e-99 {
                // Fixed notation keeps at least 4 decimals, scientific at least 4 digits after the point.
                prop_assert!((back - value).abs() <= 5e-4 * value.abs() + 5e-6, "{} became {}", value, back);
            }
        }
    }
}
