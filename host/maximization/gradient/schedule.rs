//! Phases, step size, T and subset sizes of a gradient run (spec 05 §2–3).

use crate::fourier::shape::Dimensions;
use crate::fourier::shells::round;

/// Step size at the beginning, where a scheme brings it down from there.
const FIRST_STEP_SIZE: f64 = 0.9;
/// Accuracies and sampling are looked at every so many iterations.
const PERIOD: usize = 10;

/// Numbers of iterations of the three phases.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Phases {
    /// n_ini.
    pub initial: usize,
    /// n_in.
    pub inner: usize,
    /// n_fin.
    pub last: usize,
}

impl Phases {
    /// Divides `iterations` by the fractions `--grad_ini_frac` and `--grad_fin_frac`, each in (0, 1).
    pub fn new(iterations: usize, initial: f64, last: f64) -> Self {
        let (mut initial, mut last) = (initial as f32, last as f32);
        if initial + last > 0.9 {
            let sum = initial + last + 0.1;
            (initial, last) = (initial / sum, last / sum);
        }
        let part = |fraction: f32| (iterations as f32 * fraction) as usize;
        let (initial, last) = (part(initial), part(last));
        Self {
            initial,
            inner: iterations.saturating_sub(initial + last),
            last,
        }
    }

    /// n_ini + n_in.
    pub fn before_last(&self) -> usize {
        self.initial + self.inner
    }
}

/// σ(i; b, a): from 1 at `begin` down to 0 at `begin` + `length`, in single precision.
fn decline(iteration: usize, begin: usize, length: usize) -> f64 {
    if length == 0 {
        // The reference program divides by zero here: all of it before `begin`, nothing after.
        return f64::from(u8::from(iteration < begin));
    }
    let (i, b, a) = (iteration as f32, begin as f32, length as f32);
    let exponent = (i - b - a / 2.0) / (a / 4.0);
    f64::from((1.0 / (10f64.powf(f64::from(exponent)) + 1.0)) as f32)
}

/// How a number changes over the run (`--grad_stepsize_scheme`, `--tau2_fudge_scheme`).
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Scheme {
    /// It does not.
    Plain,
    /// "X-step": a step by this factor.
    Step(f64),
}

impl Scheme {
    /// Reads "plain" or "X-step" with X > 0; None for other words.
    pub fn parse(text: &str) -> Option<Self> {
        if text == "plain" {
            return Some(Self::Plain);
        }
        let factor: f64 = text.strip_suffix("-step")?.parse().ok()?;
        (factor > 0.0 && factor.is_finite()).then_some(Self::Step(factor))
    }

    /// The scheme of runs that name none: a step by `factor`, which RELION writes with six decimals; nothing for a
    /// refinement of given maps.
    fn by_default(steps: bool, factor: f64) -> Self {
        match steps {
            true => Self::Step((factor * 1e6).round() / 1e6),
            false => Self::Plain,
        }
    }
}

/// Options that the schedule depends on.
#[derive(Debug, Clone, PartialEq)]
pub struct ScheduleOptions {
    /// `--iter`.
    pub iterations: usize,
    /// `--grad_em_iters`.
    pub em_iterations: usize,
    /// `--grad_ini_frac` and `--grad_fin_frac`.
    pub fractions: [f64; 2],
    /// `--grad_ini_subset` and `--grad_fin_subset`; None: by the number of particles.
    pub subsets: [Option<usize>; 2],
    /// `--grad_stepsize`; None: by the kind of job.
    pub step_size: Option<f64>,
    /// `--grad_stepsize_scheme`; None: by the kind of job.
    pub step_scheme: Option<Scheme>,
    /// `--tau2_fudge`; None: 4.
    pub tau2_fudge: Option<f64>,
    /// `--tau2_fudge_scheme`; None: by the kind of job.
    pub tau2_scheme: Option<Scheme>,
    /// `--mu`.
    pub momentum: f64,
    /// `--grad_write_iter`.
    pub write_every: usize,
    /// `--class_inactivity_threshold`.
    pub inactivity: f64,
    /// `--firstiter_cc`.
    pub first_iteration_cc: bool,
}

