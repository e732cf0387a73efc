//! Where the axes of a chart have their ticks, and what is written there.

/// A tick: the value on the axis and its text.
pub(super) type Tick = (f64, String);

/// Round values, some `wanted` of them, from `low` to `high`.
pub(super) fn linear(low: f64, high: f64, wanted: usize) -> Vec<Tick> {
    let span = high - low;
    if !span.is_finite() || span <= 0.0 {
        return vec![(low, low.to_string())];
    }
    let rough = span / wanted.max(1) as f64;
    let power = 10f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0]
        .map(|digit| digit * power)
        .into_iter()
        .find(|step| *step >= rough * 0.999)
        .unwrap_or(10.0 * power);
    let decimals = (-step.log10().floor()).max(0.0) as usize;
    let (first, last) = (
        (low / step - 1e-6).ceil() as i64,
        (high / step + 1e-6).floor() as i64,
    );
    (first..=last)
        .map(|i| (i as f64 * step, format!("{:.decimals$}", i as f64 * step)))
        .collect()
}

/// Whole numbers from `low` to `high`, at most `most` of them.
pub(super) fn whole(low: f64, high: f64, most: usize) -> Vec<Tick> {
    let span = (high - low).max(1.0);
    let step = (span / most.max(1) as f64).ceil().max(1.0);
    // 1, 2, 5, 10, 20, …
    let step = linear(0.0, 10.0 * step, 10)
        .get(1)
        .map_or(1.0, |(value, _)| value.max(1.0));
    let first = (low / step).ceil() as i64;
    let last = (high / step).floor() as i64;
    (first..=last)
        .map(|i| (i as f64 * step, format!("{}", i as f64 * step)))
        .collect()
}

/// Powers of ten from `low` to `high`, at most some eight; between few of them two and five times each as well.
pub(super) fn decades(low: f64, high: f64) -> Vec<Tick> {
    let (first, last) = (
        low.log10().floor().max(-300.0) as i32,
        high.log10().floor().min(300.0) as i32,
    );
    let step = ((last - first) / 8 + 1) as usize;
    let digits: &[i32] = if last - first <= 2 { &[1, 2, 5] } else { &[1] };
    let powers = (first..=last).step_by(step);
    let ticks = powers.flat_map(|power| digits.iter().map(move |digit| (*digit, power)));
    ticks
        .map(|(digit, power)| {
            let value = f64::from(digit) * 10f64.powi(power);
            let text = match power {
                -3..=4 => format!("{:.*}", (-power).max(0) as usize, value),
                _ => format!("{digit}e{power}"),
            };
            (value, text)
        })
        .filter(|(value, _)| (low * 0.999..=high * 1.001).contains(value))
        .collect()
}

/// Frequencies (1/Å) up to `high` at which the resolution is a round number of Å, at least `distance` apart; the text is the resolution.
pub(super) fn resolutions(low: f64, high: f64, distance: f64) -> Vec<Tick> {
    let mut found: Vec<Tick> = Vec::new();
    let mut last = f64::INFINITY;
    for power in -1..=3 {
        for digits in [10, 12, 15, 20, 25, 30, 40, 50, 60, 80] {
            let resolution = f64::from(digits) / 10.0 * 10f64.powi(power);
            let frequency = 1.0 / resolution;
            if frequency <= high * 1.0001
                && frequency >= low + distance
                && last - frequency >= distance
            {
                // Without the digits that a product of decimal fractions brings.
                found.push((frequency, format!("{}", (resolution * 1e3).round() / 1e3)));
                last = frequency;
            }
        }
    }
    found.reverse();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(ticks: &[Tick]) -> Vec<&str> {
        ticks.iter().map(|(_, text)| text.as_str()).collect()
    }

    #[test]
    fn linear_ticks_are_round() {
        assert_eq!(
            texts(&linear(0.0, 1.0, 5)),
            ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]
        );
        assert_eq!(texts(&linear(-0.13, 0.1, 3)), ["-0.1", "0.0", "0.1"]);
        assert_eq!(texts(&linear(0.0, 170.0, 4)), ["0", "50", "100", "150"]);
        assert_eq!(linear(2.0, 2.0, 4).len(), 1);
        assert_eq!(linear(0.0, f64::NAN, 4).len(), 1);
    }

    #[test]
    fn iterations_are_whole() {
        assert_eq!(texts(&whole(0.0, 3.0, 10)), ["0", "1", "2", "3"]);
        assert_eq!(
            texts(&whole(0.0, 25.0, 10)),
            ["0", "5", "10", "15", "20", "25"]
        );
        assert_eq!(texts(&whole(4.0, 5.0, 10)), ["4", "5"]);
    }

    #[test]
    fn decades_stay_few() {
        assert_eq!(texts(&decades(0.05, 200.0)), ["0.1", "1", "10", "100"]);
        assert!(decades(1e-30, 1e30).len() <= 9);
    }

    #[test]
    fn an_axis_of_one_decade_has_more_than_one_tick() {
        assert_eq!(
            texts(&decades(4e-5, 6e-4)),
            ["5e-5", "1e-4", "2e-4", "5e-4"]
        );
        assert_eq!(texts(&decades(0.8, 12.0)), ["1", "2", "5", "10"]);
    }

    #[test]
    fn resolutions_are_round_and_apart() {
        let ticks = resolutions(0.0, 0.125, 0.016);
        assert_eq!(texts(&ticks), ["60", "30", "20", "15", "12", "10", "8"]);
        assert!(ticks.windows(2).all(|t| t[1].0 - t[0].0 >= 0.016));
        assert!((ticks[6].0 - 0.125).abs() < 1e-12);
    }
}
