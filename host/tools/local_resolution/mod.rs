//! Resolution around every point of a map, and the map filtered to it, from two half maps (`relion_postprocess --locres`;
//! spec 02 §7.2, 06 §10). Points are shared among all threads; the result does not depend on their number. With `--gpu` they are
//! shared among the cards.

mod cards;
mod output;
mod plans;
mod points;
#[cfg(test)]
mod tests;

use super::postprocess::{
    Inputs, PostprocessError, PostprocessSettings, Treatment, correct, edge, fsc_weights,
    randomise_phases_of_both, resolution_of_shell, resolution_shell,
};
use crate::errors::Code;
use crate::fourier::fft::forward3;
use crate::fourier::shells::round;
use crate::maximization::map_fsc::map_fsc;
use ndarray::parallel::prelude::*;
use ndarray::{Array3, Zip, s};
use plans::{Plans, Range3};
use points::Grid;
use rustfft::num_complex::Complex32;

/// Options of `relion_postprocess --locres`, Å.
#[derive(Debug, Clone, PartialEq)]
pub struct LocalSettings {
    /// `--locres_sampling`: step of the grid of points.
    pub sampling: f64,
    /// `--locres_maskrad`: radius of the sphere around a point; by default half of the sampling.
    pub mask_radius: Option<f64>,
    /// `--locres_edgwidth`: its soft edge; by default the sampling.
    pub edge_width: Option<f64>,
    /// `--locres_randomize_at`: phases are random from here on.
    pub randomise_at: f64,
    /// `--locres_minres`: no local resolution is said to be lower than this.
    pub lowest: f64,
    /// `--gpu`: the list of cards that do the work; None: the processor does it.
    pub gpu: Option<String>,
}

impl Default for LocalSettings {
    fn default() -> Self {
        Self {
            sampling: 25.0,
            mask_radius: None,
            edge_width: None,
            randomise_at: 25.0,
            lowest: 50.0,
            gpu: None,
        }
    }
}

/// Results of the estimate.
#[derive(Debug, Clone, PartialEq)]
pub struct LocalResolution {
    /// Å per voxel of the box; 0 where no sphere reaches.
    pub resolution: Array3<f32>,
    /// The map, filtered to the local resolution.
    pub filtered: Array3<f32>,
    /// Curves of each point.
    pub points: Vec<Point>,
    /// Side of the box, Å.
    pub extent: f64,
    /// FSC of the unmasked half maps.
    pub unmasked: Vec<f64>,
    /// Values of `resolution` within the mask, where one was given.
    pub inside: Option<Vec<f64>>,
    /// For the user.
    pub warnings: Vec<String>,
    /// Names of the cards that were used.
    pub cards: Vec<String>,
}

/// One point of the grid.
#[derive(Debug, Clone, PartialEq)]
pub struct Point {
    /// Logical coordinates (z, y, x), voxels.
    pub at: [i64; 3],
    /// Å.
    pub resolution: f64,
    /// FSC within the sphere.
    pub masked: Vec<f64>,
    /// The same with random phases.
    pub randomised: Vec<f64>,
    /// Rest of the first without the second.
    pub corrected: Vec<f64>,
}

/// Measures the local resolution and writes `<o>_locres.mrc`, `<o>_locres_filtered.mrc`, `<o>_locres_fscs.star` and, with a
/// mask, the histogram inside it. `progress` is told the number of points done and of all.
///
/// # Errors
/// A file cannot be read or written, maps do not fit each other, an option is out of range.
pub fn run(
    settings: &PostprocessSettings,
    local: &LocalSettings,
    progress: impl FnMut(usize, usize),
) -> Result<LocalResolution, PostprocessError> {
    let inputs = Inputs::read(settings)?;
    inputs.check_outputs(settings, &["_locres.mrc", "_locres_filtered.mrc"])?;
    let found = measure(settings, local, &inputs, progress)?;
    output::write(settings, &found, inputs.pixel_size)?;
    Ok(found)
}

/// Measures the local resolution of maps in memory.
pub(super) fn measure(
    settings: &PostprocessSettings,
    local: &LocalSettings,
    inputs: &Inputs,
    mut progress: impl FnMut(usize, usize),
) -> Result<LocalResolution, PostprocessError> {
    let (n, pixel_size) = (inputs.n(), inputs.pixel_size);
    let mut warnings = inputs.warnings.clone();
    let grid = grid(local, n, pixel_size)?;
    let unmasked = map_fsc(&inputs.halves[0], &inputs.halves[1])?;
    let work = Work::new(settings, local, inputs, grid, &mut warnings)?;
    let (points, sums, cards) = match &local.gpu {
        Some(list) => {
            let measured = cards::measure(&work, list, progress)?;
            warnings.extend(measured.warnings);
            (measured.points, measured.totals, measured.cards)
        }
        None => {
            let all = &work.grid.points;
            let (points, sums) = work.measure_on_host(all, |done| progress(done, all.len()));
            (points, sums, Vec::new())
        }
    };
    let (resolution, filtered) = sums.maps();
    let inside = inputs.mask.as_ref().map(|mask| {
        let both = resolution.iter().zip(mask);
        both.filter(|(r, m)| **m > 0.5 && **r > 0.0)
            .map(|(r, _)| f64::from(*r))
            .collect()
    });
    Ok(LocalResolution {
        resolution,
        filtered,
        points,
        extent: n as f64 * pixel_size,
        unmasked,
        inside,
        warnings,
        cards,
    })
}