/// Kind of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JobKind {
    /// Of the references.
    pub dimensions: Dimensions,
    /// References are made from nothing (`--denovo_3dref`).
    pub from_nothing: bool,
    /// Number of particles.
    pub particles: usize,
    /// K.
    pub classes: usize,
}

/// Kind, size and step of every iteration of a gradient run.
#[derive(Debug, Clone, PartialEq)]
pub struct Schedule {
    options: ScheduleOptions,
    kind: JobKind,
    phases: Phases,
    /// η₀ and its scheme.
    step_size: (f64, Scheme),
    /// T₀ and its scheme.
    tau2_fudge: (f64, Scheme),
    /// m_ini and m_fin.
    subsets: [usize; 2],
}

/// T₀ where `--tau2_fudge` is not given.
const DEFAULT_TAU2_FUDGE: f64 = 4.0;

impl Schedule {
    /// The schedule of a job.
    pub fn new(options: ScheduleOptions, kind: JobKind) -> Self {
        let flat = kind.dimensions == Dimensions::Two;
        let steps = flat || kind.from_nothing;
        let eta = options
            .step_size
            .unwrap_or(match kind.from_nothing && !flat {
                true => 0.5,
                false => 0.3,
            });
        let fudge = options.tau2_fudge.unwrap_or(DEFAULT_TAU2_FUDGE);
        let by_default = default_subsets(&kind);
        let scheme = |given: Option<Scheme>, factor| {
            given.unwrap_or_else(|| Scheme::by_default(steps, factor))
        };
        Self {
            phases: Phases::new(
                options.iterations,
                options.fractions[0],
                options.fractions[1],
            ),
            step_size: (eta, scheme(options.step_scheme, FIRST_STEP_SIZE / eta)),
            tau2_fudge: (fudge, scheme(options.tau2_scheme, fudge)),
            subsets: [0, 1].map(|i| options.subsets[i].unwrap_or(by_default[i])),
            options,
            kind,
        }
    }

    /// n_ini, n_in, n_fin.
    pub fn phases(&self) -> Phases {
        self.phases
    }

    /// m_ini and m_fin.
    pub fn subset_sizes(&self) -> [usize; 2] {
        self.subsets
    }

    /// True when the iteration steps along a gradient, false when it is one of expectation-maximisation over all particles.
    pub fn is_gradient(&self, iteration: usize) -> bool {
        let correlates = self.options.first_iteration_cc && iteration == 1;
        !correlates && iteration + self.options.em_iterations <= self.options.iterations
    }

    /// η of an iteration.
    pub fn step_size(&self, iteration: usize) -> f64 {
        let (eta, scheme) = self.step_size;
        match scheme {
            Scheme::Plain => eta,
            Scheme::Step(factor) => {
                let share = decline(iteration, self.phases.initial, self.phases.inner / 2);
                eta * factor * share + eta * (1.0 - share)
            }
        }
    }

    /// T of an iteration.
    pub fn tau2_fudge(&self, iteration: usize) -> f64 {
        let (fudge, scheme) = self.tau2_fudge;
        match scheme {
            Scheme::Plain => fudge,
            Scheme::Step(factor) => {
                let share = decline(iteration, self.phases.initial, self.phases.inner / 4);
                fudge / factor * share + fudge * (1.0 - share)
            }
        }
    }

    /// Particles of an iteration; None: all.
    pub fn subset(&self, iteration: usize) -> Option<usize> {
        let last = self.options.iterations;
        let ends = iteration + self.options.em_iterations > last
            || (iteration == last && self.kind.classes > 1);
        if ends || !self.is_gradient(iteration) {
            return None;
        }
        let ([first, full], phases) = (self.subsets, self.phases);
        let size = if iteration < phases.initial {
            first
        } else if iteration < phases.before_last() {
            let share = (iteration - phases.initial) as f64 / phases.inner as f64;
            let grown = first as i64 + round(share * (full as f64 - first as f64));
            grown.max(1) as usize
        } else {
            full
        };
        (size < self.kind.particles).then_some(size)
    }

