//! Whole maps in memory.

use super::MrcError;
use super::header::{self, Header, NewHeader};
use super::statistics::Statistics;
use crate::errors::{Code, Message};
use crate::formats::angstrom::Angstrom;
use crate::formats::replace::{Content, check_kind, replace_file};
use crate::formats::volume::Judge;
use ndarray::{Array3, ArrayView3};
use rayon::prelude::*;
use std::fs::File;
use std::io::{BufWriter, Read, Write};
use std::path::Path;

/// A map as read: voxels (z, y, x) and pixel size in Å, if the header gives one.
#[derive(Debug)]
pub struct Map {
    /// Voxels, indices (z, y, x).
    pub data: Array3<f32>,
    /// Å per voxel.
    pub pixel_size: Option<f64>,
    /// Oddities that were tolerated, for the user.
    pub warnings: Vec<String>,
}

/// Write a map (indices z, y, x) as mode 2, to a temporary name and renamed; passes `mrcfile.validate`.
pub fn write_map(path: &Path, map: ArrayView3<f32>, pixel_size: f64) -> Result<(), MrcError> {
    write_map_labelled(path, map, pixel_size, "")
}

/// As [`write_map`], with a second label (ASCII, at most 80 characters) in the header.
pub fn write_map_labelled(
    path: &Path,
    map: ArrayView3<f32>,
    pixel_size: f64,
    label: &str,
) -> Result<(), MrcError> {
    write_array(path, map, pixel_size, label, false)
}

/// Voxels that are rounded at a time.
const BLOCK: usize = 1 << 18;

/// As [`write_map_labelled`], of values in double precision, which are rounded block by block: a copy of the whole map would cost
/// more than to write it.
pub fn write_map_of_doubles(
    path: &Path,
    map: &Array3<f64>,
    pixel_size: f64,
    label: &str,
) -> Result<(), MrcError> {
    let Some(values) = map.as_slice() else {
        let rounded = map.mapv(|v| v as f32);
        return write_map_labelled(path, rounded.view(), pixel_size, label);
    };
    let round = |block: &[f64]| block.iter().map(|&v| v as f32).collect::<Vec<f32>>();
    let blocks: Vec<Statistics> = values
        .par_chunks(BLOCK)
        .map(|block| Statistics::of(round(block).iter().copied()))
        .collect();
    let mut statistics = Statistics::default();
    blocks.iter().for_each(|block| statistics.merge(block));
    let (z, y, x) = map.dim();
    let header = NewHeader {
        size: [x, y, z],
        mode: 2,
        pixel_size,
        is_stack: false,
        statistics,
        second_label: label.to_owned(),
    };
    write_file(path, &header, |out| {
        values.chunks(BLOCK).try_for_each(|block| {
            let bytes: Vec<[u8; 4]> = block.iter().map(|&v| (v as f32).to_le_bytes()).collect();
            out.write_all(bytes.as_flattened())
        })
    })
}

/// As [`write_map_labelled`], a stack of images (number, y, x) of any shape.
pub fn write_stack(
    path: &Path,
    images: ArrayView3<f32>,
    pixel_size: f64,
    label: &str,
) -> Result<(), MrcError> {
    write_array(path, images, pixel_size, label, true)
}

fn write_array(
    path: &Path,
    map: ArrayView3<f32>,
    pixel_size: f64,
    label: &str,
    is_stack: bool,
) -> Result<(), MrcError> {
    let (z, y, x) = map.dim();
    let mut statistics = Statistics::default();
    statistics.add(map.iter().copied());
    let header = NewHeader {
        size: [x, y, z],
        mode: 2,
        pixel_size,
        is_stack,
        statistics,
        second_label: label.to_owned(),
    };
    write_file(path, &header, |out| match map.as_slice() {
        Some(values) if cfg!(target_endian = "little") => {
            out.write_all(bytemuck::cast_slice(values))
        }
        _ => map
            .iter()
            .try_for_each(|value| out.write_all(&value.to_le_bytes())),
    })
}

/// Writes a header and what follows it, to a temporary name and renamed.
fn write_file(
    path: &Path,
    header: &NewHeader,
    data: impl Fn(&mut BufWriter<File>) -> std::io::Result<()>,
) -> Result<(), MrcError> {
    let content = match header.is_stack {
        true => Content::Images,
        false => Content::Map,
    };
    let write = |out: &mut BufWriter<File>| {
        out.write_all(&header.bytes())?;
        data(out)
    };
    let written = check_kind(path, content).and_then(|()| replace_file(path, write));
    written.map_err(|e: std::io::Error| MrcError::of(path, Message::unwritten("the map", &e)))
}

/// Bytes after the data that are counted for the warning; more than this is "more".
const LARGEST_SURPLUS: u64 = 1 << 20;