fn grid(local: &LocalSettings, n: usize, pixel_size: f64) -> Result<Grid, PostprocessError> {
    let radius = local.mask_radius.unwrap_or(0.5 * local.sampling);
    let edge_width = local.edge_width.unwrap_or(local.sampling);
    let options = [
        ("--locres_sampling", local.sampling),
        ("--locres_maskrad", radius),
        ("--locres_randomize_at", local.randomise_at),
        ("--locres_minres", local.lowest),
    ];
    let wrong = |v: f64| !v.is_finite() || v <= 0.0;
    if let Some((option, value)) = options.into_iter().find(|(_, v)| wrong(*v)) {
        return Err(Code::BAD_VALUE
            .says(format!("{option} {value}: a number of Å above 0 is needed"))
            .into());
    }
    if !(edge_width.is_finite() && edge_width >= 0.0) {
        return Err(Code::BAD_VALUE
            .says(format!(
                "--locres_edgwidth {edge_width}: a number of Å, 0 or more, is needed"
            ))
            .into());
    }
    let grid = Grid::new(n, pixel_size, [local.sampling, radius, edge_width]);
    if grid.points.is_empty() {
        return Err(Code::BAD_VALUE
            .says(format!(
                "no sphere of {radius} Å (--locres_maskrad) on a grid of {} Å (--locres_sampling) fits into the box of {:.0} Å; \
                 give smaller values",
                local.sampling,
                n as f64 * pixel_size
            ))
            .into());
    }
    Ok(grid)
}

/// Data that all points share.
struct Work {
    n: usize,
    extent: f64,
    plans: Plans,
    grid: Grid,
    halves: [Array3<f32>; 2],
    /// The half maps with random phases.
    random: [Array3<f32>; 2],
    /// First shell with random phases.
    from: usize,
    /// Transform of the sharpened sum of the half maps, (z, y, x).
    sharpened: Array3<Complex32>,
    weigh: bool,
    /// Half of the width of the low-pass edge, shells.
    half_edge: f64,
    lowest: f64,
}

/// Contribution of one point.
struct Measured {
    point: Point,
    range: Range3,
    mask: Array3<f32>,
    filtered: Array3<f32>,
}

impl Work {
    fn new(
        settings: &PostprocessSettings,
        local: &LocalSettings,
        inputs: &Inputs,
        grid: Grid,
        warnings: &mut Vec<String>,
    ) -> Result<Self, PostprocessError> {
        let (n, pixel_size) = (inputs.n(), inputs.pixel_size);
        let extent = n as f64 * pixel_size;
        // Weights and the low-pass are those of each point.
        let plain = PostprocessSettings {
            skip_weighting: true,
            low_pass: 0.0,
            ..settings.clone()
        };
        // RELION filters the sum of the half maps, not their mean.
        let mut transform = forward3(&(&inputs.halves[0] + &inputs.halves[1]));
        Treatment::new(&plain, &[], n, pixel_size, 0.0)?.apply(&mut transform, warnings)?;
        let single = |map: &Array3<f64>| map.mapv(|v| v as f32);
        let from = (extent / local.randomise_at) as usize;
        let random = randomise_phases_of_both(&inputs.halves, from, settings.seed);
        Ok(Self {
            n,
            extent,
            plans: Plans::new(n),
            grid,
            halves: inputs.halves.each_ref().map(single),
            random: random.each_ref().map(single),
            from,
            sharpened: transform.mapv(|v| Complex32::new(v.re as f32, v.im as f32)),
            weigh: !settings.skip_weighting,
            half_edge: (settings.filter_edge / 2) as f64,
            lowest: local.lowest,
        })
    }

    /// Measures points on the processor. `progress` is told the number of points done.
    fn measure_on_host(
        &self,
        all: &[[i64; 3]],
        mut progress: impl FnMut(usize),
    ) -> (Vec<Point>, Totals) {
        let sharpened = self.sharpened_lines();
        let mut sums = Totals::zeros(self.n);
        let mut points = Vec::with_capacity(all.len());
        // Sums are added in the order of the points, some at a time: what a point adds is as large as its sphere.
        for batch in all.chunks(8 * rayon::current_num_threads()) {
            let measure = |at: &[i64; 3]| self.measure(*at, &sharpened);
            let measured: Vec<Measured> = batch.par_iter().map(measure).collect();
            for one in measured {
                sums.add(&one);
                points.push(one.point);
            }
            progress(points.len());
        }
        (points, sums)
    }

