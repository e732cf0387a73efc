//! How long iterations take, and how much is left, from the times at which optimiser files were written.

use super::files::SetName;
use super::history::Set;
use std::time::SystemTime;

/// Iterations whose mean is taken for those to come: the latest ones, because image size and sampling change.
const RECENT: usize = 3;

/// No iteration is this fast (seconds): files that follow each other more closely were copied.
const FASTEST: f64 = 0.01;

/// Fill in the seconds of each iteration. False, and nothing filled in, where the times cannot be those of a run.
pub(crate) fn fill(sets: &mut [Set]) -> bool {
    let times: Vec<(SetName, Option<SystemTime>)> =
        sets.iter().map(|set| (set.name, set.written)).collect();
    let Some(seconds) = seconds(&times) else {
        return false;
    };
    for (set, seconds) in sets.iter_mut().zip(seconds) {
        set.seconds = seconds;
    }
    true
}

/// Seconds per iteration from the set before to each set, of which there may be several (gradient runs write every tenth); None for
/// the whole where a set seems older than the one before it, or all are as old.
fn seconds(times: &[(SetName, Option<SystemTime>)]) -> Option<Vec<Option<f64>>> {
    let mut found = vec![None; times.len()];
    for i in 1..times.len() {
        let ((before, Some(start)), (name, Some(end))) = (times[i - 1], times[i]) else {
            continue;
        };
        let span = end.duration_since(start).ok()?.as_secs_f64();
        found[i] = name
            .iterations_since(before)
            .map(|count| span / count as f64);
    }
    let known: Vec<f64> = found.iter().flatten().copied().collect();
    let plausible = known.is_empty() || mean(&known) >= FASTEST;
    plausible.then_some(found)
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// Mean seconds of the last iterations, and their number.
pub(crate) fn recent(sets: &[Set]) -> Option<(f64, usize)> {
    let known: Vec<f64> = sets.iter().filter_map(|set| set.seconds).collect();
    let last = &known[known.len().saturating_sub(RECENT)..];
    (!last.is_empty()).then(|| (mean(last), last.len()))
}

/// Seconds left for `remaining` iterations of `each` seconds, the last file being `age` seconds old.
pub(crate) fn left(each: f64, remaining: usize, age: f64) -> f64 {
    // The iteration under way may take longer than those before; it does not shorten those that follow.
    each * remaining.saturating_sub(1) as f64
        + if remaining > 0 {
            (each - age).max(0.0)
        } else {
            0.0
        }
}

/// Seconds in words: `12.3 s`, `4 min 05 s`, `3 h 04 min`, `2 d 03 h`.
pub(crate) fn words(seconds: f64) -> String {
    let whole = seconds.round() as u64;
    match whole {
        0..60 => format!("{seconds:.1} s"),
        60..3600 => format!("{} min {:02} s", whole / 60, whole % 60),
        3600..172_800 => format!("{} h {:02} min", whole / 3600, whole / 60 % 60),
        _ => format!("{} d {:02} h", whole / 86_400, whole / 3600 % 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, UNIX_EPOCH};

    fn times(seconds: &[f64]) -> Vec<(SetName, Option<SystemTime>)> {
        let at = |s: &f64| UNIX_EPOCH + Duration::from_secs_f64(1e9 + s);
        seconds
            .iter()
            .enumerate()
            .map(|(i, s)| (SetName::Iteration(i), Some(at(s))))
            .collect()
    }

    #[test]
    fn iterations_last_from_file_to_file() {
        let found = seconds(&times(&[0.0, 60.0, 90.0])).unwrap();
        assert_eq!(found, [None, Some(60.0), Some(30.0)]);
        let mut gap = times(&[0.0, 60.0, 90.0]);
        gap[1].1 = None;
        assert_eq!(seconds(&gap).unwrap(), [None, None, None]);
        // Iteration 2 is missing: the time between 1 and 3 is that of two iterations.
        gap = times(&[0.0, 60.0, 90.0]);
        gap[2].0 = SetName::Iteration(3);
        assert_eq!(seconds(&gap).unwrap(), [None, Some(60.0), Some(15.0)]);
        gap[2].0 = SetName::Final;
        assert_eq!(seconds(&gap).unwrap()[2], Some(30.0));
    }

    #[test]
    fn copied_files_say_nothing() {
        assert_eq!(seconds(&times(&[5.0, 3.0, 9.0])), None);
        assert_eq!(seconds(&times(&[5.0, 5.001, 5.002])), None);
        assert_eq!(seconds(&times(&[5.0])), Some(vec![None]));
    }

    #[test]
    fn what_is_left_counts_the_iteration_under_way() {
        assert_eq!(left(100.0, 4, 30.0), 370.0);
        assert_eq!(left(100.0, 4, 500.0), 300.0);
        assert_eq!(left(100.0, 0, 5.0), 0.0);
    }

    #[test]
    fn times_in_words() {
        for (seconds, text) in [
            (0.25, "0.2 s"),
            (59.4, "59.4 s"),
            (245.0, "4 min 05 s"),
            (11_040.0, "3 h 04 min"),
            (183_600.0, "2 d 03 h"),
        ] {
            assert_eq!(words(seconds), text);
        }
    }
}
