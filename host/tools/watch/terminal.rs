//! The page on a terminal.

use crate::tools::moment;
use crate::tools::watch::View;
use crate::tools::watch::cards::Card;
use crate::tools::watch::standing::Standing;
use std::io::{self, Write};

/// Blocks of growing height.
const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
/// Iterations in the small curves.
const CURVE: usize = 16;
/// Notes of a run that are shown, the latest ones.
const NOTES: usize = 2;
/// Narrower terminals get lines of this width, which they wrap.
const NARROWEST: usize = 60;

/// A terminal whose last page is replaced by the next.
#[derive(Debug, Default)]
pub struct Screen {
    /// Lines of the page that is shown.
    lines: usize,
}

impl Screen {
    /// Shows a page in the place of the one before.
    ///
    /// # Errors
    /// Nothing can be printed.
    pub fn show(&mut self, view: &View) -> io::Result<()> {
        let size = rustix::termios::tcgetwinsize(io::stdout()).ok();
        let width = size.map_or(100, |size| usize::from(size.ws_col));
        let height = size.map_or(usize::MAX, |size| usize::from(size.ws_row));
        let page = text(view, width);
        // Lines beyond the screen could not be replaced.
        let shown: Vec<&str> = page.lines().take(height.saturating_sub(1)).collect();
        let back = match self.lines {
            0 => String::new(),
            lines => format!("\x1b[{lines}F\x1b[J"),
        };
        let mut out = io::stdout().lock();
        write!(out, "{back}{}\n", shown.join("\n"))?;
        self.lines = shown.len();
        out.flush()
    }
}

/// Returns the page as lines of at most `width` characters.
pub fn text(view: &View, width: usize) -> String {
    let width = width.max(NARROWEST);
    let mut lines = vec![format!("gerelion watch   {}", moment::minute(view.now))];
    lines.extend(view.cards.iter().flatten().map(card));
    let heads = [
        "Run",
        "State",
        "Iteration",
        "Resolution",
        "Pmax",
        "Time left",
    ]
    .map(String::from);
    let rows: Vec<[String; 6]> = view.runs.iter().map(cells).collect();
    let widths: Vec<usize> = (0..heads.len())
        .map(|i| {
            let column = rows.iter().map(|row| row[i].chars().count());
            column.chain([heads[i].chars().count()]).max().unwrap_or(0)
        })
        .collect();
    let line = |cells: &[String; 6]| {
        let padded = cells.iter().zip(&widths).map(|(cell, width)| {
            let gap = width - cell.chars().count();
            format!("{cell}{:gap$}", "")
        });
        padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    lines.push(String::new());
    lines.push(line(&heads));
    for (run, row) in view.runs.iter().zip(&rows) {
        lines.push(line(row));
        let stage = run.stage();
        if !stage.is_empty() {
            lines.push(format!("    now: {stage}"));
        }
        let first = run.notes.len().saturating_sub(NOTES);
        lines.extend(run.notes[first..].iter().map(|note| format!("  ! {note}")));
    }
    lines
        .iter()
        .map(|line| cut(&printable(line), width))
        .collect::<Vec<_>>()
        .join("\n")
}

fn cells(run: &Standing) -> [String; 6] {
    let latest = |points: &[(f64, f64)]| points.last().map(|(_, value)| *value);
    let with_curve = |value: Option<String>, curve: String| match value {
        Some(value) => format!("{value} {curve}"),
        None => "–".into(),
    };
    // Finer is higher.
    let finer: Vec<f64> = run.resolutions.iter().map(|(_, r)| 1.0 / r).collect();
    let pmax: Vec<f64> = run.pmax.iter().map(|(_, p)| *p).collect();
    [
        run.prefix.clone(),
        run.word.clone(),
        run.iterations(),
        with_curve(
            latest(&run.resolutions).map(|r| format!("{r:.2} Å")),
            curve(&finer),
        ),
        with_curve(latest(&run.pmax).map(|p| format!("{p:.2}")), curve(&pmax)),
        run.time_left(),
    ]
}

fn card(card: &Card) -> String {
    const MIB_PER_GIB: f64 = 1024.0;
    let busy = card
        .busy
        .map_or("–".into(), |busy| format!("{busy:.0} % busy"));
    let memory = card.memory.map_or(String::new(), |[used, total]| {
        format!(
            ", {:.1} of {:.1} GiB",
            used / MIB_PER_GIB,
            total / MIB_PER_GIB
        )
    });
    format!("GPU {}: {busy}{memory}", card.name)
}

/// A curve of blocks, between 0 and its largest value.
fn curve(values: &[f64]) -> String {
    let recent = &values[values.len().saturating_sub(CURVE)..];
    let largest = recent
        .iter()
        .copied()
        .filter(|v| v.is_finite())
        .fold(0.0, f64::max);
    if recent.len() < 2 || largest <= 0.0 {
        return String::new();
    }
    let bar = |value: &f64| {
        let share = (value / largest).clamp(0.0, 1.0);
        BARS[(share * (BARS.len() - 1) as f64).round() as usize]
    };
    recent.iter().map(bar).collect()
}

/// Without characters that a terminal would obey: names and messages come from files.
fn printable(line: &str) -> String {
    let shown = |c: char| if c.is_control() { '\u{fffd}' } else { c };
    line.chars().map(shown).collect()
}

fn cut(line: &str, width: usize) -> String {
    if line.chars().count() <= width {
        return line.to_owned();
    }
    let kept: String = line.chars().take(width - 1).collect();
    format!("{kept}…")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn curves_rise_to_their_largest_value() {
        assert_eq!(curve(&[0.0, 0.5, 1.0]), "▁▅█");
        assert_eq!(curve(&[0.5]), "");
        assert_eq!(curve(&[f64::NAN, 0.0]), "");
    }

    #[test]
    fn names_cannot_steer_the_terminal() {
        assert_eq!(printable("a\x1b[2Jb"), "a\u{fffd}[2Jb");
        assert_eq!(cut("abcdef", 4), "abc…");
    }
}
