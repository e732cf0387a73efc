//! Solvent flattening and centring of the references (spec 01 §2.10, spec 02 §6.1–6.3).

use super::error::RunError;
use super::references::{resample, window};
use super::settings::Settings;
use crate::formats::{mrc, volume};
use crate::fourier::masks;
use crate::fourier::shells::round;
use ndarray::{Array3, Zip};
use std::path::{Path, PathBuf};

/// Pixel sizes that differ by less are the same (Å).
const SAME_PIXEL: f64 = 0.001;

/// Masks of a run, at the box and pixel size of the references.
pub struct Solvent {
    enabled: bool,
    radius: f64,
    edge: f64,
    pixel_size: f64,
    mask: Option<Array3<f64>>,
    second: Option<Array3<f64>>,
    low_pass: Option<(Array3<f64>, f64)>,
}

impl Solvent {
    /// Read the masks of `settings`, make them fit the references (box, Å per pixel) and their values lie in [0, 1].
    /// Masks that had to be changed are written beside the output, and `settings` name these files from then on.
    /// Returns warnings for the user.
    pub fn read(
        settings: &mut Settings,
        box_size: usize,
        pixel_size: f64,
        diameter: f64,
    ) -> Result<(Self, Vec<String>), RunError> {
        let mut warnings = Vec::new();
        let root = settings.output_root.clone();
        let mut load = |path: &mut Option<PathBuf>, saved: &str| {
            path.as_mut()
                .map(|path| {
                    let saved = PathBuf::from(format!("{root}_{saved}.mrc"));
                    read_mask(path, &saved, box_size, pixel_size, &mut warnings)
                })
                .transpose()
        };
        let mask = load(&mut settings.solvent_mask, "solvent_mask")?;
        let second = load(&mut settings.solvent_mask2, "solvent2")?;
        let mut low_pass = None;
        if let Some((path, resolution)) = &settings.lowpass_mask {
            let mut path = Some(path.clone());
            low_pass = load(&mut path, "lowpass_mask")?.map(|mask| (mask, *resolution));
        }
        let solvent = Self {
            enabled: settings.flatten_solvent,
            radius: diameter / (2.0 * pixel_size),
            edge: settings.mask_edge,
            pixel_size,
            mask,
            second,
            low_pass,
        };
        Ok((solvent, warnings))
    }

    /// The first mask, for solvent-corrected FSC.
    pub fn mask(&self) -> Option<&Array3<f64>> {
        self.mask.as_ref()
    }

    /// Flatten the solvent of a map (no effect without `--flatten_solvent`).
    pub fn flatten(&self, map: &mut Array3<f64>) {
        if !self.enabled {
            return;
        }
        let smooth = self.low_pass.as_ref().map(|(mask, resolution)| {
            masks::low_pass(&(&*map * mask), self.pixel_size, *resolution)
        });
        match &self.mask {
            Some(mask) => *map *= mask,
            None => masks::soft_sphere(map, self.radius, self.edge),
        }
        if let Some(smooth) = smooth {
            *map += &smooth;
        }
        if let Some(second) = &self.second {
            let weight = second.sum();
            if weight > 0.0 {
                let mean = Zip::from(&*map)
                    .and(second)
                    .fold(0.0, |sum, v, m| sum + v * m)
                    / weight;
                Zip::from(map)
                    .and(second)
                    .for_each(|v, &m| *v = (1.0 - m) * *v + m * mean);
            }
        }
    }
}

