//! How the largest classes came about: their images in some of the iterations.

use crate::tools::report::ReportError;
use crate::tools::report::files::SetName;
use crate::tools::report::history::Run;
use crate::tools::report::html::{escaped, number, paragraph, section as html_section};
use crate::tools::report::maps::images;
use std::fmt::Write;

/// A row for each class, a column for each iteration; nothing without images of earlier iterations.
pub(super) fn section(run: &Run) -> Result<String, ReportError> {
    let Some(film) = &run.film else {
        return Ok(String::new());
    };
    // Writing to a string cannot fail.
    let mut body =
        String::from("<div class=\"scroll\"><table id=\"film\">\n<thead>\n<tr><td></td>");
    for name in &film.sets {
        let _ = write!(body, "<th scope=\"col\">{}</th>", escaped(&name.title()));
    }
    body.push_str("</tr>\n</thead>\n<tbody>\n");
    for (k, row) in &film.rows {
        let _ = write!(body, "<tr><th scope=\"row\">class {}</th>", k + 1);
        for (name, image) in film.sets.iter().zip(row) {
            body.push_str("<td>");
            if let Some(image) = image {
                let text = format!("Class {} in {}", k + 1, name.title());
                let picture = images(std::slice::from_ref(image))?.remove(0);
                let _ = write!(body, "<img src=\"{picture}\" alt=\"{}\"/>", escaped(&text));
            }
            let _ = write!(body, "<br/>{} %</td>", number(share(run, *name, *k), 1));
        }
        body.push_str("</tr>\n");
    }
    body.push_str("</tbody>\n</table></div>\n");
    let model = &run.last().model;
    let what = match model.is_2d {
        true => "Averages",
        false => "Projections along z",
    };
    let which = match film.rows.len() < model.classes.len() {
        true => format!("the {} largest classes", film.rows.len()),
        false => "all classes".into(),
    };
    body.push_str(&paragraph(&format!(
        "{what} of {which}, with their shares of the particles then."
    )));
    Ok(html_section("Classes over the iterations", &body))
}

/// Per cent of the particles in a class.
fn share(run: &Run, name: SetName, k: usize) -> Option<f64> {
    let set = run.sets.iter().find(|set| set.name == name)?;
    Some(100.0 * set.model.classes.get(k)?.occupancy)
}
