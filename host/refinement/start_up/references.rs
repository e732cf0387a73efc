//! Reading the references a run starts from, and making them fit the images (spec 01 §2.1, spec 02 §6.2).

use crate::dataset::OpticsGroup;
use crate::errors::{Code, Message};
use crate::formats::angstrom::Angstrom;
use crate::formats::file_name::{Format, ImageName};
use crate::formats::mrc::StackReader;
use crate::formats::{star::Document, volume};
use crate::fourier::{resample::resample, shape::Dimensions, shells::round, window::window_map};
use crate::model::map_checks;
use crate::refinement::checkpoint::overwritten;
use crate::refinement::error::RunError;
use crate::refinement::settings::Settings;
use ndarray::{Array3, Zip};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Pixel sizes that differ by less are the same (Å).
const SAME_PIXEL: f64 = 0.001;

/// References as a run starts from them.
#[derive(Debug)]
pub struct References {
    /// One map a class.
    pub maps: Vec<Arc<Array3<f64>>>,
    /// Å per pixel.
    pub pixel_size: f64,
    /// All classes start from one map: classes must be seeded (spec 01 §2.5).
    pub generate_seeds: bool,
    /// They are listed, or stacked, in `--ref`: one class for each.
    pub listed: bool,
    /// Changes to the maps, for the user.
    pub warnings: Vec<String>,
}

/// Room for references, judged before they are read.
pub trait Room {
    /// Judges the number of classes.
    ///
    /// # Errors
    /// There are too many.
    fn holds_classes(&self, classes: usize) -> Result<(), Message>;

    /// Judges the memory that so many references take.
    ///
    /// # Errors
    /// There is not enough.
    fn holds_references(&self, classes: usize, dimensions: Dimensions) -> Result<(), Message>;
}

impl References {
    /// Box of the maps, pixels.
    pub fn box_size(&self) -> usize {
        self.maps[0].dim().1
    }

    /// Dimensionality of the maps.
    pub fn dimensions(&self) -> Dimensions {
        Dimensions::of_sections(self.maps[0].dim().0)
    }

    /// References that are made from the images later on; till then they are all zero. Box and pixel size are those of the
    /// first optics group.
    fn to_be_made(dimensions: Dimensions, classes: usize, group: &OpticsGroup) -> Self {
        let n = group.box_size;
        Self {
            listed: false,
            maps: vec![Array3::zeros((dimensions.sections(n), n, n)).into(); classes],
            pixel_size: group.pixel_size,
            generate_seeds: false,
            warnings: Vec::new(),
        }
    }
}

/// Read `--ref` and make it agree with the first optics group.
pub fn read(
    settings: &Settings,
    group: &OpticsGroup,
    room: &impl Room,
) -> Result<References, RunError> {
    let classes = settings.classes;
    let path = match (&settings.reference, settings.from_nothing()) {
        (Some(path), _) => path,
        (None, dimensions) => {
            let dimensions = dimensions.unwrap_or(Dimensions::Two);
            room.holds_classes(classes)?;
            room.holds_references(classes, dimensions)?;
            return Ok(References::to_be_made(dimensions, classes, group));
        }
    };
    let listed = listed_references(path)?;
    let is_list = listed.is_some();
    let files = listed.unwrap_or_else(|| vec![path.clone()]);
    if is_list && settings.classes > 1 && files.len() != settings.classes {
        return Err(Code::REFERENCE_LIST.says(format!(
            "{}: the file holds {} references, but --K asks for {} classes. Give a file with one reference for each class, \
             or --K {}, or a single one, from which any number of classes is made.",
            path.display(),
            files.len(),
            settings.classes,
            files.len()
        )).into());
    }
    let names = files
        .iter()
        .map(|file| ImageName::parse(&file.to_string_lossy()));
    let named: Vec<PathBuf> = names.map(|name| PathBuf::from(name.path)).collect();
    overwritten::check_files(settings, 0, "--ref", named.iter().map(PathBuf::as_path))?;
    let classes = if is_list { files.len() } else { classes };
    room.holds_classes(classes)?;
    let mut warnings = Vec::new();
    let mut maps = Vec::new();
    let mut pixel_size = None;
    for file in &files {
        let (map, own) = read_map(
            file,
            group.box_size,
            settings.reference_pixel_size,
            &mut warnings,
        )?;
        let first = *pixel_size.get_or_insert(own);
        if (own - first).abs() > SAME_PIXEL {
            return Err(Code::REFERENCE_LIST.says(format!(
                "the references of {} have different pixel sizes: {} Å and {} Å ({}). Rescale them to one.",
                path.display(),
                Angstrom(first),
                Angstrom(own),
                file.display()
            )).into());
        }
        if let Some(before) = maps
            .first()
            .map(Array3::dim)
            .filter(|d| (d.0 == 1) != (map.dim().0 == 1))
        {
            return Err(Code::REFERENCE_LIST.says(format!(
                "the references of {} are partly 2D images and partly maps ({} has {} sections, the first has {}). Give \
                 references of one kind.",
                path.display(),
                file.display(),
                map.dim().0,
                before.0
            )).into());
        }
        if maps.is_empty() {
            room.holds_references(classes, Dimensions::of_sections(map.dim().0))?;
        }
        maps.push(map);
    }
    let mut pixel_size = pixel_size.expect("at least one reference was read");
    for (map, file) in maps.iter_mut().zip(&files) {
        pixel_size = fit_to_images(map, pixel_size, file, group, settings, &mut warnings)?;
    }
    let mut maps: Vec<Arc<Array3<f64>>> = maps.into_iter().map(Arc::new).collect();
    if !is_list {
        maps = vec![maps.remove(0); classes];
    }
    Ok(References {
        listed: is_list,
        generate_seeds: !is_list && maps.len() > 1,
        maps,
        pixel_size,
        warnings,
    })
}

