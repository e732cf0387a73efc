//! Rows of timings under the names of the paper's Table 2, taken from the lines that a run prints.

use super::kernels::{self, KernelTotals};
use gerelion::device::ceilings::Ceilings;
use gerelion::tools::measure::Measured;
use std::fmt::Write as _;
use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

/// Seconds of one iteration, as the run printed them.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct IterationTimes {
    /// Number of the iteration.
    pub iteration: usize,
    /// Wall time of the iteration.
    pub wall: f64,
    /// getImg.
    pub get_img: f64,
    /// getDiff.
    pub get_diff: f64,
    /// convert.
    pub convert: f64,
    /// store.
    pub store: f64,
    /// maximization.
    pub maximization: f64,
}

impl IterationTimes {
    /// Read a line ` Iteration 3 took 1.25 s: getImg 0.10, …`; None for any other line.
    pub fn parse(line: &str) -> Option<Self> {
        let (head, stages) = line.trim().strip_prefix("Iteration ")?.split_once(" s: ")?;
        let (iteration, wall) = head.split_once(" took ")?;
        let mut times = Self {
            iteration: iteration.parse().ok()?,
            wall: wall.parse().ok()?,
            ..Self::default()
        };
        for stage in stages.split(", ") {
            let (name, seconds) = stage.split_once(' ')?;
            let seconds: f64 = seconds.parse().ok()?;
            match name {
                "getImg" => times.get_img = seconds,
                "getDiff" => times.get_diff = seconds,
                "convert" => times.convert = seconds,
                "store" => times.store = seconds,
                "maximization" => times.maximization = seconds,
                // what is left of the wall time is worked out for the whole run
                _ => {}
            }
        }
        Some(times)
    }
}

/// One row: a whole run.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// Job that was run.
    pub job: String,
    /// Iterations finished.
    pub iterations: usize,
    /// Wall seconds of the whole process.
    pub total: f64,
    /// Sums over iterations; `iteration` and `wall` of this are not used.
    pub stages: IterationTimes,
    /// Processor seconds, user mode.
    pub user: f64,
    /// Processor seconds, kernel.
    pub system: f64,
    /// Bytes.
    pub peak_memory: u64,
    /// Work of the main kernels, of a run on GPUs.
    pub kernels: Option<KernelTotals>,
    /// Peak performance of its (first) card.
    pub ceilings: Option<Ceilings>,
    /// Final resolution (Å) and mean FSC to the truth, where known.
    pub resolution: Option<f64>,
    /// Mean FSC of the final map to the truth over shells 1…N/2, where known.
    pub truth_fsc: Option<f64>,
}

const COLUMNS: [&str; 16] = [
    "job",
    "iterations",
    "total",
    "expectation",
    "maximization",
    "others",
    "getImg",
    "getDiff",
    "convert",
    "store",
    "user CPU",
    "system CPU",
    "peak MB",
    "device peak MB",
    "resolution A",
    "FSC to truth",
];

/// All headings.
fn headings() -> Vec<String> {
    let mut headings: Vec<String> = COLUMNS.map(String::from).into();
    headings.extend(kernels::headings());
    headings
}

impl Row {
    /// Row of a run that took `measured` and printed `output`.
    pub fn new(job: &str, measured: &Measured, output: &str) -> Self {
        let mut stages = IterationTimes::default();
        let mut iterations = 0;
        for t in output.lines().filter_map(IterationTimes::parse) {
            iterations += 1;
            stages.get_img += t.get_img;
            stages.get_diff += t.get_diff;
            stages.convert += t.convert;
            stages.store += t.store;
            stages.maximization += t.maximization;
        }
        Self {
            job: job.into(),
            iterations,
            total: measured.wall,
            stages,
            user: measured.user,
            system: measured.system,
            peak_memory: measured.peak_memory,
            kernels: KernelTotals::of(output),
            ceilings: None,
            resolution: None,
            truth_fsc: None,
        }
    }

    /// getImg + getDiff + convert + store.
    pub fn expectation(&self) -> f64 {
        let s = &self.stages;
        s.get_img + s.get_diff + s.convert + s.store
    }

    /// All wall time that is neither expectation nor maximization: start-up, reading, writing, bookkeeping. The three
    /// add up to the total.
    pub fn others(&self) -> f64 {
        self.total - self.expectation() - self.stages.maximization
    }

