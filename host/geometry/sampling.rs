//! The grid of orientations and translations and its oversampling (spec 01 §4).

mod directions;
mod kinds;
mod perturbation;
mod translations;

use super::views::Views;
use super::{Matrix3, euler, healpix, symmetry::PointGroup};
use translations::disc_of_translations;

/// A coarse direction of the asymmetric unit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Direction {
    /// Nested HEALPix pixel at the sampling's order; the running number where only the tilt is searched.
    pub pixel: u64,
    /// Degrees, (−180, 180].
    pub rot: f64,
    /// Degrees.
    pub tilt: f64,
}

/// Coarse grid of directions × psi × translations with the random perturbation of the iteration.
#[derive(Debug, Clone)]
pub struct Sampling {
    /// References are class averages, which are turned in their plane only: one direction, (0, 0) (spec 04 §3).
    pub in_plane: bool,
    /// HEALPix order h of the coarse grid; without meaning for class averages.
    pub healpix_order: u32,
    /// Point group restricting the directions.
    pub symmetry: PointGroup,
    /// Group whose mates are searched in local searches (`--relax_sym`): the directions are then those of the whole sphere.
    pub relaxed: Option<PointGroup>,
    /// Directions are steps of the tilt at rot 0, and psi is 0 (`--only_sample_tilt`).
    pub only_tilt: bool,
    /// `--limit_tilt`.
    pub limit_tilt: f64,
    /// Coarse psi step, degrees (360/n_psi).
    pub psi_step: f64,
    /// Range of translations, Å.
    pub offset_range: f64,
    /// Coarse step of translations, Å.
    pub offset_step: f64,
    /// `--perturb`.
    pub perturbation_factor: f64,
    /// Current perturbation x (spec 01 §4.6).
    pub perturbation: f64,
    /// Coarse directions. Empty when the asymmetric unit holds no grid point (I2 and I3 at order 0 or 1).
    pub directions: Vec<Direction>,
    /// Coarse translations, Å, unperturbed, in index order.
    pub translations: Vec<[f64; 2]>,
    /// Unit viewing vector of each coarse direction, unperturbed.
    pub(super) views: Views,
}

impl Sampling {
    /// Build the grid. `psi_step` ≤ 0 means "the same as the direction step"; a step or range of translations that is
    /// not positive leaves the single translation (0, 0). The perturbation starts at 0.
    pub fn new(
        healpix_order: u32,
        psi_step: f64,
        symmetry: PointGroup,
        limit_tilt: f64,
        offset_range: f64,
        offset_step: f64,
        perturbation_factor: f64,
    ) -> Self {
        let wanted_step = if psi_step > 0.0 {
            psi_step
        } else {
            direction_step(healpix_order)
        };
        let directions = directions::directions(healpix_order, &symmetry, limit_tilt);
        let views = views_of(&directions);
        Sampling {
            in_plane: false,
            healpix_order,
            symmetry,
            relaxed: None,
            only_tilt: false,
            limit_tilt,
            psi_step: 360.0 / (360.0 / wanted_step).ceil(),
            offset_range,
            offset_step,
            perturbation_factor,
            perturbation: 0.0,
            directions,
            translations: disc_of_translations(offset_range, offset_step),
            views,
        }
    }

    /// Build the grid of class averages, in which only psi and the translations vary (spec 04 §3). `psi_step` ≤ 0 means 10°;
    /// `healpix_order` is only kept for the files. Symmetry and tilt limit have no meaning.
    pub fn in_plane(
        healpix_order: u32,
        psi_step: f64,
        offset_range: f64,
        offset_step: f64,
        perturbation_factor: f64,
    ) -> Self {
        let wanted_step = if psi_step > 0.0 {
            psi_step
        } else {
            DEFAULT_IN_PLANE_STEP
        };
        let direction = Direction {
            pixel: 0,
            rot: 0.0,
            tilt: 0.0,
        };
        Sampling {
            in_plane: true,
            healpix_order,
            symmetry: PointGroup::c1(),
            relaxed: None,
            only_tilt: false,
            limit_tilt: -91.0,
            // Steps that were read from a file have six decimals.
            psi_step: 360.0 / (360.0 / wanted_step - 1e-3).ceil(),
            offset_range,
            offset_step,
            perturbation_factor,
            perturbation: 0.0,
            directions: vec![direction],
            translations: disc_of_translations(offset_range, offset_step),
            views: Views::new(vec![euler::viewing_direction(0.0, 0.0)]),
        }
    }

