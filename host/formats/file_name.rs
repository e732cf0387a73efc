//! RELION's grammar of image names: `[number@]path[:format]` (spec 03 §2.1).

/// Image format meant by a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Format {
    /// A single 2D or 3D MRC image (RELION refuses `number@` before one; other programs write stacks so).
    Mrc,
    /// An MRC image stack.
    MrcStack,
    /// SPIDER: named so, or anything not known.
    Spider,
    /// Known but not read, with the reason for the user.
    Refused(String),
}

/// The parts of an image name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageName {
    /// 1-based number in the stack, if given.
    pub slice: Option<usize>,
    /// Path of the file.
    pub path: String,
    /// Format by suffix or extension.
    pub format: Format,
}

impl ImageName {
    /// Split a name. What stands before `@` counts only when it is all digits; a `.gz` or `.bz2` at the end is
    /// not part of the format.
    ///
    /// ```
    /// # use gerelion::formats::file_name::{Format, ImageName};
    /// let name = ImageName::parse("000012@Extract/job012/stack.mrcs");
    /// assert_eq!((name.slice, name.path.as_str()), (Some(12), "Extract/job012/stack.mrcs"));
    /// assert_eq!(name.format, Format::MrcStack);
    /// ```
    pub fn parse(text: &str) -> Self {
        let (slice, rest) = match text.split_once('@') {
            Some((number, rest))
                if !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()) =>
            {
                // A number beyond usize is larger than any stack; 0 keeps it an error for the reader.
                (Some(number.parse().unwrap_or(0)), rest)
            }
            _ => (None, text),
        };
        let (path, format) = match rest.rsplit_once(':') {
            // A colon inside a folder name is no format.
            Some((path, format)) if !format.contains('/') => (path, format.to_string()),
            _ => {
                let name = rest.rsplit('/').next().unwrap_or(rest);
                let plain = name
                    .strip_suffix(".gz")
                    .or_else(|| name.strip_suffix(".bz2"))
                    .unwrap_or(name);
                let extension = plain
                    .rsplit_once('.')
                    .map_or("", |(_, extension)| extension);
                (rest, extension.to_string())
            }
        };
        let path = match format.is_empty() && !path.ends_with(".gz") && !path.ends_with(".bz2") {
            true => format!("{path}.spi"),
            false => path.to_string(),
        };
        ImageName {
            slice,
            path,
            format: format_of(&format.to_ascii_lowercase()),
        }
    }
}

/// RELION's substring tests, in its order.
fn format_of(format: &str) -> Format {
    let contains = |parts: &[&str]| parts.iter().any(|part| format.contains(part));
    let refused = |what: &str, instead: &str| {
        Format::Refused(format!("{what} cannot be read; convert it to {instead}"))
    };
    if contains(&["spi", "xmp", "stk", "vol"]) {
        Format::Spider
    } else if contains(&["xz", "zst"]) {
        refused("an xz or zstd compressed image", "an uncompressed MRC file")
    } else if format.contains("mrcs") || format == "st" {
        Format::MrcStack
    } else if contains(&["tif"]) {
        refused("TIFF", "MRC")
    } else if contains(&["mrc", "map", "ccp4"]) {
        Format::Mrc
    } else if contains(&["img", "hed"]) {
        refused("IMAGIC (.img/.hed)", "MRC")
    } else if contains(&["dm"]) {
        refused("DigitalMicrograph (.dm3/.dm4)", "MRC")
    } else if contains(&["eer", "ecc"]) {
        refused("an EER movie", "an MRC stack of particles")
    } else {
        Format::Spider
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(text: &str) -> (Option<usize>, String, Format) {
        let name = ImageName::parse(text);
        (name.slice, name.path, name.format)
    }

    #[test]
    fn names_of_all_kinds() {
        for (text, slice, path, format) in [
            ("3@a.mrcs", Some(3), "a.mrcs", Format::MrcStack),
            ("x@a.mrcs", None, "x@a.mrcs", Format::MrcStack),
            ("movie.dat:mrcs", None, "movie.dat", Format::MrcStack),
            (
                "1@particles.mrc:mrcs",
                Some(1),
                "particles.mrc",
                Format::MrcStack,
            ),
            ("a.b/ref", None, "a.b/ref.spi", Format::Spider),
            ("2@a.mrc", Some(2), "a.mrc", Format::Mrc),
            ("ref.dat", None, "ref.dat", Format::Spider),
            ("ref.vol", None, "ref.vol", Format::Spider),
            ("EMD-3197.map", None, "EMD-3197.map", Format::Mrc),
            ("emd_3197.map.gz", None, "emd_3197.map.gz", Format::Mrc),
            ("C:1/a.mrc", None, "C:1/a.mrc", Format::Mrc),
        ] {
            assert_eq!(parts(text), (slice, path.to_string(), format), "{text}");
        }
    }

    #[test]
    fn what_is_not_read_says_what_to_do() {
        for (text, word) in [
            ("a.tif", "TIFF"),
            ("a.hed", "IMAGIC"),
            ("a.dm4", "DigitalMicrograph"),
            ("a.eer", "EER"),
            ("a.mrc.xz", "compressed"),
        ] {
            match ImageName::parse(text).format {
                Format::Refused(reason) => assert!(reason.contains(word), "{text}: {reason}"),
                other => panic!("{text} is {other:?}"),
            }
        }
    }
}
