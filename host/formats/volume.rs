//! Reading a 3D map of any supported format, chosen by RELION's file-name grammar (spec 03 §2.1).

use super::mrc::{self, Map, MrcError};
use super::{file_name, spider};
use crate::errors::{Code, Message};
use crate::formats::open::open_to_read;
use file_name::{Format, ImageName};
use ndarray::Array3;
use std::io::{BufReader, Read};
use std::path::Path;

/// Read a map: MRC (plain, `.gz`, `.bz2`) or SPIDER.
///
/// The name decides, as in RELION, except that a file whose name means SPIDER (or nothing) but whose header is that
/// of an MRC file is read as MRC. Names with a `number@` are refused: a map is a whole file.
pub fn read_map(path: &Path) -> Result<Map, MrcError> {
    read_map_if(path, &|_| Ok(()))
}

/// Says whether a map of this size (x, y, z) is to be read, once its header is known.
pub type Judge<'a> = &'a dyn Fn([usize; 3]) -> Result<(), Message>;

/// As [`read_map_if`], or one image of a stack (`number@stack`) as a map of one section.
pub fn read_reference_if(path: &Path, judge: Judge) -> Result<Map, MrcError> {
    let name = ImageName::parse(&path.to_string_lossy());
    let Some(number) = name.slice else {
        return read_map_if(path, judge);
    };
    let stack = mrc::StackReader::open_partial(Path::new(&name.path))?;
    let (x, y) = stack.shape();
    judge([x, y, 1]).map_err(|message| MrcError::of(path, message))?;
    // Numbers start at 1; 0 is no image of any stack.
    let slice = number.checked_sub(1).unwrap_or(usize::MAX - 1);
    let mut data = Array3::zeros((1, y, x));
    let pixels = data.as_slice_mut().expect("a new array is contiguous");
    stack.read_into(slice, pixels)?;
    Ok(Map {
        data,
        pixel_size: stack.pixel_size(),
        warnings: stack.warnings().to_vec(),
    })
}

/// As [`read_map`], but reads no more than the header of a map that `judge` refuses: the size in a header may be that of a
/// tomogram, or nonsense.
pub fn read_map_if(path: &Path, judge: Judge) -> Result<Map, MrcError> {
    let text = path.to_string_lossy();
    let name = ImageName::parse(&text);
    let given = path;
    let mut path = Path::new(&name.path);
    // A name without an extension means one of SPIDER, unless there is such a file.
    if !path.exists() && given.exists() {
        path = given;
    }
    if name.slice.is_some() {
        return Err(MrcError::new(
            Code::IMAGE_FORMAT,
            path,
            format!("'{text}' names one image of a stack; give the file of a 3D map"),
        ));
    }
    match name.format {
        Format::Refused(reason) => return Err(MrcError::new(Code::IMAGE_FORMAT, path, reason)),
        Format::Mrc | Format::MrcStack | Format::Spider => {}
    }
    let file = open_to_read(path, "the map").map_err(|message| MrcError::of(path, message))?;
    parse_map_if(file, path, &name.format, judge)
}

/// Decode a map from the bytes of its file (compressed ones too); `path` is for messages.
pub fn parse_map(bytes: impl Read, path: &Path, format: &Format) -> Result<Map, MrcError> {
    parse_map_if(bytes, path, format, &|_| Ok(()))
}

fn parse_map_if(
    bytes: impl Read,
    path: &Path,
    format: &Format,
    judge: Judge,
) -> Result<Map, MrcError> {
    let failed = |e: std::io::Error| MrcError::of_reading(path, &e);
    let mut bytes = decompressed(bytes).map_err(failed)?;
    let mut start = Vec::with_capacity(mrc::header::LENGTH);
    (&mut bytes)
        .take(mrc::header::LENGTH as u64)
        .read_to_end(&mut start)
        .map_err(failed)?;
    let is_mrc = *format != Format::Spider || !spider::is_content(&start);
    let all = start.as_slice().chain(bytes);
    if !is_mrc {
        return spider::read_volume(path, all, judge);
    }
    let mut map = mrc::read_map_from(path, all, judge)?;
    if *format == Format::Spider {
        let warning = "the name means a SPIDER file, the content is MRC and was read as such";
        map.warnings.push(warning.into());
    }
    Ok(map)
}