/// Decode an MRC map from a stream of its bytes. `path` is for messages.
pub(in crate::formats) fn read_map_from(
    path: &Path,
    mut input: impl Read,
    judge: Judge,
) -> Result<Map, MrcError> {
    let failed = |e: std::io::Error| MrcError::of_reading(path, &e);
    let mut start = Vec::with_capacity(header::LENGTH);
    (&mut input)
        .take(header::LENGTH as u64)
        .read_to_end(&mut start)
        .map_err(failed)?;
    let header = Header::parse(&start)
        .map_err(|message| MrcError::new(Code::IMAGE_FORMAT, path, message))?;
    let expected = header
        .file_bytes()
        .map_err(|message| MrcError::new(Code::IMAGE_FORMAT, path, message))?;
    if let Some([c, r, s]) = header.impossible_axes {
        return Err(MrcError::new(
            Code::IMAGE_FORMAT,
            path,
            format!(
                "the header gives the axes {c}, {r}, {s} (MAPC, MAPR, MAPS), which is no order of 1, 2, 3, so that x, y and z of \
                 the map are not known; set them to 1, 2, 3 if the map is right when it is looked at, or write it again"
            ),
        ));
    }
    let mut warnings = header.warnings.clone();
    judge(header.size).map_err(|message| MrcError::of(path, message))?;
    let extended = header.data_offset - header::LENGTH as u64;
    let skipped =
        std::io::copy(&mut (&mut input).take(extended), &mut std::io::sink()).map_err(failed)?;

    let [x, y, z] = header.size;
    let section_bytes = header
        .section_bytes()
        .map_err(|message| MrcError::new(Code::IMAGE_FORMAT, path, message))?;
    let (voxels, found) = read_voxels(&mut input, x * y, z, section_bytes, |bytes, out| {
        header.element.decode(header.order, bytes, out)
    })
    .map_err(failed)?;
    let found = header::LENGTH as u64 + skipped + found;
    if found < expected {
        return Err(MrcError::new(
            Code::FILE_CUT_OFF,
            path,
            format!(
                "the map is cut off: its header promises {x} x {y} x {z} voxels, {expected} bytes in all, \
                 the file has {found}; copy or compute it again"
            ),
        ));
    }
    // A few bytes may stand after the data; what a decompressor makes of a damaged file may never end.
    let extra = std::io::copy(
        &mut (&mut input).take(LARGEST_SURPLUS + 1),
        &mut std::io::sink(),
    )
    .map_err(failed)?;
    if extra > 0 {
        let extra = match extra > LARGEST_SURPLUS {
            true => "more than a megabyte".to_string(),
            false => format!("{extra} bytes"),
        };
        warnings.push(format!("{extra} after the end of the data are ignored"));
    }
    let [px, py, pz] = header.pixel_size;
    if let (Some(px), Some(py), Some(pz)) = (px, py, pz)
        && ((px - py).abs() > 1e-3 * px || (px - pz).abs() > 1e-3 * px)
    {
        warnings.push(format!(
            "the header gives different pixel sizes along x, y and z ({}, {}, {} Å); x counts",
            Angstrom(px),
            Angstrom(py),
            Angstrom(pz)
        ));
    }
    let data = Array3::from_shape_vec((z, y, x), voxels).map_err(|e| {
        MrcError::new(
            Code::IMAGE_FORMAT,
            path,
            format!("the map does not fit its size: {e}"),
        )
    })?;
    Ok(Map {
        data: in_order(data, header.axes),
        pixel_size: px,
        warnings,
    })
}

/// Returns the voxels with x fastest and z slowest, from a map whose columns, rows and sections run along `axes`.
fn in_order(data: Array3<f32>, axes: [usize; 3]) -> Array3<f32> {
    if axes == [0, 1, 2] {
        return data;
    }
    // ndarray's axis 0 is the file's sections; the result's axis 0 is z.
    let stored_at = |axis: usize| 2 - axes.iter().position(|&a| a == axis).unwrap_or(axis);
    let turned = data.permuted_axes([stored_at(2), stored_at(1), stored_at(0)]);
    turned.as_standard_layout().into_owned()
}

/// Read `sections` sections of `pixels` values each; gives the values of whole sections and the bytes read.
///
/// Memory grows with what really arrives, so that a header promising terabytes costs nothing.
pub(in crate::formats) fn read_voxels(
    input: &mut impl Read,
    pixels: usize,
    sections: usize,
    section_bytes: u64,
    decode: impl Fn(&[u8], &mut [f32]),
) -> std::io::Result<(Vec<f32>, u64)> {
    let mut voxels = Vec::new();
    let mut found = 0;
    let mut bytes = Vec::new();
    for _ in 0..sections {
        bytes.clear();
        let length = input.take(section_bytes).read_to_end(&mut bytes)? as u64;
        found += length;
        if length < section_bytes {
            break;
        }
        let start = voxels.len();
        voxels.resize(start + pixels, 0.0);
        decode(&bytes, &mut voxels[start..]);
    }
    Ok((voxels, found))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// More values than a block, not all of which single precision has.
    #[test]
    fn doubles_are_written_as_their_rounded_values() {
        let map = Array3::from_shape_fn((70, 71, 72), |(z, y, x)| {
            (z as f64 * 0.1).sin() + y as f64 / 7.0 - x as f64
        });
        assert!(map.len() > BLOCK);
        let folder = tempfile::tempdir().unwrap();
        let [ours, theirs] = ["a.mrc", "b.mrc"].map(|name| folder.path().join(name));
        write_map_of_doubles(&ours, &map, 1.5, "a label").unwrap();
        let rounded = map.mapv(|v| v as f32);
        write_map_labelled(&theirs, rounded.view(), 1.5, "a label").unwrap();
        let [ours, theirs] = [ours, theirs].map(|path| std::fs::read(path).unwrap());
        assert!(ours[header::LENGTH..] == theirs[header::LENGTH..]);
        let statistics = |bytes: &[u8]| {
            let word = |at: usize| f32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
            [word(76), word(80), word(84), word(216)]
        };
        for (a, b) in statistics(&ours).into_iter().zip(statistics(&theirs)) {
            assert!((a - b).abs() <= 1e-6 * b.abs(), "{a} {b}");
        }
    }
}