    fn cells(&self) -> Vec<String> {
        let s = &self.stages;
        let seconds = [
            self.total,
            self.expectation(),
            s.maximization,
            self.others(),
            s.get_img,
            s.get_diff,
            s.convert,
            s.store,
            self.user,
            self.system,
        ];
        let optional = |v: Option<f64>, digits: usize| {
            v.map_or_else(|| "-".to_string(), |v| format!("{v:.digits$}"))
        };
        let mut cells = vec![self.job.clone(), self.iterations.to_string()];
        cells.extend(seconds.map(|v| format!("{v:.2}")));
        cells.push(format!("{:.0}", self.peak_memory as f64 / 1e6));
        let device = self.kernels.map(|k| k.device_memory as f64 * 1.048_576);
        cells.push(optional(device, 0));
        cells.push(optional(self.resolution, 2));
        cells.push(optional(self.truth_fsc, 3));
        cells.extend(match &self.kernels {
            Some(kernels) => kernels.cells(self.ceilings),
            None => vec!["-".to_string(); kernels::headings().len()],
        });
        cells
    }

    /// Heading and row for the terminal (seconds).
    pub fn table(&self) -> String {
        let mut text = String::new();
        for (heading, cell) in headings().into_iter().zip(self.cells()) {
            // writing to a string cannot fail
            let _ = writeln!(text, "{heading:24} {cell}");
        }
        text
    }

    /// Append the row to `bench.csv` in `folder`, which is made when missing, with a heading in a new file. Where that file
    /// has other columns, to `bench-2.csv` and so on. Returns the file.
    pub fn append_csv(&self, folder: &Path, date: &str, command: &str) -> io::Result<PathBuf> {
        fs::create_dir_all(folder)?;
        let columns = headings().join(",").replace(' ', "_");
        let heading = format!("date,{columns},command");
        let same = |path: &PathBuf| match fs::read_to_string(path) {
            Ok(text) => text.lines().next() == Some(&*heading),
            Err(_) => !path.exists(),
        };
        let later = (2..).map(|n| folder.join(format!("bench-{n}.csv")));
        let path = std::iter::once(folder.join("bench.csv"))
            .chain(later)
            .find(same)
            .expect("there is always another number");
        let new = !path.exists();
        let mut file = OpenOptions::new().create(true).append(true).open(&path)?;
        if new {
            writeln!(file, "{heading}")?;
        }
        let quoted = command.replace('"', "\"\"");
        writeln!(file, "{date},{},\"{quoted}\"", self.cells().join(","))?;
        Ok(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gerelion::expectation::StageTimes;
    use gerelion::refinement::cli::console::stage_report;
    use std::os::unix::process::ExitStatusExt;
    use std::process::ExitStatus;

    fn report(iteration: usize) -> String {
        let times = StageTimes {
            get_img: 1.0,
            get_diff: 4.0,
            convert: 0.5,
            store: 2.5,
        };
        stage_report(iteration, &times, 1.5, 10.0)
    }

    fn row() -> Row {
        let measured = Measured {
            status: ExitStatus::from_raw(0),
            wall: 25.0,
            user: 40.0,
            system: 1.0,
            peak_memory: 300_000_000,
        };
        let output = format!(" start\n{}\n\n{}\n", report(1), report(2));
        Row::new("auto-refine", &measured, &output)
    }

    /// The line is made by the very function that a run uses.
    #[test]
    fn lines_of_a_run_are_understood() {
        let times = IterationTimes::parse(&report(7)).unwrap();
        assert_eq!((times.iteration, times.wall), (7, 10.0));
        assert_eq!((times.get_img, times.get_diff), (1.0, 4.0));
        assert_eq!((times.convert, times.store), (0.5, 2.5));
        assert_eq!(times.maximization, 1.5);
        assert_eq!(IterationTimes::parse(" Iteration 7 begins"), None);
    }

    #[test]
    fn parts_add_up_to_the_whole() {
        let row = row();
        assert_eq!(row.iterations, 2);
        assert_eq!(row.expectation(), 16.0);
        assert_eq!(row.others(), 6.0);
        assert!(row.table().contains(&format!("{:24} 8.00", "getDiff")));
    }

    #[test]
    fn rows_are_appended_under_one_heading() {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("2026-11-20-machine");
        row().append_csv(&inner, "2026-11-20", "a \"b\"").unwrap();
        row().append_csv(&inner, "2026-11-20", "c").unwrap();
        let text = fs::read_to_string(inner.join("bench.csv")).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 3);
        let columns = lines[0].split(',').count();
        assert!(lines[1..].iter().all(|l| l.split(',').count() == columns));
        assert!(lines[1].ends_with("\"a \"\"b\"\"\""));
        // A file with other columns is left alone.
        fs::write(inner.join("bench.csv"), "date,job\n").unwrap();
        let file = row().append_csv(&inner, "2026-11-20", "d").unwrap();
        assert_eq!(file, inner.join("bench-2.csv"));
        assert_eq!(row().append_csv(&inner, "2026-11-20", "e").unwrap(), file);
    }
}
