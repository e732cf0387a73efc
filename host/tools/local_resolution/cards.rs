//! Points of a local resolution on cards: each card measures every so-many-th point, and sums the filtered maps. The processor measures the
//! points of a card that is full.

use super::{Point, Totals, Work, curve};
use crate::device::map::{left_out, names, open_cards};
use crate::device::{Device, DeviceError};
use crate::maximization::{MaximizationError, SpheresOnDevice};
use crate::tools::postprocess::PostprocessError;
use ndarray::Array3;
use std::sync::{Arc, mpsc};
use std::thread;

/// Measurements of all points on cards.
pub(super) struct OnCards {
    pub points: Vec<Point>,
    pub totals: Totals,
    /// Names of the cards.
    pub cards: Vec<String>,
    /// Cards that were full, for the user.
    pub warnings: Vec<String>,
}

/// Measures all points on the cards of a list.
///
/// # Errors
/// A card is not there or fails.
pub(super) fn measure(
    work: &Work,
    list: &str,
    mut progress: impl FnMut(usize, usize),
) -> Result<OnCards, PostprocessError> {
    let cards = open_cards(list).map_err(MaximizationError::from)?;
    let (all, count) = (&work.grid.points, cards.len());
    let (done, told) = mpsc::channel();
    let measured: Vec<Result<(Vec<Point>, Totals), DeviceError>> = thread::scope(|scope| {
        let run = |(first, card): (usize, &Arc<Device>)| {
            let (card, done) = (card.clone(), done.clone());
            let own = all.iter().skip(first).step_by(count);
            scope.spawn(move || of_card(work, &card, own, &done))
        };
        let workers: Vec<_> = cards.iter().enumerate().map(run).collect();
        drop(done);
        for (count, ()) in (1..).zip(told) {
            progress(count, all.len());
        }
        let joined = workers.into_iter().map(|worker| worker.join());
        joined
            .map(|result| result.unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect()
    });
    let measured_there = measured.iter().flatten().map(|(points, _)| points.len());
    let mut done = measured_there.sum::<usize>();
    let mut totals = Totals::zeros(work.n);
    let (mut used, mut warnings, mut by_card) = (Vec::new(), Vec::new(), Vec::new());
    for (first, (card, of_card)) in cards.iter().zip(measured).enumerate() {
        let (points, sums) = match of_card {
            Err(error) if error.is_full() => {
                warnings.push(left_out(card, "two maps and their transforms"));
                let own: Vec<_> = all.iter().skip(first).step_by(count).copied().collect();
                let measured = work.measure_on_host(&own, |own| progress(done + own, all.len()));
                done += own.len();
                measured
            }
            measured => {
                used.push(card.as_ref());
                measured.map_err(MaximizationError::from)?
            }
        };
        totals.filtered += &sums.filtered;
        totals.frequency += &sums.frequency;
        totals.weight += &sums.weight;
        by_card.push(points.into_iter());
    }
    let points = (0..all.len()).filter_map(|i| by_card[i % count].next());
    Ok(OnCards {
        points: points.collect(),
        totals,
        cards: names(used),
        warnings,
    })
}

/// Measures some points on a card; `done` is told of each.
fn of_card<'a>(
    work: &Work,
    card: &Arc<Device>,
    points: impl Iterator<Item = &'a [i64; 3]>,
    done: &mpsc::Sender<()>,
) -> Result<(Vec<Point>, Totals), DeviceError> {
    let pairs = [&work.halves, &work.random].map(|maps| maps.each_ref());
    let mut spheres = SpheresOnDevice::new(card, &pairs, &work.sharpened)?;
    let mut measured = Vec::new();
    for &at in points {
        let sphere = work.grid.sphere(at, work.n);
        let masked = curve(&spheres.correlate(0, &sphere)?);
        let randomised = curve(&spheres.correlate(1, &sphere)?);
        let (point, factors) = work.point(at, masked, randomised);
        spheres.add(&sphere, &factors, 1.0 / point.resolution)?;
        measured.push(point);
        // Nobody listens any more where another card has failed.
        let _ = done.send(());
    }
    let sums = spheres.sums()?;
    let map = |k: usize| {
        let values = sums.iter().map(|sum| sum[k]).collect();
        Array3::from_shape_vec([work.n; 3], values).expect("a sum per voxel")
    };
    let totals = Totals {
        filtered: map(0),
        frequency: map(1),
        weight: map(2),
    };
    Ok((measured, totals))
}
