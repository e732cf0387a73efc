//! A density over the sphere in Mollweide's projection, which keeps areas: rot to the right, tilt downwards.

use super::directions::Density;
use super::html::escaped;
use super::{ReportError, image};
use crate::geometry::euler::viewing_direction;
use std::f64::consts::PI;
use std::fmt::Write;

/// Pixels of the image; the drawing has the same units.
const WIDTH: usize = 480;
const HEIGHT: usize = 240;

/// Height of the colour key below it.
const KEY: usize = 44;

/// From few to many: one hue, darker and darker, so that it can be read in grey too (ColorBrewer's blues).
const SHADES: [[f64; 3]; 5] = [
    [247.0, 251.0, 255.0],
    [198.0, 219.0, 239.0],
    [107.0, 174.0, 214.0],
    [33.0, 113.0, 181.0],
    [8.0, 48.0, 107.0],
];

/// Figure of the density with parallels, meridians and a key.
pub(super) fn figure(title: &str, density: &Density) -> Result<String, ReportError> {
    // Even the evenest distribution keeps a scale on which unevenness of no account stays pale.
    let largest = density.largest().max(2.0);
    let image = image::coloured(WIDTH, HEIGHT, &pixels(density, largest))?;
    let title = escaped(title);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"sphere\" viewBox=\"0 0 {WIDTH} {}\" role=\"img\" aria-label=\"{title}\">\n\
         <image width=\"{WIDTH}\" height=\"{HEIGHT}\" href=\"{image}\"/>\n",
        HEIGHT + KEY
    );
    draw_graticule(&mut svg);
    draw_key(&mut svg, largest);
    Ok(format!(
        "<figure>\n<figcaption>{title}</figcaption>\n{svg}</svg>\n</figure>\n"
    ))
}

/// Rot and tilt (degrees) at a place of the drawing; None outside the ellipse.
fn unproject(x: f64, y: f64) -> Option<(f64, f64)> {
    // −1…1 in both directions.
    let (u, v) = (2.0 * x / WIDTH as f64 - 1.0, 1.0 - 2.0 * y / HEIGHT as f64);
    if u * u + v * v >= 1.0 {
        return None;
    }
    let theta = v.asin();
    let latitude = ((2.0 * theta + (2.0 * theta).sin()) / PI).asin();
    Some((180.0 * u / theta.cos(), 90.0 - latitude.to_degrees()))
}

/// Place of rot and tilt (degrees) in the drawing.
fn project(rot: f64, tilt: f64) -> (f64, f64) {
    let latitude = (90.0 - tilt).to_radians();
    // 2θ + sin 2θ = π sin(latitude), by halving: the left side grows with θ.
    let (mut low, mut high) = (-PI / 2.0, PI / 2.0);
    for _ in 0..50 {
        let theta = (low + high) / 2.0;
        if 2.0 * theta + (2.0 * theta).sin() < PI * latitude.sin() {
            low = theta;
        } else {
            high = theta;
        }
    }
    let (u, v) = (rot / 180.0 * low.cos(), low.sin());
    (
        (u + 1.0) / 2.0 * WIDTH as f64,
        (1.0 - v) / 2.0 * HEIGHT as f64,
    )
}

fn pixels(density: &Density, largest: f64) -> Vec<u8> {
    let mut pixels = Vec::with_capacity(4 * WIDTH * HEIGHT);
    for y in 0..HEIGHT {
        for x in 0..WIDTH {
            let place = unproject(x as f64 + 0.5, y as f64 + 0.5);
            pixels.extend(place.map_or([255, 255, 255, 0], |(rot, tilt)| {
                let [r, g, b] = shade(density.at(viewing_direction(rot, tilt)) / largest);
                [r, g, b, 255]
            }));
        }
    }
    pixels
}

/// Colour of a share from 0 to 1.
fn shade(share: f64) -> [u8; 3] {
    let place = share.clamp(0.0, 1.0) * (SHADES.len() - 1) as f64;
    let below = (place as usize).min(SHADES.len() - 2);
    let part = place - below as f64;
    std::array::from_fn(|i| {
        (SHADES[below][i] * (1.0 - part) + SHADES[below + 1][i] * part).round() as u8
    })
}