    /// The grid of the same kind with other steps (degrees, Å), with the perturbation as it is. `psi_step` ≤ 0: the default
    /// of the order.
    pub fn with_steps(
        &self,
        healpix_order: u32,
        psi_step: f64,
        offset_range: f64,
        offset_step: f64,
    ) -> Self {
        let factor = self.perturbation_factor;
        let grid = match self.in_plane {
            true => Self::in_plane(healpix_order, psi_step, offset_range, offset_step, factor),
            false => Self::new(
                healpix_order,
                psi_step,
                self.symmetry.clone(),
                self.limit_tilt,
                offset_range,
                offset_step,
                factor,
            ),
        };
        let grid = self.of_same_kind(grid);
        Sampling {
            perturbation: self.perturbation,
            ..grid
        }
    }

    /// Returns the index of the direction of a nested pixel; None where the grid does not have it.
    pub fn index_of(&self, pixel: u64) -> Option<usize> {
        let at_its_own = self.directions.get(pixel as usize);
        match at_its_own.is_some_and(|direction| direction.pixel == pixel) {
            true => Some(pixel as usize),
            false => self
                .directions
                .binary_search_by_key(&pixel, |direction| direction.pixel)
                .ok(),
        }
    }

    /// Number of coarse psi angles.
    pub fn n_psi(&self) -> usize {
        (360.0 / self.psi_step).round() as usize
    }

    /// Coarse psi angle in degrees, unperturbed.
    pub fn psi(&self, index: usize) -> f64 {
        index as f64 * self.psi_step
    }

    /// Unit viewing vectors of the coarse directions, unperturbed.
    pub fn views(&self) -> &[[f64; 3]] {
        self.views.all()
    }

    /// Coarse angular step in degrees: 360/(6·2^h), or that of psi for class averages.
    pub fn angular_step(&self) -> f64 {
        self.oversampled_angular_step(0)
    }

    /// The same with `oversampling` levels.
    pub fn oversampled_angular_step(&self, oversampling: u32) -> f64 {
        match self.in_plane {
            true => self.psi_step / f64::from(1u32 << oversampling),
            false => direction_step(self.healpix_order + oversampling),
        }
    }

    /// 8^q, or 2^q for class averages.
    pub fn orientation_children(&self, oversampling: u32) -> usize {
        match self.in_plane {
            true => 1 << oversampling,
            false => 1 << (3 * oversampling),
        }
    }

    /// 4^q.
    pub fn translation_children(&self, oversampling: u32) -> usize {
        1 << (2 * oversampling)
    }

    /// Perturbed orientation matrices of all children (q = 0: the parent itself) of coarse (direction, psi),
    /// in child order (direction child outer, psi child inner).
    pub fn orientations(&self, direction: usize, psi: usize, oversampling: u32) -> Vec<Matrix3> {
        let mut matrices = Vec::with_capacity(self.orientation_children(oversampling));
        self.each_orientation([(direction, psi)], oversampling, |matrix| {
            matrices.push(matrix)
        });
        matrices
    }

    /// Calls `take` with the matrices that [`Sampling::orientations`] returns, of one (direction, psi) after the other. What the
    /// angles of a direction have in common is worked out once where they follow each other.
    pub fn each_orientation(
        &self,
        orientations: impl IntoIterator<Item = (usize, usize)>,
        oversampling: u32,
        mut take: impl FnMut(Matrix3),
    ) {
        let perturbation = self.angular_perturbation();
        let mut frames: Vec<Matrix3> = Vec::new();
        let mut of_frames = None;
        for (direction, psi) in orientations {
            if of_frames != Some(direction) {
                let children = self.direction_children(direction, oversampling);
                frames.clear();
                frames.extend(children.map(|(rot, tilt)| euler::direction_frame(rot, tilt)));
                of_frames = Some(direction);
            }
            for frame in &frames {
                for psi in self.psi_children(psi, oversampling) {
                    let unperturbed = euler::turn_in_plane(frame, psi);
                    take(match &perturbation {
                        Some(perturbation) => euler::multiply(&unperturbed, perturbation),
                        None => unperturbed,
                    });
                }
            }
        }
    }

    /// (rot, tilt, psi) in degrees of one child as it is written to the particle table: the grid angles as they are
    /// (psi is not wrapped), or, with a perturbation, the angles of the perturbed matrix.
    pub fn angles(
        &self,
        direction: usize,
        psi: usize,
        oversampling: u32,
        child: usize,
    ) -> Option<[f64; 3]> {
        let psi_children = 1 << oversampling;
        let (rot, tilt) = self
            .direction_children(direction, oversampling)
            .nth(child / psi_children)?;
        let psi = self
            .psi_children(psi, oversampling)
            .nth(child % psi_children)?;
        Some(match &self.angular_perturbation() {
            Some(p) => euler::angles(&euler::multiply(&euler::matrix(rot, tilt, psi), p)),
            None => [rot, tilt, psi],
        })
    }

