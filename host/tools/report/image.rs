//! Images as PNG in `data:` URIs.

use super::ReportError;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use png::{BitDepth, ColorType, Encoder};

/// 8-bit grey values, rows from the top.
pub(super) fn grey(width: usize, height: usize, pixels: &[u8]) -> Result<String, ReportError> {
    encode(width, height, ColorType::Grayscale, pixels)
}

/// 8-bit grey and opacity, rows from the top.
pub(super) fn grey_with_opacity(
    width: usize,
    height: usize,
    pixels: &[u8],
) -> Result<String, ReportError> {
    encode(width, height, ColorType::GrayscaleAlpha, pixels)
}

/// 8-bit red, green, blue and opacity, rows from the top.
pub(super) fn coloured(width: usize, height: usize, pixels: &[u8]) -> Result<String, ReportError> {
    encode(width, height, ColorType::Rgba, pixels)
}

fn encode(
    width: usize,
    height: usize,
    colours: ColorType,
    pixels: &[u8],
) -> Result<String, ReportError> {
    let mut bytes = Vec::new();
    let mut encoder = Encoder::new(&mut bytes, width as u32, height as u32);
    encoder.set_color(colours);
    encoder.set_depth(BitDepth::Eight);
    let mut writer = encoder.write_header()?;
    writer.write_image_data(pixels)?;
    writer.finish()?;
    Ok(format!(
        "data:image/png;base64,{}",
        BASE64_STANDARD.encode(&bytes)
    ))
}
