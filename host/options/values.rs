//! Values of options as words of a command line.

use super::entry::{Kind, OptionEntry};
use super::error::OptionsError;

/// Beyond it no RELION option has a meaning, and RELION's own integers end there.
const LARGEST_INTEGER: f64 = i32::MAX as f64;

/// Returns whether a value is the default of its option.
pub(super) fn is_default(entry: &OptionEntry, value: &str) -> bool {
    match entry.kind {
        Kind::Integer | Kind::Real => parse_real(value) == parse_real(entry.default),
        _ => value == entry.default,
    }
}

/// Checks that a value is of the kind that its option takes, and a number in its range.
pub(super) fn check_value(entry: &'static OptionEntry, value: &str) -> Result<(), OptionsError> {
    let (fits, expected) = match entry.kind {
        Kind::Flag | Kind::Text | Kind::OptionalText => (true, ""),
        Kind::Integer => match parse_real(value) {
            Some(number) if number.abs() > LARGEST_INTEGER => {
                (false, "a whole number of at most 2147483647")
            }
            _ => (parse_integer(value).is_some(), "a whole number"),
        },
        Kind::Real => (parse_real(value).is_some(), "a number"),
        Kind::Bytes => (
            parse_bytes(value).is_some(),
            "a number of bytes such as 20G",
        ),
    };
    if !fits {
        return Err(OptionsError::NotANumber {
            option: entry.name,
            expected,
            value: value.to_owned(),
        });
    }
    let is_number = matches!(entry.kind, Kind::Integer | Kind::Real);
    match parse_real(value).filter(|_| is_number) {
        Some(number) if !entry.range.holds(number) => Err(OptionsError::OutOfRange {
            option: entry.name,
            value: value.to_owned(),
            reason: entry.range.rule(entry.unit),
        }),
        _ => Ok(()),
    }
}

/// Returns a finite decimal number.
pub(super) fn parse_real(text: &str) -> Option<f64> {
    text.trim().parse::<f64>().ok().filter(|v| v.is_finite())
}

/// Returns a whole number, also written as 25.0; RELION's C parser takes both.
pub(super) fn parse_integer(text: &str) -> Option<i64> {
    let value = parse_real(text)?;
    (value.fract() == 0.0 && value.abs() <= LARGEST_INTEGER).then_some(value as i64)
}

/// Returns a number with an optional suffix (K, M, G, T, with or without B or iB), in powers of 1024.
pub(super) fn parse_bytes(text: &str) -> Option<u64> {
    let text = text.trim().to_ascii_uppercase();
    let digits = text.trim_end_matches('B').trim_end_matches('I').trim_end();
    let (number, exponent) = match digits.char_indices().next_back()? {
        (at, 'K') => (&digits[..at], 1),
        (at, 'M') => (&digits[..at], 2),
        (at, 'G') => (&digits[..at], 3),
        (at, 'T') => (&digits[..at], 4),
        _ => (digits, 0),
    };
    let value = parse_real(number)? * 1024f64.powi(exponent);
    (value > 0.0 && value < 1e18).then_some(value as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_have_suffixes() {
        for (text, bytes) in [
            ("20G", Some(20 << 30)),
            ("512M", Some(512 << 20)),
            ("1.5GiB", Some(3 << 29)),
            ("4096", Some(4096)),
            ("lots", None),
            ("-1G", None),
        ] {
            assert_eq!(parse_bytes(text), bytes, "{text}");
        }
    }
}
