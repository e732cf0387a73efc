//! RELION's progress bar: the mouse that runs to the cheese (spec 03 §4.1).

use crate::errors::line_is_open;
use std::io::{IsTerminal, Write};
use std::time::Instant;

const MOUSE: &str = r#"~~(,_,">"#;
const CHEESE: &str = "[oo]";
/// Dots of a full bar, and how often it is redrawn at most.
const LENGTH: usize = 60;

/// A bar on standard output; nothing is shown when silent.
pub struct ProgressBar {
    dots: usize,
    started: Instant,
    silent: bool,
    /// Bars in a file are not redrawn every second.
    on_terminal: bool,
}

impl ProgressBar {
    /// Shows an empty bar of work that was begun at `started`.
    pub fn since(started: Instant, silent: bool) -> Self {
        let bar = Self {
            dots: 0,
            started,
            silent,
            on_terminal: std::io::stdout().is_terminal(),
        };
        bar.show(&empty());
        bar
    }

    /// Draws the bar for a share of the work done (above 0); None where it is not known. Redraws at most about 60 times in all;
    /// on a terminal also `by_the_clock`, so that it is seen to live.
    pub fn draw(&mut self, fraction: Option<f64>, by_the_clock: bool) {
        let dots = (LENGTH as f64 * fraction.unwrap_or(0.0).min(1.0) + 1e-9) as usize;
        if dots > self.dots || (by_the_clock && self.on_terminal) {
            self.dots = self.dots.max(dots);
            let elapsed = self.started.elapsed().as_secs_f64();
            self.show(&match fraction {
                Some(fraction) => drawn(elapsed, fraction.min(1.0)),
                None => of_unknown_length(elapsed),
            });
        }
    }

    /// Full bar, "yum!" and a newline.
    pub fn finish(self) {
        self.show(&full(self.started.elapsed().as_secs_f64()));
    }

    fn show(&self, text: &str) {
        if self.silent {
            return;
        }
        line_is_open(!text.ends_with('\n'));
        let mut out = std::io::stdout().lock();
        // A closed pipe must not end a refinement.
        let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    }
}

/// The bar before the first step.
fn empty() -> String {
    format!("000/??? sec {MOUSE}{:58}{CHEESE}", "")
}

/// The bar after `elapsed` seconds of work that nobody knows the length of.
fn of_unknown_length(elapsed: f64) -> String {
    format!("\r{:03}/??? sec {MOUSE}{:58}{CHEESE}", elapsed as u64, "")
}

/// The bar after `elapsed` seconds with `fraction` of the work done (above 0, at most 1).
fn drawn(elapsed: f64, fraction: f64) -> String {
    let dots = ((LENGTH as f64 * fraction) as usize).min(LENGTH);
    // Over the last three columns the mouse eats the cheese.
    let free = LENGTH - dots;
    let eaten = CHEESE.len().saturating_sub(free + 1);
    format!(
        "\r{}{:.<dots$}{MOUSE}{:gap$}{}",
        times(elapsed, elapsed / fraction),
        "",
        "",
        &CHEESE[eaten..],
        gap = free.saturating_sub(CHEESE.len() - 1),
    )
}

/// The bar at its end.
fn full(elapsed: f64) -> String {
    format!("{} yum!\n", drawn(elapsed, 1.0))
}

/// Elapsed and estimated total time in the unit that suits the latter.
fn times(elapsed: f64, total: f64) -> String {
    if total > 3600.0 {
        format!("{:3.2}/{:3.2} hrs ", elapsed / 3600.0, total / 3600.0)
    } else if total > 60.0 {
        format!("{:3.2}/{:3.2} min ", elapsed / 60.0, total / 60.0)
    } else {
        format!("{:4}/{:4} sec ", elapsed as u64, total as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mouse_starts_far_from_the_cheese() {
        let spaces = " ".repeat(54);
        assert_eq!(empty(), format!("000/??? sec ~~(,_,\">{spaces}    [oo]"));
    }

    #[test]
    fn dots_follow_the_mouse() {
        let bar = drawn(10.0, 0.5);
        assert_eq!(bar.matches('.').count(), 30);
        assert!(bar.starts_with("\r  10/  20 sec ..."), "{bar}");
        assert!(bar.ends_with(" [oo]"), "{bar}");
    }

    #[test]
    fn the_cheese_is_eaten_in_the_last_three_columns() {
        let tail = |dots: usize| {
            let bar = drawn(1.0, dots as f64 / 60.0 + 1e-9);
            bar.split_once(MOUSE).unwrap().1.to_string()
        };
        assert_eq!(
            [56, 57, 58, 59, 60].map(tail),
            [" [oo]", "[oo]", "oo]", "o]", "]"]
        );
    }

    #[test]
    fn long_runs_are_told_in_minutes_and_hours() {
        assert!(drawn(30.0, 0.25).starts_with("\r0.50/2.00 min "));
        assert!(drawn(3600.0, 0.25).starts_with("\r1.00/4.00 hrs "));
    }

    #[test]
    fn the_end_is_yum() {
        assert!(full(3.0).starts_with("\r   3/   3 sec ...."));
        assert!(full(3.0).ends_with("~~(,_,\">] yum!\n"));
    }
}
