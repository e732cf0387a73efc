//! Points of a local resolution on cards: each card measures every so-many-th point, and sums what it filtered.

use super::{Point, Totals, Work, curve};
use crate::device::map::{names, open_cards};
use crate::device::{Device, DeviceError};
use crate::maximization::{MaximizationError, SpheresOnDevice};
use crate::tools::postprocess::PostprocessError;
use ndarray::Array3;
use std::sync::{Arc, mpsc};
use std::thread;

/// Measures all points on the cards of a list. Returns also the names of the cards.
///
/// # Errors
/// A card is not there, is full or fails.
pub(super) fn measure(
    work: &Work,
    list: &str,
    mut progress: impl FnMut(usize, usize),
) -> Result<(Vec<Point>, Totals, Vec<String>), PostprocessError> {
    let cards = open_cards(list).map_err(MaximizationError::from)?;
    let names = names(cards.iter().map(Arc::as_ref));
    let all = work.grid.points.len();
    let (done, told) = mpsc::channel();
    let measured: Vec<Result<(Vec<Point>, Totals), DeviceError>> = thread::scope(|scope| {
        let run = |(first, card): (usize, &Arc<Device>)| {
            let (card, done) = (card.clone(), done.clone());
            let own = work.grid.points.iter().skip(first).step_by(cards.len());
            scope.spawn(move || of_card(work, &card, own, &done))
        };
        let workers: Vec<_> = cards.iter().enumerate().map(run).collect();
        drop(done);
        for (count, ()) in (1..).zip(told) {
            progress(count, all);
        }
        let joined = workers.into_iter().map(|worker| worker.join());
        joined
            .map(|result| result.unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect()
    });
    let mut totals = Totals::zeros(work.n);
    let mut by_card = Vec::new();
    for of_card in measured {
        let (points, sums) = of_card.map_err(MaximizationError::from)?;
        totals.filtered += &sums.filtered;
        totals.frequency += &sums.frequency;
        totals.weight += &sums.weight;
        by_card.push(points.into_iter());
    }
    let cards = by_card.len();
    let points = (0..all).filter_map(|i| by_card[i % cards].next());
    Ok((points.collect(), totals, names))
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