fn read_mask(
    path: &mut PathBuf,
    saved: &Path,
    box_size: usize,
    pixel_size: f64,
    warnings: &mut Vec<String>,
) -> Result<Array3<f64>, RunError> {
    let file = volume::read_map(path)?;
    let (z, y, x) = file.data.dim();
    if z != y || y != x || x % 2 != 0 {
        return Err(RunError::Invalid(format!(
            "{}: the mask has {x} × {y} × {z} voxels (x × y × z) but must be a cube with an even side. Crop or pad it.",
            path.display()
        )));
    }
    let mut mask = file.data.mapv(f64::from);
    let own = file.pixel_size.filter(|&a| a > 0.0).unwrap_or(pixel_size);
    let mut changed = false;
    if (own - pixel_size).abs() > SAME_PIXEL {
        let side = round(x as f64 * own / pixel_size) as usize;
        mask = resample(&mask, side + side % 2);
        changed = true;
        warnings.push(format!(
            "{}: the mask has pixels of {own} Å, the references {pixel_size} Å: it was rescaled.",
            path.display()
        ));
    }
    if mask.dim().0 != box_size {
        mask = window(&mask, box_size);
        changed = true;
        warnings.push(format!(
            "{}: the mask has another box than the references ({box_size} pixels): it was cropped or padded.",
            path.display()
        ));
    }
    if mask.iter().any(|v| !(0.0..=1.0).contains(v)) {
        mask.mapv_inplace(|v| if v > 0.0 { v.min(1.0) } else { 0.0 });
        changed = true;
        warnings.push(format!(
            "{}: the mask has values outside [0, 1]: they were clipped.",
            path.display()
        ));
    }
    if changed {
        mrc::write_map(saved, mask.mapv(|v| v as f32).view(), pixel_size)?;
        *path = saved.to_path_buf();
    }
    Ok(mask)
}

/// Move the centre of mass of a map to the box centre, by at most `limit` pixels (`--center_classes`).
pub fn centre(map: &Array3<f64>, limit: f64) -> Array3<f64> {
    let middle = (map.dim().0 / 2) as f64;
    let mut moments = [0.0; 3];
    let mut mass = 0.0;
    for ((z, y, x), &v) in map.indexed_iter() {
        mass += v;
        for (moment, i) in moments.iter_mut().zip([z, y, x]) {
            *moment += v * (i as f64 - middle);
        }
    }
    if mass == 0.0 {
        return map.clone();
    }
    let mut shift = moments.map(|moment| moment / mass);
    let length = shift.iter().map(|s| s * s).sum::<f64>().sqrt();
    if length > limit {
        shift = shift.map(|s| s * limit / length);
    }
    Array3::from_shape_fn(map.dim(), |(z, y, x)| {
        trilinear(
            map,
            [
                z as f64 + shift[0],
                y as f64 + shift[1],
                x as f64 + shift[2],
            ],
        )
    })
}

/// Value between voxels; 0 outside the map.
fn trilinear(map: &Array3<f64>, at: [f64; 3]) -> f64 {
    let base = at.map(f64::floor);
    let mut value = 0.0;
    for corner in 0..8usize {
        let mut weight = 1.0;
        let mut index = [0i64; 3];
        for axis in 0..3 {
            let upper = corner >> axis & 1 == 1;
            let fraction = at[axis] - base[axis];
            weight *= if upper { fraction } else { 1.0 - fraction };
            index[axis] = base[axis] as i64 + i64::from(upper);
        }
        let voxel = index.map(|i| usize::try_from(i).unwrap_or(usize::MAX));
        value += weight * map.get(voxel).copied().unwrap_or(0.0);
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn centring_moves_the_mass_to_the_middle() {
        let mut map = Array3::zeros((8, 8, 8));
        map[[5, 4, 2]] = 2.0;
        let centred = centre(&map, 10.0);
        assert!((centred[[4, 4, 4]] - 2.0).abs() < 1e-12);
        assert!((centred.sum() - 2.0).abs() < 1e-12);
        // (1, 0, −2) is 2.236 pixels long: half of it leaves the mass between voxels.
        let half = centre(&map, 5f64.sqrt() / 2.0);
        assert!(half[[4, 4, 3]] > 0.9 && half[[5, 4, 3]] > 0.9);
    }

    #[test]
    fn the_second_mask_flattens_its_inside_to_the_mean() {
        let mut map = Array3::from_shape_fn((4, 4, 4), |(z, y, x)| (z + y + x) as f64);
        let mut second = Array3::zeros((4, 4, 4));
        second[[0, 0, 0]] = 1.0;
        second[[3, 3, 3]] = 1.0;
        let solvent = Solvent {
            enabled: true,
            radius: 10.0,
            edge: 2.0,
            pixel_size: 1.0,
            mask: Some(Array3::ones((4, 4, 4))),
            second: Some(second),
            low_pass: None,
        };
        solvent.flatten(&mut map);
        assert_eq!(map[[0, 0, 0]], 4.5);
        assert_eq!(map[[3, 3, 3]], 4.5);
        assert_eq!(map[[1, 1, 1]], 3.0);
    }
}
