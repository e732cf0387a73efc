//! Any bytes are a map or refused.
#![no_main]

use gerelion_fuzz::formats::file_name::{Format, ImageName};
use gerelion_fuzz::formats::volume::parse_map;
use libfuzzer_sys::fuzz_target;
use std::path::Path;

fuzz_target!(|bytes: &[u8]| {
    for format in [Format::Mrc, Format::Spider] {
        if let Ok(map) = parse_map(bytes, Path::new("fuzz.mrc"), &format) {
            assert!(!map.data.is_empty());
        }
    }
    let _ = ImageName::parse(&String::from_utf8_lossy(bytes));
});
