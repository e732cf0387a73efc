//! Resolution shells, rounding rules, cropping (spec 01 §0.1, §1.4, §1.6–1.7).

/// Round half away from zero, as RELION does.
pub fn round(x: f64) -> i64 {
    if x > 0.0 {
        (x + 0.5) as i64
    } else {
        (x - 0.5) as i64
    }
}

/// RELION's CEIL: an exact integer stays; else truncate(x+1) for x > 0 and truncate(x) otherwise.
pub fn ceil(x: f64) -> i64 {
    x.ceil() as i64
}

/// RELION's FLOOR, the mirror image of [`ceil`].
pub fn floor(x: f64) -> i64 {
    x.floor() as i64
}

/// RELION's WRAP: unchanged inside `[from, to]` (both ends inclusive), else moved by whole multiples of the width.
pub fn wrap(x: f64, from: f64, to: f64) -> f64 {
    let width = to - from;
    if x < from {
        x + ((from - x) / width).ceil() * width
    } else if x > to {
        x - ((x - to) / width).ceil() * width
    } else {
        x
    }
}

/// Logical frequency of stored row `i` of a transform with `n` rows; the Nyquist row is +n/2.
pub fn logical(i: usize, n: usize) -> i64 {
    if i <= n / 2 {
        i as i64
    } else {
        i as i64 - n as i64
    }
}

/// Stored row of a logical frequency: the inverse of [`logical`].
pub fn stored(frequency: i64, n: usize) -> usize {
    frequency.rem_euclid(n as i64) as usize
}

/// Shell of a squared radius in unpadded voxels: ROUND(√r²).
pub fn shell(radius2: i64) -> usize {
    round((radius2 as f64).sqrt()) as usize
}

/// Returns the shell ROUND(√r²/p) of every squared radius up to `radius2`. Only those around the ends of shells are worked out: each class
/// of an iteration needs such a table several times.
pub(crate) fn shell_table(radius2: i64, padding: f64) -> Vec<u32> {
    let shell = |r2: i64| round((r2 as f64).sqrt() / padding) as u32;
    let mut table = Vec::with_capacity(radius2 as usize + 1);
    while table.len() as i64 <= radius2 {
        let begin = table.len() as i64;
        let number = shell(begin);
        let last = ((f64::from(number) + 0.5) * padding).powi(2) as i64;
        let mut last = last.clamp(begin, radius2);
        while last < radius2 && shell(last + 1) == number {
            last += 1;
        }
        while shell(last) != number {
            last -= 1;
        }
        table.resize(last as usize + 1, number);
    }
    table
}

/// Resolution of a shell in Å as files state it: 999 for shell 0.
pub fn shell_to_angstrom(shell: usize, box_size: usize, pixel_size: f64) -> f64 {
    if shell == 0 {
        999.0
    } else {
        pixel_size * box_size as f64 / shell as f64
    }
}

/// Shell map of an n×n half-complex image, n rows of n/2+1: ROUND(√(x²+y²)), or −1 for pixels that take no part
/// (beyond n/2, and the redundant rows y < 0 of the column x = 0; spec 01 §1.6).
pub fn shell_map(n: usize) -> Vec<i32> {
    let width = n / 2 + 1;
    (0..n * width)
        .map(|i| {
            let (y, x) = (logical(i / width, n), (i % width) as i64);
            let shell = shell(x * x + y * y);
            if shell <= n / 2 && (x > 0 || y >= 0) {
                shell as i32
            } else {
                -1
            }
        })
        .collect()
}

/// Participating pixels per shell 0…n/2 of an n×n half-complex image.
pub fn pixels_per_shell(n: usize) -> Vec<f64> {
    let mut count = vec![0.0; n / 2 + 1];
    for shell in shell_map(n) {
        if shell >= 0 {
            count[shell as usize] += 1.0;
        }
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_hold_the_shell_of_every_squared_radius() {
        for (radius2, padding) in [
            (0, 1.0),
            (65 * 65, 2.0),
            (40 * 40, 1.5),
            (33 * 33, 1.0),
            (9999, 3.7),
        ] {
            let expected = (0..=radius2).map(|r2| round((r2 as f64).sqrt() / padding) as u32);
            assert_eq!(
                shell_table(radius2, padding),
                expected.collect::<Vec<_>>(),
                "{padding}"
            );
        }
    }
    use proptest::prelude::*;

    #[test]
    fn halves_are_rounded_away_from_zero() {
        let cases = [(0.5, 1), (-0.5, -1), (1.49, 1), (-1.5, -2), (0.0, 0)];
        for (x, expected) in cases {
            assert_eq!(round(x), expected, "{x}");
        }
        assert_eq!((ceil(2.0), ceil(2.1), ceil(-2.1)), (2, 3, -2));
        assert_eq!((floor(2.0), floor(2.9), floor(-2.1)), (2, 2, -3));
    }

    #[test]
    fn wrapping_leaves_both_ends_alone() {
        assert_eq!(wrap(180.0, -180.0, 180.0), 180.0);
        assert_eq!(wrap(-180.0, -180.0, 180.0), -180.0);
        assert_eq!(wrap(190.0, -180.0, 180.0), -170.0);
        assert_eq!(wrap(-550.0, -180.0, 180.0), 170.0);
    }

    #[test]
    fn rows_and_frequencies() {
        assert_eq!(
            (0..6).map(|i| logical(i, 6)).collect::<Vec<_>>(),
            [0, 1, 2, 3, -2, -1]
        );
        assert!((0..6).all(|i| stored(logical(i, 6), 6) == i));
    }

    /// n = 4, counted by hand: 1 origin; (1,0) (0,1) (1,±1); then (2,0) (0,2) (2,±1) (1,2).
    #[test]
    fn pixels_of_a_small_image() {
        assert_eq!(pixels_per_shell(4), [1.0, 4.0, 5.0]);
    }

    #[test]
    fn shells_have_a_resolution() {
        assert_eq!(shell_to_angstrom(8, 64, 4.0), 32.0);
        assert_eq!(shell_to_angstrom(0, 64, 4.0), 999.0);
    }

    proptest! {
        #[test]
        fn wrapped_values_are_inside_and_differ_by_whole_turns(x in -5000.0f64..5000.0) {
            let w = wrap(x, -180.0, 180.0);
            prop_assert!((-180.0..=180.0).contains(&w));
            let turns = (x - w) / 360.0;
            prop_assert!((turns - turns.round()).abs() < 1e-9);
        }
    }
}