    /// µ' of the running means of the model's parameters.
    pub fn momentum(&self, iteration: usize) -> f64 {
        match self.subset(iteration) {
            Some(_) => self.options.momentum,
            None => 0.0,
        }
    }

    /// Expected accuracies are worked out in this iteration.
    pub fn estimates_accuracies(&self, iteration: usize) -> bool {
        iteration <= 1 || iteration == self.options.iterations || self.looks_at_sampling(iteration)
    }

    /// The sampling may change in this iteration.
    pub fn looks_at_sampling(&self, iteration: usize) -> bool {
        iteration.is_multiple_of(PERIOD) || !self.is_gradient(iteration)
    }

    /// Largest share of an inactive class, times the number of active classes; None: no class is replaced.
    pub fn replaces_below(&self, iteration: usize) -> Option<f64> {
        let inside = iteration > self.phases.initial && iteration < self.phases.before_last();
        let threshold = self.options.inactivity;
        (inside && self.is_gradient(iteration) && threshold > 0.0).then_some(threshold)
    }

    /// Classes are centred after this iteration, where `--center_classes` asks for it (spec 05 §9).
    pub fn centres(&self, iteration: usize) -> bool {
        !self.is_gradient(iteration + 1) || iteration < self.phases.before_last()
    }

    /// The files of this iteration are written.
    pub fn is_written(&self, iteration: usize) -> bool {
        self.subset(iteration).is_none()
            || iteration.is_multiple_of(self.options.write_every.max(1))
            || iteration == self.options.iterations
    }

    /// The counters of iterations without gain and without changes begin anew in this iteration.
    pub fn resets_counters(&self, iteration: usize) -> bool {
        iteration < PERIOD
    }
}

