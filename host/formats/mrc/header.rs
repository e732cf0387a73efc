//! The 1024-byte MRC header.

use super::element::{ByteOrder, Element};
use super::statistics::Statistics;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

/// Bytes of the fixed header.
pub(crate) const LENGTH: usize = 1024;
/// Bytes of each of its ten labels, which end it.
const LABEL: usize = 80;

/// Fields of a header that a reader needs.
#[derive(Debug, Clone)]
pub(crate) struct Header {
    /// Columns (x), rows (y), sections (z) or images.
    pub size: [usize; 3],
    /// Element type.
    pub element: Element,
    /// Byte order of header and data.
    pub order: ByteOrder,
    /// Axis (0 x, 1 y, 2 z) along which columns, rows and sections are counted: MAPC, MAPR, MAPS.
    pub axes: [usize; 3],
    /// The words of the header where they are no such axes, and 1, 2, 3 is assumed: of no matter for a stack.
    pub impossible_axes: Option<[i32; 3]>,
    /// Å per voxel along x, y, z, where the header gives one.
    pub pixel_size: [Option<f64>; 3],
    /// Where the data start, bytes.
    pub data_offset: u64,
    /// Oddities that were tolerated.
    pub warnings: Vec<String>,
}

/// Whether these first bytes of a file are likely those of an MRC file: they carry the map identifier, or a size
/// and mode that make sense in one of the byte orders (old files have no identifier).
pub(crate) fn looks_like_mrc(bytes: &[u8]) -> bool {
    if bytes.len() < LENGTH {
        return false;
    }
    let sensible = |order| {
        let word = |i| word(bytes, i, order);
        let mode = word(3);
        (0..3).all(|i| (1..=1 << 20).contains(&word(i))) && matches!(mode, 0..=4 | 6 | 12 | 101)
    };
    &bytes[208..211] == b"MAP" || sensible(ByteOrder::Little) || sensible(ByteOrder::Big)
}

/// Whether a file with this name and these first bytes is a stack of images rather than a map: by the ending of its name, by a
/// header that says so (space group 0, sections of one interval), or because its sections are squares of which there are
/// more or fewer than the cube of a map has.
pub(crate) fn is_stack(path: &Path, bytes: &[u8]) -> bool {
    if path.extension().is_some_and(|end| end == "mrcs") {
        return true;
    }
    let Ok(header) = Header::parse(bytes) else {
        return false;
    };
    let [x, y, z] = header.size;
    let says_so = word(bytes, 22, header.order) == 0 && word(bytes, 9, header.order) == 1;
    z > 1 && x == y && (z != x || says_so)
}

/// 4-byte integer number `index` (from 0).
fn word(bytes: &[u8], index: usize, order: ByteOrder) -> i32 {
    let four = [0, 1, 2, 3].map(|i| bytes[4 * index + i]);
    match order {
        ByteOrder::Little => i32::from_le_bytes(four),
        ByteOrder::Big => i32::from_be_bytes(four),
    }
}

/// Returns the axes that three header words (from 1) name, or the words when they are no order of 1, 2, 3.
fn axes(given: [i32; 3]) -> Result<[usize; 3], [i32; 3]> {
    let mut sorted = given;
    sorted.sort_unstable();
    match sorted == [1, 2, 3] {
        true => Ok(given.map(|axis| axis as usize - 1)),
        false => Err(given),
    }
}

impl Header {
    /// Parse the fixed header; an error says what in it makes no sense.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, String> {
        if bytes.len() < LENGTH {
            return Err(format!(
                "the file has {} bytes; an MRC header alone has {LENGTH}: the file is empty, cut off or not MRC. Copy it or make it again",
                bytes.len()
            ));
        }
        // RELION's rule (spec 03 §2.2): the machine stamp is not trusted. A size that is absurd in both orders tells nothing of
        // them, and is named as it stands.
        let foreign = |index| word(bytes, index, ByteOrder::Little).unsigned_abs() > 65535;
        let swapped = (1..=65535).contains(&word(bytes, 0, ByteOrder::Big));
        let order = if foreign(3) || (foreign(0) && swapped) {
            ByteOrder::Big
        } else {
            ByteOrder::Little
        };
        let int = |index| word(bytes, index, order);
        let real = |index| f32::from_bits(int(index) as u32);
        let mut warnings = Vec::new();

