//! Contact sheet of the class averages.

use crate::tools::report::ReportError;
use crate::tools::report::averages::Averages;
use crate::tools::report::history::Run;
use crate::tools::report::html::{escaped, number, paragraph, section as html_section};
use crate::tools::report::maps::{images, scale_bar};
use crate::tools::report::tables::Class;
use std::fmt::Write;

/// Side of an image on the page, pixels (as in `style.css`).
const TILE: f64 = 112.0;

/// All averages, the largest class first; nothing for a run of maps.
pub(super) fn section(run: &Run) -> Result<String, ReportError> {
    let Some(averages) = &run.latest.averages else {
        return Ok(String::new());
    };
    let model = &run.last().model;
    let bar = scale_bar(averages.width);
    let mut body = format!(
        "<div class=\"bar\" style=\"width:{:.1}px\">{bar} Å</div>\n<div class=\"sheet\">\n",
        TILE * bar / averages.width
    );
    for k in model.by_occupancy() {
        body.push_str(&tile(k, &model.classes[k], averages)?);
    }
    body.push_str("</div>\n");
    let file = averages.path.file_name().unwrap_or_default();
    body.push_str(&paragraph(&format!(
        "{}, sorted by their share of the particles. Under each: class and share; estimated resolution; expected accuracy of rotations \
         and shifts. Black and white are the 0.5th and 99.5th percentile of each image.",
        file.to_string_lossy()
    )));
    let title = format!("Class averages, {}", run.last().name.title());
    Ok(html_section(&title, &body))
}

fn tile(k: usize, class: &Class, averages: &Averages) -> Result<String, ReportError> {
    let share = format!("{} %", number(Some(100.0 * class.occupancy), 1));
    let picture = match averages.flaws[k] {
        // An image of one value says nothing.
        Some(_) => "<div class=\"blank\">empty</div>".to_owned(),
        None => {
            let image = images(std::slice::from_ref(&averages.images[k]))?.remove(0);
            let text = format!("Class {}, {share}", k + 1);
            format!("<img src=\"{image}\" alt=\"{}\"/>", escaped(&text))
        }
    };
    let mut tile = format!("<div class=\"average\">{picture}<b>{}</b> · {share}", k + 1);
    // Writing to a string cannot fail.
    let _ = write!(tile, "<br/>{} Å", number(class.resolution, 1));
    if class.accuracy_rotations.is_some() || class.accuracy_translations.is_some() {
        let _ = write!(
            tile,
            "<br/>{}° · {} Å",
            number(class.accuracy_rotations, 1),
            number(class.accuracy_translations, 1)
        );
    }
    tile.push_str("</div>\n");
    Ok(tile)
}
