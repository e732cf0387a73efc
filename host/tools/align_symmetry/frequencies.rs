//! Frequencies at which a map is compared with its turned copies.

/// A frequency in whole units of 1/(N·pixel), and the number of frequencies that it stands for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Frequency {
    /// (x, y, z).
    pub at: [f32; 3],
    /// At least 1.
    pub weight: f64,
}

/// Returns about `most` frequencies of the half sphere of shells 1…`r_max`, whose other half is its mate. Low shells, where nearly
/// all the power is, are complete; of each of the others as many are left.
pub(super) fn thinned(r_max: usize, most: usize) -> Vec<Frequency> {
    let mut shells = vec![Vec::new(); r_max + 1];
    let r = r_max as i64;
    for z in -r..=r {
        for y in -r..=r {
            for x in 0..=r {
                let is_mate = x == 0 && (y < 0 || (y == 0 && z < 0));
                let r2 = x * x + y * y + z * z;
                if !is_mate && r2 > 0 && r2 <= r * r {
                    let shell = (r2 as f64).sqrt().round() as usize;
                    shells[shell.min(r_max)].push([x as f32, y as f32, z as f32]);
                }
            }
        }
    }
    let each = largest_share(&shells, most);
    let mut kept = Vec::new();
    for shell in shells {
        let count = shell.len().min(each);
        let weight = shell.len() as f64 / count.max(1) as f64;
        // A step that divides neither rows nor planes.
        kept.extend((0..count).map(|i| Frequency {
            at: shell[(i as f64 * weight) as usize],
            weight,
        }));
    }
    kept
}

/// The most frequencies that each shell may keep, so that there are no more than `most`, but a few of each.
fn largest_share(shells: &[Vec<[f32; 3]>], most: usize) -> usize {
    const FEW: usize = 50;
    let total = |each: usize| -> usize { shells.iter().map(|s| s.len().min(each)).sum() };
    let largest = shells.iter().map(Vec::len).max().unwrap_or(0);
    let (mut low, mut high) = (FEW, largest.max(FEW));
    while low < high {
        let middle = (low + high).div_ceil(2);
        match total(middle) <= most {
            true => low = middle,
            false => high = middle - 1,
        }
    }
    low
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_frequency_is_there_or_stood_for() {
        let all = thinned(16, usize::MAX);
        assert!(all.iter().all(|frequency| frequency.weight == 1.0));
        // Half of a ball of radius 16.
        let ball = 4.0 / 3.0 * std::f64::consts::PI * 16f64.powi(3) / 2.0;
        assert!(
            (all.len() as f64 / ball - 1.0).abs() < 0.02,
            "{}",
            all.len()
        );
        let few = thinned(16, 2000);
        assert!((1500..=2000).contains(&few.len()), "{}", few.len());
        let stood_for: f64 = few.iter().map(|frequency| frequency.weight).sum();
        assert!((stood_for - all.len() as f64).abs() < 1e-6);
        assert_eq!(few[0].weight, 1.0);
    }
}
