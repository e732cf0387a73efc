//! Reading a 3D map of any supported format, chosen by RELION's file-name grammar (spec 03 §2.1).

use super::mrc::{self, Map, MrcError};
use super::{file_name, spider};
use file_name::{Format, ImageName};
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

/// Read a map: MRC (plain, `.gz`, `.bz2`) or SPIDER.
///
/// The name decides, as in RELION, except that a file whose name means SPIDER (or nothing) but whose header is that
/// of an MRC file is read as MRC. Names with a `number@` are refused: a map is a whole file.
pub fn read_map(path: &Path) -> Result<Map, MrcError> {
    let text = path.to_string_lossy();
    let name = ImageName::parse(&text);
    let path = Path::new(&name.path);
    if name.slice.is_some() {
        return Err(MrcError::new(
            path,
            format!("'{text}' names one image of a stack; give the file of a 3D map"),
        ));
    }
    match name.format {
        Format::Refused(reason) => return Err(MrcError::new(path, reason)),
        Format::Mrc | Format::MrcStack | Format::Spider => {}
    }
    let bytes = open(path)?;
    let mut bytes = BufReader::with_capacity(1 << 20, bytes);
    let mut start = Vec::with_capacity(mrc::header::LENGTH);
    (&mut bytes)
        .take(mrc::header::LENGTH as u64)
        .read_to_end(&mut start)
        .map_err(|e| MrcError::new(path, format!("reading failed: {e}")))?;
    let is_mrc = name.format != Format::Spider || mrc::header::looks_like_mrc(&start);
    let all = start.as_slice().chain(bytes);
    if is_mrc {
        let mut map = mrc::read_map_from(path, all)?;
        if name.format == Format::Spider {
            map.warnings.push(
                "the name means a SPIDER file, the content is MRC and was read as such".into(),
            );
        }
        Ok(map)
    } else {
        spider::read_volume(path, all)
    }
}

/// The file's bytes, decompressed if they are compressed (whatever the name says).
fn open(path: &Path) -> Result<Box<dyn Read>, MrcError> {
    let failed = |e: std::io::Error| MrcError::new(path, format!("cannot open the map: {e}"));
    let mut file = File::open(path).map_err(failed)?;
    if file.metadata().map_err(failed)?.is_dir() {
        return Err(MrcError::new(path, "this is a folder, not a map"));
    }
    let mut magic = Vec::with_capacity(3);
    (&mut file)
        .take(3)
        .read_to_end(&mut magic)
        .map_err(failed)?;
    let is_gzip = magic.starts_with(&[0x1f, 0x8b]);
    let is_bzip2 = magic == b"BZh";
    let whole = BufReader::new(std::io::Cursor::new(magic).chain(file));
    Ok(if is_gzip {
        Box::new(flate2::read::MultiGzDecoder::new(whole))
    } else if is_bzip2 {
        Box::new(bzip2::read::MultiBzDecoder::new(whole))
    } else {
        Box::new(whole)
    })
}