/// m_ini and m_fin by the number of particles.
fn default_subsets(kind: &JobKind) -> [usize; 2] {
    let n = kind.particles as f64;
    let part = |share: f64, least: f64, most: f64| (share * n).clamp(least, most) as usize;
    match (kind.dimensions, kind.from_nothing) {
        (Dimensions::Two, _) => [part(0.005, 200.0, 10_000.0), part(0.05, 1000.0, 100_000.0)],
        (Dimensions::Three, true) => [part(0.005, 200.0, 5_000.0), part(0.1, 1000.0, 50_000.0)],
        (Dimensions::Three, false) => [part(0.1, 200.0, 100_000.0), part(0.1, 1000.0, 100_000.0)],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(iterations: usize) -> ScheduleOptions {
        ScheduleOptions {
            iterations,
            em_iterations: 0,
            fractions: [0.3, 0.2],
            subsets: [None; 2],
            step_size: None,
            step_scheme: None,
            tau2_fudge: None,
            tau2_scheme: None,
            momentum: 0.9,
            write_every: 10,
            inactivity: 0.0,
            first_iteration_cc: false,
        }
    }

    fn kind(dimensions: Dimensions, classes: usize) -> JobKind {
        JobKind {
            dimensions,
            from_nothing: dimensions == Dimensions::Three,
            particles: 10_000,
            classes,
        }
    }

    #[test]
    fn phases_of_the_specification() {
        for (iterations, expected) in [
            (200, [60, 100, 40]),
            (100, [30, 50, 20]),
            (60, [18, 30, 12]),
            (40, [12, 20, 8]),
            (12, [3, 7, 2]),
        ] {
            let found = Phases::new(iterations, 0.3, 0.2);
            assert_eq!([found.initial, found.inner, found.last], expected);
        }
        // 0.6 + 0.6 is too much: both become 0.6/1.3.
        let found = Phases::new(130, 0.6, 0.6);
        assert_eq!([found.initial, found.inner, found.last], [60, 10, 60]);
    }

    /// Examples of spec 05 §3 for 200 iterations.
    #[test]
    fn step_size_and_t_of_the_specification() {
        let run = Schedule::new(
            ScheduleOptions {
                tau2_fudge: Some(2.0),
                ..options(200)
            },
            kind(Dimensions::Two, 50),
        );
        for (iteration, eta) in [
            (55, 0.898),
            (60, 0.894),
            (85, 0.6),
            (110, 0.306),
            (190, 0.3),
        ] {
            assert!((run.step_size(iteration) - eta).abs() < 6e-4, "{iteration}");
        }
        for (iteration, fudge) in [(60, 1.01), (85, 1.99), (200, 2.0)] {
            assert!(
                (run.tau2_fudge(iteration) - fudge).abs() < 1e-2,
                "{iteration}"
            );
        }
        assert!((run.tau2_fudge(0) - 1.0).abs() < 1e-6);
    }

    #[test]
    fn given_maps_have_plain_schemes() {
        let given = JobKind {
            from_nothing: false,
            ..kind(Dimensions::Three, 2)
        };
        let run = Schedule::new(options(25), given);
        assert_eq!((run.step_size(1), run.tau2_fudge(1)), (0.3, 4.0));
        assert_eq!(run.subset_sizes(), [1000, 1000]);
        let stepped = ScheduleOptions {
            step_scheme: Scheme::parse("2-step"),
            tau2_scheme: Scheme::parse("4-step"),
            ..options(40)
        };
        let run = Schedule::new(stepped, given);
        assert!((run.step_size(1) - 0.6).abs() < 1e-5 && (run.tau2_fudge(1) - 1.0).abs() < 1e-5);
    }

    #[test]
    fn schemes_are_words() {
        assert_eq!(Scheme::parse("plain"), Some(Scheme::Plain));
        assert_eq!(Scheme::parse("3.000000-step"), Some(Scheme::Step(3.0)));
        for wrong in [
            "", "step", "-1-step", "0-step", "x-step", "3-steps", "inf-step",
        ] {
            assert_eq!(Scheme::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn subsets_grow_in_the_second_phase() {
        let run = Schedule::new(options(200), kind(Dimensions::Three, 1));
        assert_eq!(run.subset_sizes(), [200, 1000]);
        let sizes = [1, 59, 60, 110, 159, 160, 199, 200].map(|i| run.subset(i));
        assert_eq!(sizes, [200, 200, 200, 600, 992, 1000, 1000, 1000].map(Some));
        let several = Schedule::new(options(200), kind(Dimensions::Three, 2));
        assert_eq!(several.subset(200), None);
        assert_eq!(several.momentum(200), 0.0);
        let few = JobKind {
            particles: 1000,
            ..kind(Dimensions::Three, 1)
        };
        let few = Schedule::new(options(200), few);
        assert_eq!((few.subset(1), few.subset(180)), (Some(200), None));
        assert!(few.is_written(180) && !few.is_written(15) && few.is_written(20));
    }

    #[test]
    fn the_last_iterations_are_those_of_expectation_maximisation() {
        let run = Schedule::new(
            ScheduleOptions {
                em_iterations: 3,
                first_iteration_cc: true,
                inactivity: 0.1,
                ..options(40)
            },
            kind(Dimensions::Two, 1),
        );
        let gradient = |i| run.is_gradient(i);
        assert!(!gradient(1) && gradient(2) && gradient(37) && !gradient(38));
        assert_eq!((run.subset(1), run.subset(38)), (None, None));
        assert!(run.is_written(39) && run.estimates_accuracies(39) && !run.estimates_accuracies(7));
        // n_ini 12, n_in 20.
        assert_eq!(run.replaces_below(12), None);
        assert_eq!(run.replaces_below(13), Some(0.1));
        assert_eq!(run.replaces_below(32), None);
        assert!(run.centres(31) && !run.centres(32) && run.centres(37));
    }
}