    /// Perturbed translations (Å) of all children of a coarse translation, x outer, y inner (q = 0: the parent).
    pub fn shifts(&self, translation: usize, oversampling: u32) -> Vec<[f64; 2]> {
        let offset = self.perturbation * self.offset_step;
        let [x, y] = self.translations[translation];
        let children =
            |t| centred_children(t, self.offset_step, oversampling).map(move |v| v + offset);
        children(x)
            .flat_map(|x| children(y).map(move |y| [x, y]))
            .collect()
    }

    /// E(xΔ, xΔ, xΔ), by which orientation matrices are multiplied from the right. Class averages have none: their psi is
    /// perturbed itself.
    fn angular_perturbation(&self) -> Option<Matrix3> {
        let angle = self.perturbation * self.angular_step();
        (angle != 0.0 && !self.in_plane).then(|| euler::matrix(angle, angle, angle))
    }

    /// (rot, tilt) of the children of a coarse direction, unperturbed.
    fn direction_children(
        &self,
        direction: usize,
        oversampling: u32,
    ) -> impl Iterator<Item = (f64, f64)> {
        let order = self.healpix_order;
        let Direction { pixel, rot, tilt } = self.directions[direction];
        let itself = self.in_plane || oversampling == 0;
        let finer = (!itself).then(|| {
            healpix::children(order, pixel, oversampling)
                .map(move |pixel| healpix::direction(order + oversampling, pixel))
        });
        let itself = itself.then_some((rot, tilt));
        itself.into_iter().chain(finer.into_iter().flatten())
    }

    /// The children of a coarse psi: unperturbed, but for class averages, where children above 180° are brought below −180°
    /// and xΔψ is added to all (spec 04 §3).
    fn psi_children(&self, psi: usize, oversampling: u32) -> impl Iterator<Item = f64> {
        let (in_plane, shift) = (self.in_plane, self.perturbation * self.psi_step);
        centred_children(self.psi(psi), self.psi_step, oversampling).map(
            move |angle| match in_plane {
                true if angle > 180.0 => angle - 360.0 + shift,
                true => angle + shift,
                false => angle,
            },
        )
    }
}

fn views_of(directions: &[Direction]) -> Views {
    let view = |d: &Direction| euler::viewing_direction(d.rot, d.tilt);
    Views::new(directions.iter().map(view).collect())
}

/// Step of psi for class averages where none is given (`--psi_step`), degrees.
const DEFAULT_IN_PLANE_STEP: f64 = 10.0;

/// 360/(6·2^h) degrees.
fn direction_step(order: u32) -> f64 {
    60.0 / f64::from(1u32 << order)
}