        let mut size = [0; 3];
        for (axis, n) in size.iter_mut().enumerate() {
            let value = int(axis);
            if value < 1 {
                return Err(format!(
                    "the header gives a size of {} x {} x {}: it is damaged or this is not an MRC file. Copy it or make it again",
                    int(0),
                    int(1),
                    int(2)
                ));
            }
            *n = value as usize;
        }
        let element = Element::from_mode(int(3))?;
        let mut extended = int(23);
        if extended < 0 {
            warnings.push(format!(
                "the header gives an extended header of {extended} bytes; 0 is assumed"
            ));
            extended = 0;
        }
        if &bytes[208..211] != b"MAP" {
            warnings.push("the header lacks the identifier 'MAP '".into());
        }
        let stamp = match bytes[212] {
            0x44 => Some(ByteOrder::Little),
            0x11 => Some(ByteOrder::Big),
            _ => None,
        };
        if stamp != Some(order) {
            warnings.push(format!(
                "the machine stamp is {:02x} {:02x}, the content has {order:?}-endian order; the stamp is ignored",
                bytes[212], bytes[213]
            ));
        }
        let (axes, impossible_axes) = match axes([16, 17, 18].map(int)) {
            Ok(axes) => (axes, None),
            // Old programs leave the three words empty.
            Err(given) => ([0, 1, 2], Some(given).filter(|given| *given != [0; 3])),
        };
        if let Some([c, r, s]) = impossible_axes {
            warnings.push(format!(
                "the header gives the axes {c}, {r}, {s} (MAPC, MAPR, MAPS), which is no order of 1, 2, 3; 1, 2, 3 is assumed"
            ));
        }
        let pixel_size = [0, 1, 2].map(|axis| {
            let (cell, intervals) = (real(10 + axis), int(7 + axis));
            let pixel = f64::from(cell) / f64::from(intervals);
            (pixel.is_finite() && pixel > 0.0).then_some(pixel)
        });
        Ok(Header {
            size,
            element,
            order,
            axes,
            impossible_axes,
            pixel_size,
            data_offset: (LENGTH + extended as usize) as u64,
            warnings,
        })
    }

    /// Bytes of one section; an error when the elements do not fill whole bytes.
    pub(crate) fn section_bytes(&self) -> Result<u64, String> {
        let [x, y, _] = self.size;
        let pixels = (x as u64).checked_mul(y as u64);
        pixels.and_then(|n| self.element.bytes(n)).ok_or_else(|| {
            format!("sections of {x} x {y} pixels cannot be read in mode 101 (4 bits): an even number of pixels is needed")
        })
    }

    /// Bytes of the whole file that the header promises.
    pub(crate) fn file_bytes(&self) -> Result<u64, String> {
        self.section_bytes()?
            .checked_mul(self.size[2] as u64)
            .and_then(|data| data.checked_add(self.data_offset))
            .ok_or_else(|| {
                let [x, y, z] = self.size;
                format!("the header gives the impossible size {x} x {y} x {z}")
            })
    }
}

/// Fields of a written header beside the fixed ones.
pub(crate) struct NewHeader {
    /// Columns, rows, sections.
    pub size: [usize; 3],
    /// 2 (float32) or 12 (float16).
    pub mode: i32,
    /// Å per pixel.
    pub pixel_size: f64,
    /// An image stack: space group 0 and a depth of one interval; otherwise a volume.
    pub is_stack: bool,
    /// Of the data.
    pub statistics: Statistics,
    /// Follows the label that names the program, unless it is empty; ASCII, what is beyond 80 characters is dropped.
    pub second_label: String,
}

impl NewHeader {
    /// The 1024 bytes, little-endian.
    pub(crate) fn bytes(&self) -> [u8; LENGTH] {
        let mut bytes = [0; LENGTH];
        let mut set =
            |index: usize, four: [u8; 4]| bytes[4 * index..4 * index + 4].copy_from_slice(&four);
        let intervals = match self.is_stack {
            true => [self.size[0], self.size[1], 1],
            false => self.size,
        };
        let pixel = if self.pixel_size > 0.0 {
            self.pixel_size
        } else {
            1.0
        };
        for (axis, &count) in intervals.iter().enumerate() {
            set(axis, (self.size[axis] as i32).to_le_bytes());
            set(7 + axis, (count as i32).to_le_bytes());
            set(10 + axis, ((pixel * count as f64) as f32).to_le_bytes());
            set(13 + axis, 90.0f32.to_le_bytes());
            set(16 + axis, (axis as i32 + 1).to_le_bytes());
        }
        set(3, self.mode.to_le_bytes());
        set(19, (self.statistics.minimum() as f32).to_le_bytes());
        set(20, (self.statistics.maximum() as f32).to_le_bytes());
        set(21, (self.statistics.mean() as f32).to_le_bytes());
        set(22, i32::from(!self.is_stack).to_le_bytes());
        set(27, 20141i32.to_le_bytes());
        set(52, *b"MAP ");
        set(53, [0x44, 0x44, 0, 0]);
        set(54, (self.statistics.deviation() as f32).to_le_bytes());
        let first = format!("GeRelion {}   {}", env!("CARGO_PKG_VERSION"), timestamp());
        let labels = [first, self.second_label.clone()];
        let labels = labels.iter().filter(|label| !label.is_empty());
        set(55, (labels.clone().count() as i32).to_le_bytes());
        for (field, label) in bytes[224..].chunks_exact_mut(LABEL).zip(labels) {
            let label = &label.as_bytes()[..label.len().min(LABEL)];
            // Labels are padded with blanks, as the format's definition asks.
            field.fill(b' ');
            field[..label.len()].copy_from_slice(label);
        }
        bytes
    }
}

