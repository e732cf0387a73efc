//! SPIDER volumes: a header of 4-byte floats, then float32 data (spec 03 §2.3).
//!
//! Header words (1-based): 1 NZ, 2 NY, 5 IFORM (1 image, 3 volume), 12 NX, 13 LABREC (records in the header),
//! 22 LABBYT (bytes in the header), 23 LENBYT (bytes per record = 4·NX), 24 ISTACK (0: not a stack), 38 SCALE (Å).

use super::mrc::header::looks_like_mrc;
use super::mrc::{Map, MrcError, read_voxels};
use super::volume::Judge;
use crate::errors::Code;
use ndarray::Array3;
use std::io::Read;
use std::path::Path;

/// Bytes of the header that carry something this reader needs.
const HEADER: usize = 1024;

/// Decode a SPIDER volume (or a single image, as one section) from a stream of its bytes.
pub(super) fn read_volume(
    path: &Path,
    mut input: impl Read,
    judge: Judge,
) -> Result<Map, MrcError> {
    let failed = |e: std::io::Error| MrcError::of_reading(path, &e);
    let refuse = |message: String| MrcError::new(Code::IMAGE_FORMAT, path, message);
    let mut start = Vec::with_capacity(HEADER);
    (&mut input)
        .take(HEADER as u64)
        .read_to_end(&mut start)
        .map_err(failed)?;
    if start.len() < HEADER {
        return Err(refuse(format!(
            "by its name this is a SPIDER file, but it has only {} bytes, fewer than a header; \
             an MRC file should be named .mrc or .map",
            start.len()
        )));
    }
    let little = Header::parse(&start, f32::from_le_bytes);
    let big = Header::parse(&start, f32::from_be_bytes);
    let (header, decode): (_, fn([u8; 4]) -> f32) = match (little, big) {
        (Some(header), _) => (header, f32::from_le_bytes),
        (None, Some(header)) => (header, f32::from_be_bytes),
        (None, None) => {
            return Err(refuse(
                "by its name this is a SPIDER file, but its header is not one in either byte order; an MRC file \
                 should be named .mrc or .map (or written as `name:mrc`)"
                    .into(),
            ));
        }
    };
    if header.is_stack {
        return Err(refuse(
            "this is a SPIDER stack; only single volumes can be read; convert it to MRC".into(),
        ));
    }
    judge(header.size).map_err(|message| MrcError::of(path, message))?;
    let skip = (header.bytes - HEADER) as u64;
    std::io::copy(&mut (&mut input).take(skip), &mut std::io::sink()).map_err(failed)?;
    let [x, y, z] = header.size;
    let section_bytes = 4 * (x * y) as u64;
    let (voxels, found) = read_voxels(&mut input, x * y, z, section_bytes, |bytes, out| {
        for (value, four) in out.iter_mut().zip(bytes.as_chunks::<4>().0) {
            *value = decode(*four);
        }
    })
    .map_err(failed)?;
    let expected = section_bytes * z as u64;
    if found < expected {
        return Err(MrcError::new(
            Code::FILE_CUT_OFF,
            path,
            format!(
                "the SPIDER volume is cut off: {x} x {y} x {z} voxels take {expected} bytes after the header, \
                 the file has {found}; copy or compute it again"
            ),
        ));
    }
    let data = Array3::from_shape_vec((z, y, x), voxels)
        .map_err(|e| refuse(format!("the volume does not fit its size: {e}")))?;
    Ok(Map {
        data,
        pixel_size: header.pixel_size,
        warnings: Vec::new(),
    })
}

/// Returns whether a file named as SPIDER holds SPIDER data, by its first bytes.
///
/// The identifier `MAP ` decides for MRC. Without it a SPIDER header is looked for first: its floats, read as integers
/// of the other byte order, pass for the size of an old MRC file (96.0 is 49218), but the integers of an MRC file do
/// not pass for whole numbers in floating point.
pub(super) fn is_content(start: &[u8]) -> bool {
    if start.len() < HEADER {
        return true;
    }
    if &start[208..212] == b"MAP " {
        return false;
    }
    let decoders: [fn([u8; 4]) -> f32; 2] = [f32::from_le_bytes, f32::from_be_bytes];
    let is_spider = decoders
        .iter()
        .any(|&decode| Header::parse(start, decode).is_some());
    is_spider || !looks_like_mrc(start)
}

struct Header {
    /// Columns, rows, sections.
    size: [usize; 3],
    /// Length of the header.
    bytes: usize,
    is_stack: bool,
    pixel_size: Option<f64>,
}

