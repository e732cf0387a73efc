//! The grid of translations (spec 01 §4.2).

/// Returns the grid points (x outer, y inner) with x² + y² < range² + 0.001 Å².
pub(super) fn disc_of_translations(range: f64, step: f64) -> Vec<[f64; 2]> {
    // A step of nothing has no grid; the negated comparison also catches NaN.
    if !(step > 0.0 && range > 0.0) {
        return vec![[0.0, 0.0]];
    }
    let m = (range / step).ceil() as i64;
    let mut translations = Vec::new();
    for i in -m..=m {
        for j in -m..=m {
            let (x, y) = (i as f64 * step, j as f64 * step);
            if x * x + y * y < range * range + 0.001 {
                translations.push([x, y]);
            }
        }
    }
    translations
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_translations() {
        // Range and step in pixels of 1 Å (spec 01 §4.2).
        let table = [
            (3.0, 2.0, 9),
            (4.0, 2.0, 13),
            (5.0, 2.0, 21),
            (6.0, 2.0, 29),
            (5.0, 1.0, 81),
            (6.0, 1.0, 113),
            (3.0, 1.0, 29),
            (10.0, 2.0, 81),
        ];
        for (range, step, n) in table {
            assert_eq!(disc_of_translations(range, step).len(), n, "{range}/{step}");
        }
        let list = disc_of_translations(5.0, 2.0);
        assert_eq!(list[..3], [[-4.0, -2.0], [-4.0, 0.0], [-4.0, 2.0]]);
        assert_eq!(disc_of_translations(5.0, 0.0), [[0.0, 0.0]]);
        assert_eq!(disc_of_translations(0.0, 1.0), [[0.0, 0.0]]);
    }
}