/// The bytes, decompressed if they are compressed (whatever the name says).
fn decompressed<'a>(mut bytes: impl Read + 'a) -> std::io::Result<Box<dyn Read + 'a>> {
    let mut magic = Vec::with_capacity(3);
    (&mut bytes).take(3).read_to_end(&mut magic)?;
    let is_gzip = magic.starts_with(&[0x1f, 0x8b]);
    let is_bzip2 = magic == b"BZh";
    let whole = std::io::Cursor::new(magic).chain(bytes);
    let whole = BufReader::new(whole);
    Ok(if is_gzip {
        Box::new(flate2::read::MultiGzDecoder::new(whole))
    } else if is_bzip2 {
        Box::new(bzip2::read::MultiBzDecoder::new(whole))
    } else {
        Box::new(whole)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::Write;

    #[test]
    fn compressed_maps_and_maps_with_strange_names() {
        let folder = tempfile::tempdir().unwrap();
        let plain = folder.path().join("a.mrc");
        let data =
            ndarray::Array3::from_shape_fn((3, 4, 5), |(z, y, x)| (z * 20 + y * 5 + x) as f32);
        mrc::write_map(&plain, data.view(), 2.0).unwrap();
        let bytes = std::fs::read(&plain).unwrap();

        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(&bytes).unwrap();
        let mut bzip2 = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
        bzip2.write_all(&bytes).unwrap();
        for (name, content, warnings) in [
            ("a.mrc.gz", gzip.finish().unwrap(), 0),
            ("a.map.bz2", bzip2.finish().unwrap(), 0),
            ("a.dat", bytes.clone(), 1),
        ] {
            let path = folder.path().join(name);
            std::fs::write(&path, content).unwrap();
            let map = read_map(&path).unwrap();
            assert_eq!(
                (map.data, map.pixel_size),
                (data.clone(), Some(2.0)),
                "{name}"
            );
            assert_eq!(map.warnings.len(), warnings, "{name}: {:?}", map.warnings);
        }
        let error = |name: &str| read_map(&folder.path().join(name)).unwrap_err().to_string();
        assert!(error("missing.mrc").contains("cannot open the map"));
        std::fs::create_dir(folder.path().join("maps")).unwrap();
        assert!(error("maps").contains("is a folder, not a file"));
        std::fs::write(folder.path().join("map"), &bytes).unwrap();
        assert_eq!(read_map(&folder.path().join("map")).unwrap().data, data);
        assert!(error("a.tif").contains("TIFF"));
        std::fs::write(folder.path().join("cut.mrc"), &bytes[..1200]).unwrap();
        assert!(
            error("cut.mrc").contains("5 x 4 x 3 voxels, 1264 bytes in all"),
            "{}",
            error("cut.mrc")
        );
    }

    /// A map whose voxels tell their place, stored in another order of axes (MAPC, MAPR, MAPS).
    #[test]
    fn axes_are_put_in_order() {
        let at = |z: usize, y: usize, x: usize| (100 * z + 10 * y + x) as f32;
        // Sides along x, y, z.
        let sides = [5, 4, 3];
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.mrc");
        for order in [
            [0, 1, 2],
            [2, 1, 0],
            [1, 0, 2],
            [1, 2, 0],
            [0, 2, 1],
            [2, 0, 1],
        ] {
            let [columns, rows, sections] = order.map(|axis| sides[axis]);
            let stored = ndarray::Array3::from_shape_fn((sections, rows, columns), |(s, r, c)| {
                let mut place = [0; 3];
                (place[order[0]], place[order[1]], place[order[2]]) = (c, r, s);
                at(place[2], place[1], place[0])
            });
            mrc::write_map(&path, stored.view(), 2.0).unwrap();
            let mut bytes = std::fs::read(&path).unwrap();
            for (word, axis) in order.iter().enumerate() {
                bytes[64 + 4 * word] = *axis as u8 + 1;
            }
            let map = parse_map(bytes.as_slice(), &path, &Format::Mrc).unwrap();
            let expected = ndarray::Array3::from_shape_fn((3, 4, 5), |(z, y, x)| at(z, y, x));
            assert_eq!(map.data, expected, "{order:?}");
            assert!(map.data.is_standard_layout());
            assert_eq!(map.warnings, Vec::<String>::new());
        }
    }

    #[test]
    fn axes_that_make_no_sense_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.mrc");
        let data =
            ndarray::Array3::from_shape_fn((2, 3, 4), |(z, y, x)| (z * 12 + y * 4 + x) as f32);
        mrc::write_map(&path, data.view(), 2.0).unwrap();
        let read = |words: [u8; 3]| {
            let mut bytes = std::fs::read(&path).unwrap();
            (0..3).for_each(|word| bytes[64 + 4 * word] = words[word]);
            parse_map(bytes.as_slice(), &path, &Format::Mrc)
        };
        for words in [[1, 1, 3], [7, 1, 2], [1, 2, 0]] {
            let error = read(words).unwrap_err().to_string();
            assert!(error.contains("no order of 1, 2, 3"), "{words:?}: {error}");
        }
        // Old files leave them empty.
        let map = read([0, 0, 0]).unwrap();
        assert_eq!((map.data, map.warnings.len()), (data, 0));
    }

    /// Surplus that never ends, as a damaged compressed file gives it.
    #[test]
    fn surplus_is_counted_no_further_than_a_megabyte() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.mrc");
        mrc::write_map(&path, ndarray::Array3::zeros((2, 2, 2)).view(), 2.0).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        let endless = bytes.as_slice().chain(std::io::repeat(7));
        let map = parse_map(endless, &path, &Format::Mrc).unwrap();
        assert!(
            map.warnings[0].starts_with("more than a megabyte"),
            "{:?}",
            map.warnings
        );
    }

    /// The header is judged before any voxel is read: this input has no end.
    #[test]
    fn maps_are_refused_by_their_header() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.mrc");
        mrc::write_map(&path, ndarray::Array3::zeros((2, 2, 2)).view(), 2.0).unwrap();
        let mut bytes = std::fs::read(&path).unwrap();
        (0..3)
            .for_each(|word| bytes[4 * word..4 * word + 4].copy_from_slice(&3000i32.to_le_bytes()));
        let endless = bytes.as_slice().chain(std::io::repeat(0));
        let judge = |size: [usize; 3]| Err(Code::MAP_SHAPE.says(format!("{size:?}")));
        let error = parse_map_if(endless, &path, &Format::Mrc, &judge).unwrap_err();
        assert_eq!(error.code, Code::MAP_SHAPE);
        assert_eq!(error.message, "[3000, 3000, 3000]");
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..1100), words in prop::collection::vec(0u8..13, 4)) {
            let mut bytes = bytes;
            bytes.resize(bytes.len().max(1040), 0);
            // Small sizes and real modes, so that more than the header is reached.
            for (i, &word) in words.iter().enumerate() {
                bytes[4 * i..4 * i + 4].copy_from_slice(&u32::from(word).to_le_bytes());
            }
            for format in [Format::Mrc, Format::Spider] {
                let _ = parse_map(bytes.as_slice(), Path::new("x"), &format);
            }
        }
    }
}