impl Header {
    /// `None` if the numbers make no sense in this byte order.
    fn parse(bytes: &[u8], decode: fn([u8; 4]) -> f32) -> Option<Self> {
        let word = |number: usize| decode([0, 1, 2, 3].map(|i| bytes[4 * (number - 1) + i]));
        let count = |number: usize| {
            let value = word(number);
            (value.fract() == 0.0 && (1.0..=1e5).contains(&value)).then_some(value as usize)
        };
        let size = [count(12)?, count(2)?, count(1)?];
        if !matches!(word(5) as i32, 1 | 3) || word(5).fract() != 0.0 {
            return None;
        }
        // The header fills whole records of one row each.
        let row = 4 * size[0];
        let computed = HEADER.div_ceil(row) * row;
        let length = match count(22) {
            Some(given) if given >= HEADER && given < computed + row => given,
            _ => computed,
        };
        let pixel_size = f64::from(word(38));
        Some(Header {
            size,
            bytes: length,
            is_stack: word(24) != 0.0,
            pixel_size: (pixel_size.is_finite() && pixel_size > 0.0).then_some(pixel_size),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A volume of 5 × 4 × 3 voxels with values 0, 1, 2, …
    fn example(encode: fn(f32) -> [u8; 4]) -> Vec<u8> {
        let mut words = vec![0.0f32; 260];
        for (number, value) in [
            (1, 3.0),
            (2, 4.0),
            (5, 3.0),
            (12, 5.0),
            (13, 52.0),
            (22, 1040.0),
            (23, 20.0),
            (38, 2.5),
        ] {
            words[number - 1] = value;
        }
        words.extend((0..60).map(|i| i as f32));
        words.into_iter().flat_map(encode).collect()
    }

    #[test]
    fn both_byte_orders() {
        for encode in [f32::to_le_bytes, f32::to_be_bytes] {
            let bytes = example(encode);
            let map = read_volume(Path::new("x.dat"), bytes.as_slice(), &|_| Ok(())).unwrap();
            assert_eq!(map.data.dim(), (3, 4, 5));
            assert_eq!(map.data[[2, 3, 4]], 59.0);
            assert_eq!(map.data[[0, 1, 0]], 5.0);
            assert_eq!(map.pixel_size, Some(2.5));
        }
    }

    /// Header and slab of a box as SPIDER writes it.
    fn slab(side: usize, sections: usize, encode: fn(f32) -> [u8; 4]) -> Vec<u8> {
        let records = 1024usize.div_ceil(4 * side);
        let mut words = vec![0.0f32; records * side];
        for (number, value) in [
            (1, sections),
            (2, side),
            (3, records + sections * side),
            (5, 3),
            (12, side),
            (13, records),
            (22, 4 * side * records),
            (23, 4 * side),
        ] {
            words[number - 1] = value as f32;
        }
        words.extend((0..side * side * sections).map(|i| i as f32));
        words.into_iter().flat_map(encode).collect()
    }

    /// Sizes whose floats pass for integers of the other byte order were taken for MRC files.
    #[test]
    fn boxes_of_all_sizes_are_known_as_spider() {
        for encode in [f32::to_le_bytes, f32::to_be_bytes] {
            for side in (32..=512).step_by(8).flat_map(|n| [n - 1, n, n + 1]) {
                let mut header = slab(side, 0, encode);
                header[..4].copy_from_slice(&encode(side as f32));
                assert!(is_content(&header), "box {side}");

                let bytes = slab(side, 2, encode);
                let format = crate::formats::file_name::Format::Spider;
                let path = Path::new("reference.spi");
                let map = crate::formats::volume::parse_map(bytes.as_slice(), path, &format)
                    .unwrap_or_else(|e| panic!("box {side}: {e}"));
                assert_eq!(map.data.dim(), (2, side, side));
                assert_eq!(map.data[[1, 0, 1]], (side * side + 1) as f32);
                assert_eq!(map.warnings, Vec::<String>::new());
            }
        }
    }

    /// Old MRC files have no identifier; they are still read under a name that means SPIDER.
    #[test]
    fn mrc_files_are_not_taken_for_spider() {
        for side in (32..=512).step_by(8) {
            for encode in [i32::to_le_bytes, i32::to_be_bytes] {
                let mut header = vec![0; 1024];
                for (word, value) in [(0, side), (1, side), (2, side), (3, 2)] {
                    header[4 * word..4 * word + 4].copy_from_slice(&encode(value));
                }
                assert!(!is_content(&header), "box {side}");
            }
        }
    }

    #[test]
    fn other_files_are_refused_with_a_reason() {
        let bytes = example(f32::to_le_bytes);
        let message = |bytes: &[u8]| {
            read_volume(Path::new("x.dat"), bytes, &|_| Ok(()))
                .unwrap_err()
                .to_string()
        };
        assert!(message(&bytes[..1100]).contains("cut off"));
        assert!(message(&bytes[..100]).contains("only 100 bytes"));
        assert!(message(&[7; 4096]).contains("not one in either byte order"));
        let mut stack = bytes.clone();
        stack[92..96].copy_from_slice(&2.0f32.to_le_bytes());
        assert!(message(&stack).contains("SPIDER stack"));
    }
}