/// 2^q points that fill the interval of width `step` around `centre`; the centre itself for q = 0.
fn centred_children(centre: f64, step: f64, oversampling: u32) -> impl Iterator<Item = f64> {
    let n = 1u32 << oversampling;
    let fine = step / f64::from(n);
    (0..n).map(move |j| {
        if oversampling == 0 {
            centre
        } else {
            centre - 0.5 * step + (f64::from(j) + 0.5) * fine
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sampling(order: u32, group: &str) -> Sampling {
        let group = PointGroup::parse(group).unwrap();
        Sampling::new(order, -1.0, group, -91.0, 20.0, 8.0, 0.5)
    }

    #[test]
    fn sizes_of_the_specification() {
        let steps = [60.0, 30.0, 15.0, 7.5, 3.75, 1.875, 0.9375, 0.46875];
        for (order, step) in steps.into_iter().enumerate() {
            assert_eq!(direction_step(order as u32), step);
        }
        let s = sampling(2, "C1");
        assert_eq!(s.n_psi(), 24);
        assert_eq!(s.directions.len() * s.n_psi(), 4608);
        assert_eq!(s.oversampled_angular_step(1), 7.5);
        assert_eq!(s.orientation_children(2), 64);
        assert_eq!(s.translation_children(2), 16);
        // A psi step that does not divide the circle shrinks.
        let odd = Sampling::new(1, 7.0, PointGroup::c1(), -91.0, 5.0, 2.0, 0.0);
        assert_eq!(odd.n_psi(), 52);
        assert_eq!(odd.psi_step, 360.0 / 52.0);
    }

    /// Spec 04 §3: psi and translations only, 8 children of a coarse pair, psi perturbed without wrapping.
    #[test]
    fn class_averages_are_turned_in_their_plane() {
        let mut s = Sampling::in_plane(2, 12.0, 20.0, 8.0, 0.5);
        assert_eq!((s.directions.len(), s.n_psi()), (1, 30));
        assert_eq!(
            (s.angular_step(), s.oversampled_angular_step(1)),
            (12.0, 6.0)
        );
        assert_eq!(s.orientation_children(1) * s.translation_children(1), 8);
        assert_eq!(Sampling::in_plane(2, -1.0, 0.0, 0.0, 0.0).n_psi(), 36);
        // Steps of 46 and 224 angles are no decimals of six digits: what is written is read as the same number.
        for (step, angles) in [(8.0, 45), (7.9, 46), (1.61, 224)] {
            let grid = Sampling::in_plane(2, step, 20.0, 8.0, 0.5);
            let written = (grid.psi_step * 1e6).round() / 1e6;
            assert_eq!(grid.n_psi(), angles);
            assert_eq!(
                Sampling::in_plane(2, written, 20.0, 8.0, 0.5).n_psi(),
                angles
            );
        }
        s.perturbation = 0.25;
        // 168° ± 3° stay, 180° + 3° is brought to −177°; each is then turned by 3°.
        assert_eq!(s.angles(0, 14, 1, 1), Some([0.0, 0.0, 174.0]));
        assert_eq!(s.angles(0, 15, 1, 1), Some([0.0, 0.0, -174.0]));
        assert_eq!(s.orientations(0, 14, 1)[1], euler::matrix(0.0, 0.0, 174.0));
        assert_eq!(s.orientations(0, 3, 0), [euler::matrix(0.0, 0.0, 39.0)]);
        let finer = s.with_steps(2, 6.0, 12.0, 4.0);
        assert!(finer.in_plane && finer.n_psi() == 60 && finer.perturbation == 0.25);
    }

    #[test]
    fn children_surround_their_parent() {
        let s = sampling(1, "C1");
        let parent = s.orientations(3, 5, 0);
        assert_eq!(parent.len(), 1);
        let d = s.directions[3];
        assert_eq!(parent[0], euler::matrix(d.rot, d.tilt, s.psi(5)));
        let children = s.orientations(3, 5, 1);
        assert_eq!(children.len(), 8);
        for (i, child) in children.iter().enumerate() {
            let [rot, tilt, psi] = s.angles(3, 5, 1, i).unwrap();
            assert_eq!(*child, euler::matrix(rot, tilt, psi));
            // psi children alternate: 150° ± 7.5°.
            assert_eq!(psi, if i % 2 == 0 { 142.5 } else { 157.5 });
        }
        assert_eq!(s.angles(3, 5, 1, 8), None);
        // The first psi has a negative child: nothing is wrapped.
        assert_eq!(s.angles(3, 0, 1, 0).unwrap()[2], -7.5);
    }

    #[test]
    fn perturbed_orientations_are_turned_in_the_reference_frame() {
        let mut s = sampling(2, "C4");
        s.perturbation = 0.3;
        let turn = euler::matrix(4.5, 4.5, 4.5);
        let all = [s.orientations(7, 2, 0), s.orientations(7, 2, 1)].concat();
        assert_eq!(all.len(), 9);
        let d = s.directions[7];
        assert_eq!(
            all[0],
            euler::multiply(&euler::matrix(d.rot, d.tilt, 30.0), &turn)
        );
        for child in 0..8 {
            let [rot, tilt, psi] = s.angles(7, 2, 1, child).unwrap();
            let distance = euler::matrix(rot, tilt, psi)
                .iter()
                .flatten()
                .zip(all[child + 1].iter().flatten())
                .map(|(a, b)| (a - b).abs())
                .fold(0.0, f64::max);
            assert!(distance < 1e-12);
        }
    }

    #[test]
    fn orientations_in_turn_are_those_one_by_one() {
        let mut s = sampling(2, "C4");
        s.perturbation = 0.3;
        let wanted = [(7, 2), (7, 5), (3, 5), (7, 2)];
        for oversampling in [0, 1] {
            let mut in_turn = Vec::new();
            s.each_orientation(wanted, oversampling, |matrix| in_turn.push(matrix));
            let alone = wanted.map(|(direction, psi)| s.orientations(direction, psi, oversampling));
            assert_eq!(in_turn, alone.concat());
        }
    }

    #[test]
    fn translation_children_run_along_y_first() {
        let mut s = sampling(1, "C1");
        s.perturbation = 0.25;
        let i = s
            .translations
            .iter()
            .position(|t| *t == [0.0, 8.0])
            .unwrap();
        // Step 8 Å, perturbed by 2 Å.
        assert_eq!(s.shifts(i, 0), [[2.0, 10.0]]);
        assert_eq!(
            s.shifts(i, 1),
            [[0.0, 8.0], [0.0, 12.0], [4.0, 8.0], [4.0, 12.0]]
        );
    }
}