/// The references of a list, one per class: those that a STAR file names, or all images of a stack. None for a single one.
fn listed_references(path: &Path) -> Result<Option<Vec<PathBuf>>, RunError> {
    if path.extension().is_some_and(|e| e == "star") {
        return named_references(path).map(Some);
    }
    let name = ImageName::parse(&path.to_string_lossy());
    if name.slice.is_some() || name.format != Format::MrcStack {
        return Ok(None);
    }
    let images = StackReader::open(Path::new(&name.path))?.len();
    let image = |number| PathBuf::from(format!("{number}@{}", path.display()));
    Ok(Some((1..=images).map(image).collect()))
}

/// References named in a STAR file: table `model_classes`, else the first table.
fn named_references(path: &Path) -> Result<Vec<PathBuf>, RunError> {
    let document = Document::read(path)?;
    let table = document
        .table("model_classes")
        .or_else(|| document.tables.first())
        .filter(|table| table.has("rlnReferenceImage") && !table.is_empty())
        .ok_or_else(|| {
            Code::REFERENCE_LIST.says(format!(
                "{}: no table with the column rlnReferenceImage was found, so no references are named. Give a map, or \
                 a table with that column (as model_classes of a _model.star file).",
                path.display()
            ))
        })?;
    (0..table.len())
        .map(|row| Ok(PathBuf::from(table.text(row, "rlnReferenceImage")?)))
        .collect()
}

/// A cubic map, or a square image as a map of one section, with even side, and its pixel size.
fn read_map(
    path: &Path,
    image_box: usize,
    pixel_size: Option<f64>,
    warnings: &mut Vec<String>,
) -> Result<(Array3<f64>, f64), RunError> {
    let map = volume::read_reference_if(path, &|size| map_checks::size(size, image_box))?;
    warnings.extend(map.warnings);
    let (z, y, x) = map.data.dim();
    if (z != y && z != 1) || y != x {
        return Err(Code::MAP_SHAPE.says(format!(
            "{}: the reference has {x} × {y} × {z} voxels (x × y × z) but must be a cube, or one square image. Crop or pad it. \
             Of a stack of images each is a class where the name ends in .mrcs.",
            path.display()
        )).into());
    }
    if x % 2 != 0 || x < 4 {
        return Err(Code::MAP_SHAPE.says(format!(
            "{}: the reference has a box of {x} pixels but the box must be even and at least 4. Crop or pad it.",
            path.display()
        )).into());
    }
    let advice = "Look at the map, and make it again";
    map_checks::finite(path, &map.data, "reference", advice)?;
    let own = pixel_size.or(map.pixel_size).filter(|&a| a > 0.0);
    let Some(own) = own else {
        return Err(Code::MAP_PIXEL_SIZE.says(format!(
            "{}: the header gives no pixel size. Set it in the header, or give it with --ref_angpix.",
            path.display()
        )).into());
    };
    let mut data = Array3::zeros(map.data.dim());
    Zip::from(&mut data)
        .and(&map.data)
        .par_for_each(|out, &value| *out = f64::from(value));
    let map = data;
    map_checks::contrast(path, &map, map_checks::OTHER_REFERENCE)?;
    map_checks::grey_scale(path, &map, "reference", map_checks::GREYS)?;
    warnings.extend(map_checks::centre(path, "reference", &map));
    Ok((map, own))
}

