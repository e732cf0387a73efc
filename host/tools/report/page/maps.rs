//! Slices and projections of the latest maps.

use crate::tools::report::ReportError;
use crate::tools::report::history::Run;
use crate::tools::report::html::{escaped, paragraph, section as html_section};
use crate::tools::report::image::grey_with_opacity;
use crate::tools::report::maps::{Views, images, scale_bar};
use crate::tools::report::surface::{SIDE, SMALLEST_PIECE, Surface};
use std::fmt::Write;

/// Content of each image, for slices and for projections.
const SLICES: [&str; 3] = ["slice xy", "slice xz", "slice yz"];
const PROJECTIONS: [&str; 3] = ["along z", "along y", "along x"];

/// One figure for each map; nothing without maps.
pub(super) fn section(run: &Run) -> Result<String, ReportError> {
    if run.latest.maps.is_empty() {
        return Ok(String::new());
    }
    let mut body = String::new();
    for views in &run.latest.maps {
        body.push_str(&figure(views)?);
    }
    body.push_str(&paragraph(
        "Central slices, then projections. The first axis named points to the right, the second up (along z: x and y, along y: x \
         and z, along x: y and z). Black and white are the 0.5th and 99.5th percentile of the three slices, or projections.",
    ));
    Ok(html_section(
        &format!("Maps, {}", run.last().name.title()),
        &body,
    ))
}

/// Three views of a map's surface, with the contour.
fn surfaces(surface: &Surface, title: &str) -> Result<String, ReportError> {
    let mut cells = String::new();
    for (pixels, name) in surface.images.iter().zip(PROJECTIONS) {
        let image = grey_with_opacity(SIDE, SIDE, pixels)?;
        let text = format!("{title}, surface seen {name}");
        // Writing to a string cannot fail.
        let _ = writeln!(
            cells,
            "<div class=\"view\"><img class=\"surface\" src=\"{image}\" alt=\"{}\"/>surface {name}</div>",
            escaped(&text)
        );
    }
    let contour = format!(
        "Surface at {:.4}, which encloses {:.0} nm³: {}. Pieces smaller than {:.0} % of the largest are not drawn.",
        surface.level,
        surface.volume / 1000.0,
        surface.reason,
        100.0 * SMALLEST_PIECE
    );
    Ok(format!(
        "<div class=\"surfaces\">\n{cells}</div>\n{}",
        paragraph(&contour)
    ))
}

fn figure(views: &Views) -> Result<String, ReportError> {
    let mut cells = String::new();
    let kinds = [(&views.slices, SLICES), (&views.projections, PROJECTIONS)];
    for (planes, names) in kinds {
        for ((image, name), width) in images(planes)?.iter().zip(names).zip(views.widths) {
            let bar = scale_bar(width);
            // Writing to a string cannot fail.
            let _ = writeln!(
                cells,
                "<div class=\"view\"><img src=\"{image}\" alt=\"{}\"/><div class=\"bar\" style=\"width:{:.2}%\">{bar} Å</div>{name}</div>",
                escaped(&format!("{}, {name}", views.title)),
                100.0 * bar / width
            );
        }
    }
    let surface = match &views.surface {
        Some(surface) => surfaces(surface, &views.title)?,
        None => String::new(),
    };
    let file = views
        .path
        .file_name()
        .map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    Ok(format!(
        "<figure>\n<figcaption>{} ({})</figcaption>\n{surface}<div class=\"views\">\n{cells}</div>\n</figure>\n",
        escaped(&views.title),
        escaped(&file)
    ))
}