/// Now (UTC) as `20-Nov-26  09:37:32`.
fn timestamp() -> String {
    let seconds = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |d| d.as_secs());
    format_timestamp(seconds)
}

fn format_timestamp(seconds: u64) -> String {
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    // Days since 1 March of year 0, in eras of 400 years: leap days come last in each year.
    let days = seconds / 86400 + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let year = era * 400 + year_of_era + u64::from(month >= 10);
    let name = MONTHS[((month + 2) % 12) as usize];
    let (h, m, s) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    format!("{day:02}-{name}-{:02}  {h:02}:{m:02}:{s:02}", year % 100)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> [u8; LENGTH] {
        NewHeader {
            size: [4, 6, 8],
            mode: 2,
            pixel_size: 1.5,
            is_stack: false,
            statistics: Statistics::default(),
            second_label: String::new(),
        }
        .bytes()
    }

    #[test]
    fn a_written_header_reads_back_without_warnings() {
        let header = Header::parse(&example()).unwrap();
        assert_eq!(header.size, [4, 6, 8]);
        assert_eq!(header.element, Element::Float32);
        assert_eq!(header.pixel_size, [Some(1.5); 3]);
        assert_eq!(header.file_bytes().unwrap(), 1024 + 4 * 4 * 6 * 8);
        assert!(header.warnings.is_empty(), "{:?}", header.warnings);
    }

    #[test]
    fn swapped_words_are_recognised_and_oddities_reported() {
        let mut bytes = example();
        bytes.as_chunks_mut::<4>().0[..56]
            .iter_mut()
            .for_each(|w| w.reverse());
        bytes[208..216].copy_from_slice(b"????\x44\x44\0\0");
        let header = Header::parse(&bytes).unwrap();
        assert_eq!((header.order, header.size), (ByteOrder::Big, [4, 6, 8]));
        assert_eq!(header.pixel_size[0], Some(1.5));
        assert_eq!(header.warnings.len(), 2, "{:?}", header.warnings);
    }

    #[test]
    fn nonsense_is_refused_with_a_reason() {
        assert!(Header::parse(&[0; 40]).unwrap_err().contains("40 bytes"));
        assert!(
            Header::parse(&[0; LENGTH])
                .unwrap_err()
                .contains("size of 0 x 0 x 0")
        );
        for mode in [0i32, 2] {
            let mut bytes = example();
            bytes[..4].copy_from_slice(&i32::MAX.to_le_bytes());
            bytes[12..16].copy_from_slice(&mode.to_le_bytes());
            let header = Header::parse(&bytes).unwrap();
            assert_eq!(header.size[0], i32::MAX as usize, "mode {mode}");
            assert!(header.warnings.is_empty(), "{:?}", header.warnings);
        }
        let mut bytes = example();
        bytes[12] = 4;
        assert!(Header::parse(&bytes).unwrap_err().contains("complex"));
    }

    #[test]
    fn stacks_are_told_from_maps() {
        let of = |size, is_stack| {
            NewHeader {
                size,
                is_stack,
                mode: 2,
                pixel_size: 1.5,
                statistics: Statistics::default(),
                second_label: String::new(),
            }
            .bytes()
        };
        for (name, size, says_so, expected) in [
            ("a.mrcs", [8, 8, 8], false, true),
            ("a.mrc", [8, 8, 8], true, true),
            ("a.mrc", [8, 8, 20], false, true),
            ("a.mrc", [8, 8, 8], false, false),
            // One image, and a transform.
            ("a.mrc", [8, 8, 1], true, false),
            ("a.mrc", [5, 8, 8], false, false),
        ] {
            let found = is_stack(Path::new(name), &of(size, says_so));
            assert_eq!(found, expected, "{name} {size:?} {says_so}");
        }
        assert!(!is_stack(Path::new("a.mrc"), b"no header"));
    }

    #[test]
    fn dates() {
        assert_eq!(format_timestamp(0), "01-Jan-70  00:00:00");
        assert_eq!(format_timestamp(951_782_400), "29-Feb-00  00:00:00");
        assert_eq!(format_timestamp(1_795_167_452), "20-Nov-26  09:37:32");
    }
}