/// Check box and pixel against the images; with `--trust_ref_size` resample and window the map. Returns the pixel
/// size of the result.
fn fit_to_images(
    map: &mut Array3<f64>,
    pixel_size: f64,
    path: &Path,
    group: &OpticsGroup,
    settings: &Settings,
    warnings: &mut Vec<String>,
) -> Result<f64, RunError> {
    let side = map.dim().1;
    let other_pixel = (pixel_size - group.pixel_size).abs() > SAME_PIXEL;
    if !other_pixel && side == group.box_size {
        return Ok(pixel_size);
    }
    if !settings.trust_reference_size {
        return Err(Code::REFERENCE_SCALE.says(format!(
            "{}: the reference has a box of {side} pixels of {} Å, but the images of optics group {} have \
             {} pixels of {} Å. Rescale the reference, or add --trust_ref_size to have it rescaled here (if only the \
             header is wrong, give the true pixel size with --ref_angpix).",
            path.display(),
            Angstrom(pixel_size),
            group.name,
            group.box_size,
            Angstrom(group.pixel_size)
        )).into());
    }
    let mut real_pixel = pixel_size;
    if other_pixel {
        let scaled = even_below(round(side as f64 * pixel_size / group.pixel_size) as usize);
        if scaled < 2 {
            return Err(Code::REFERENCE_SCALE.says(format!(
                "{}: rescaling the reference from {} Å to {} Å per pixel leaves nothing. Check both pixel sizes.",
                path.display(),
                Angstrom(pixel_size),
                Angstrom(group.pixel_size)
            )).into());
        }
        real_pixel = side as f64 * pixel_size / scaled as f64;
        *map = resample(map, scaled);
    }
    *map = window_map(map, group.box_size);
    warnings.push(format!(
        "{}: {}",
        path.display(),
        fitted(side, pixel_size, group.box_size, real_pixel)
    ));
    Ok(real_pixel)
}

/// Describes what `fit_to_images` did to a reference of `side` pixels.
fn fitted(side: usize, pixel_size: f64, box_size: usize, real_pixel: f64) -> String {
    let (old, new) = (Angstrom(pixel_size), Angstrom(real_pixel));
    if (side, pixel_size) == (box_size, real_pixel) {
        return format!(
            "the reference ({side} pixels of {old} Å) was taken as it is (--trust_ref_size): its pixels and those of the images differ \
             by less than rescaling to whole voxels can mend."
        );
    }
    let cut = match box_size < side {
        true => "cropped",
        false => "padded",
    };
    match pixel_size == real_pixel {
        true => format!(
            "the reference ({side} pixels of {old} Å) was {cut} to {box_size} pixels to fit the images \
             (--trust_ref_size); it was not resampled."
        ),
        false => format!(
            "the reference ({side} pixels of {old} Å) was resampled to {box_size} pixels of {new} Å to fit the images \
             (--trust_ref_size)."
        ),
    }
}

fn even_below(n: usize) -> usize {
    n - n % 2
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A Gaussian of `sigma` pixels at `offset` from the centre of a box.
    fn blob(side: usize, sigma: f64, offset: [f64; 3]) -> Array3<f64> {
        let centre = (side / 2) as f64;
        Array3::from_shape_fn((side, side, side), |(z, y, x)| {
            let r2: f64 = [z, y, x]
                .iter()
                .zip(offset)
                .map(|(&i, o)| (i as f64 - centre - o).powi(2))
                .sum();
            (-r2 / (2.0 * sigma * sigma)).exp()
        })
    }

    #[test]
    fn windowing_keeps_the_centre() {
        let small = blob(8, 1.0, [0.0; 3]);
        let large = window_map(&small, 14);
        assert_eq!(large[[7, 7, 7]], 1.0);
        assert_eq!(window_map(&large, 8), small);
    }

    #[test]
    fn what_was_done_to_a_reference_is_told_as_it_was() {
        let pixel = f64::from(4.02f32);
        let text = fitted(64, pixel, 48, pixel);
        assert!(
            text.contains("64 pixels of 4.02 Å) was cropped to 48"),
            "{text}"
        );
        assert!(fitted(32, pixel, 48, pixel).contains("padded to 48"));
        let text = fitted(48, pixel, 48, pixel);
        assert!(
            text.contains("48 pixels of 4.02 Å) was taken as it is"),
            "{text}"
        );
        let text = fitted(64, pixel, 48, f64::from(5.36f32));
        assert!(text.contains("resampled to 48 pixels of 5.36 Å"), "{text}");
    }

    #[test]
    fn resampling_scales_coordinates_about_the_centre() {
        let fine = blob(32, 4.0, [3.0, 0.0, -4.0]);
        let coarse = blob(16, 2.0, [1.5, 0.0, -2.0]);
        for (from, to, expected) in [(&fine, 16, &coarse), (&coarse, 32, &fine)] {
            let result = resample(from, to);
            let worst = (&result - expected)
                .iter()
                .fold(0.0f64, |w, d| w.max(d.abs()));
            assert!(worst < 0.01, "{to}: {worst}");
        }
    }
}