fn draw_graticule(svg: &mut String) {
    let mut line = |class: &str, points: &mut dyn Iterator<Item = (f64, f64)>| {
        let path: Vec<String> = points
            .map(|(rot, tilt)| project(rot, tilt))
            .map(|(x, y)| format!("{x:.1} {y:.1}"))
            .collect();
        // Writing to a string cannot fail.
        let _ = writeln!(svg, "<path class=\"{class}\" d=\"M{}\"/>", path.join("L"));
    };
    for tilt in [30.0, 60.0, 90.0, 120.0, 150.0] {
        line("grid", &mut [(-180.0, tilt), (180.0, tilt)].into_iter());
    }
    for rot in [-180.0, -120.0, -60.0, 0.0, 60.0, 120.0, 180.0f64] {
        let class = if rot.abs() == 180.0 { "frame" } else { "grid" };
        line(class, &mut (0..=36).map(|i| (rot, f64::from(i) * 5.0)));
    }
    for (rot, tilt, text) in [
        (-120.0, 90.0, "−120°"),
        (-60.0, 90.0, "−60°"),
        (0.0, 90.0, "rot 0°"),
        (60.0, 90.0, "60°"),
        (120.0, 90.0, "120°"),
        (0.0, 30.0, "tilt 30°"),
        (0.0, 60.0, "60°"),
        (0.0, 120.0, "120°"),
        (0.0, 150.0, "150°"),
    ] {
        let (x, y) = project(rot, tilt);
        let _ = writeln!(
            svg,
            "<text class=\"halo\" x=\"{:.1}\" y=\"{:.1}\">{text}</text>",
            x + 3.0,
            y - 3.0
        );
    }
}

fn draw_key(svg: &mut String, largest: f64) {
    const STEPS: usize = 24;
    let (left, width) = (WIDTH as f64 * 0.25, WIDTH as f64 * 0.5);
    let top = HEIGHT as f64 + 10.0;
    for i in 0..STEPS {
        let [r, g, b] = shade((i as f64 + 0.5) / STEPS as f64);
        let _ = write!(
            svg,
            "<rect x=\"{:.1}\" y=\"{top}\" width=\"{:.1}\" height=\"10\" fill=\"rgb({r},{g},{b})\"/>",
            left + width * i as f64 / STEPS as f64,
            width / STEPS as f64 + 0.3
        );
    }
    // On a long key there is no room for 0 beside 1.
    let zero = if largest < 5.0 { "0" } else { "" };
    for (share, text) in [
        (0.0, zero.to_owned()),
        (1.0 / largest, "1 = even".to_owned()),
        (1.0, format!("{largest:.1} times")),
    ] {
        let x = left + width * share;
        let _ = write!(
            svg,
            "\n<path class=\"frame\" d=\"M{x:.1} {top}v13\"/><text class=\"tick\" x=\"{x:.1}\" y=\"{}\" \
             text-anchor=\"middle\">{text}</text>",
            top + 26.0
        );
    }
    svg.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn projection_and_back() {
        for (rot, tilt) in [(0.0, 90.0), (-120.0, 30.0), (60.0, 150.0), (170.0, 100.0)] {
            let (x, y) = project(rot, tilt);
            let (r, t) = unproject(x, y).unwrap();
            assert!((r - rot).abs() < 1e-6 && (t - tilt).abs() < 1e-6, "{r} {t}");
        }
        let (x, y) = project(0.0, 90.0);
        assert!((x - 240.0).abs() < 1e-9 && (y - 120.0).abs() < 1e-9);
        assert_eq!(unproject(1.0, 1.0), None);
    }

    #[test]
    fn shades_go_from_pale_to_dark() {
        let sum = |share| shade(share).map(u32::from).iter().sum::<u32>();
        assert!((0..10).all(|i| sum(f64::from(i) / 10.0) > sum(f64::from(i + 1) / 10.0)));
        assert_eq!(shade(f64::NAN.max(0.0)), [247, 251, 255]);
    }
}
