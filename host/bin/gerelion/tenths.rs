//! Progress of a command: a line for each tenth of its work, with the time that the rest will take.

use std::time::{Duration, Instant};

/// Work of which less is left is not told.
const PATIENCE: Duration = Duration::from_secs(5);

/// Work under way.
pub struct Tenths {
    /// "particles back-projected".
    what: &'static str,
    begun: Instant,
    told: usize,
}

impl Tenths {
    /// Begins work whose steps are counted as `what`.
    pub fn of(what: &'static str) -> Self {
        Self {
            what,
            begun: Instant::now(),
            told: 0,
        }
    }

    /// Prints a line where another tenth of all steps is done.
    pub fn reach(&mut self, done: usize, all: usize) {
        let tenths = 10 * done / all.max(1);
        if tenths > self.told {
            self.told = tenths;
            println!("{}", line(self.what, done, all, self.begun.elapsed()));
        }
    }
}

fn line(what: &str, done: usize, all: usize, elapsed: Duration) -> String {
    let left = elapsed.mul_f64(all.saturating_sub(done) as f64 / done.max(1) as f64);
    match left > PATIENCE {
        true => format!(" {done} of {all} {what}, about {} s left", left.as_secs()),
        false => format!(" {done} of {all} {what}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rest_takes_as_long_per_step_as_what_is_done() {
        let after = |seconds| line("points measured", 20, 100, Duration::from_secs(seconds));
        assert_eq!(after(1), " 20 of 100 points measured");
        assert_eq!(after(10), " 20 of 100 points measured, about 40 s left");
        let end = line("points measured", 100, 100, Duration::from_secs(50));
        assert_eq!(end, " 100 of 100 points measured");
    }
}