    /// Returns the sharpened transform with x slowest and z fastest.
    fn sharpened_lines(&self) -> Vec<Complex32> {
        let n = self.n;
        let mut lines = Vec::with_capacity(self.sharpened.len());
        for x in 0..=n / 2 {
            for y in 0..n {
                lines.extend(self.sharpened.slice(s![.., y, x]));
            }
        }
        lines
    }

    /// Measures a point on the processor.
    fn measure(&self, at: [i64; 3], sharpened: &[Complex32]) -> Measured {
        let (range, mask) = self.grid.window(at, self.n);
        let curve = |maps: &[Array3<f32>; 2]| {
            let [z, y, x] = range;
            let [a, b] = maps
                .each_ref()
                .map(|map| &map.slice(s![z.0..z.1, y.0..y.1, x.0..x.1]) * &mask);
            curve(&self.plans.correlate(&a, &b))
        };
        let (point, factors) = self.point(at, curve(&self.halves), curve(&self.random));
        Measured {
            filtered: self.plans.filtered(sharpened, &factors, &range),
            point,
            range,
            mask,
        }
    }

    /// Judges the curves of a point. Returns also what its map is filtered by.
    fn point(&self, at: [i64; 3], masked: Vec<f64>, randomised: Vec<f64>) -> (Point, Vec<f32>) {
        let corrected = correct(&masked, &randomised, self.from);
        let shell = resolution_shell(&corrected);
        let resolution = resolution_of_shell(shell, self.extent).min(self.lowest);
        let factors = self.factors(&corrected, resolution);
        let point = Point {
            at,
            resolution,
            masked,
            randomised,
            corrected,
        };
        (point, factors)
    }

    /// FSC weighting and low-pass of a point, per squared radius.
    fn factors(&self, corrected: &[f64], resolution: f64) -> Vec<f32> {
        let limit = round(self.extent / resolution) as f64;
        let weights = self.weigh.then(|| fsc_weights(corrected));
        let end = ((limit + self.half_edge).powi(2) as usize + 1).min((self.n / 2).pow(2) + 1);
        (0..end)
            .map(|r2| {
                let r = (r2 as f64).sqrt();
                let weight = match &weights {
                    Some(weights) => weights.get((r + 0.5) as usize).copied().unwrap_or(0.0),
                    None => 1.0,
                };
                (weight * edge(r, limit - self.half_edge, limit + self.half_edge)) as f32
            })
            .collect()
    }
}

/// FSC of two maps within a sphere, from Σ Re(a·b*), Σ|a|² and Σ|b|² per shell; an empty shell correlates with nothing.
fn curve(sums: &[[f64; 3]]) -> Vec<f64> {
    let mut curve: Vec<f64> = sums
        .iter()
        .map(|[cross, a, b]| cross / (a * b).sqrt())
        .map(|value| if value.is_nan() { 0.0 } else { value })
        .collect();
    if curve[0] <= 0.0 {
        curve[0] = 1.0;
    }
    curve
}

/// Sums over points, weighted by their masks.
struct Totals {
    filtered: Array3<f64>,
    /// Of 1/Å.
    frequency: Array3<f64>,
    weight: Array3<f64>,
}

impl Totals {
    fn zeros(n: usize) -> Self {
        let zeros = || Array3::zeros((n, n, n));
        Self {
            filtered: zeros(),
            frequency: zeros(),
            weight: zeros(),
        }
    }

    fn add(&mut self, one: &Measured) {
        let [z, y, x] = one.range;
        let part = s![z.0..z.1, y.0..y.1, x.0..x.1];
        let frequency = 1.0 / one.point.resolution;
        Zip::from(self.filtered.slice_mut(part))
            .and(self.frequency.slice_mut(part))
            .and(self.weight.slice_mut(part))
            .and(&one.mask)
            .and(&one.filtered)
            .par_for_each(|map, sum, weight, &m, &v| {
                let m = f64::from(m);
                *map += m * f64::from(v);
                *sum += m * frequency;
                *weight += m;
            });
    }

    /// Returns the local resolution and the filtered map; 0 where no sphere reaches.
    fn maps(&self) -> (Array3<f32>, Array3<f32>) {
        let over = |numerator: &Array3<f64>, denominator: &Array3<f64>| {
            Zip::from(numerator)
                .and(denominator)
                .par_map_collect(|a, b| if *b > 0.0 { (a / b) as f32 } else { 0.0 })
        };
        (
            over(&self.weight, &self.frequency),
            over(&self.filtered, &self.weight),
        )
    }
}
