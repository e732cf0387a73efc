//! Plots of curves as EPS and PDF, the two formats that RELION's interface opens. Both are made from the same page of
//! PDF operators, which PostScript learns in a few definitions.

use std::fmt::Write as _;

/// Width of a page, points.
const WIDTH: f64 = 480.0;
/// Height of a page, points.
const HEIGHT: f64 = 360.0;
/// Space around the axes (left, bottom, right, top), points.
const MARGIN: [f64; 4] = [60.0, 50.0, 20.0, 40.0];
/// Marks on each axis.
const TICKS: usize = 5;
/// Colours of the curves (red, green, blue).
const COLOURS: [&str; 6] = [
    "0 0 0",
    "0 0.6 0",
    "0 0 0.9",
    "0.9 0 0",
    "0.8 0.5 0",
    "0.5 0 0.6",
];

/// PostScript definitions of PDF's operators.
const PROLOGUE: &str = "/m{moveto}bind def /l{lineto}bind def /S{stroke}bind def /RG{setrgbcolor}bind def \
/w{setlinewidth}bind def /BT{}def /ET{}def /Tf{selectfont}bind def /Td{moveto}bind def \
/Tj{show}bind def /rg{setrgbcolor}bind def\n";

/// A curve and its name.
pub(crate) struct Curve {
    /// In the legend.
    pub name: String,
    /// Points (x, y); those that are not finite are left out.
    pub points: Vec<(f64, f64)>,
}

/// One plot.
pub(crate) struct Drawing {
    /// Above the plot.
    pub title: String,
    /// Below the axis of x, and left of that of y.
    pub axes: [String; 2],
    /// Curves.
    pub curves: Vec<Curve>,
}

impl Drawing {
    /// Returns the ranges of x and y, each at least a little wide.
    fn ranges(&self) -> [(f64, f64); 2] {
        let points = || self.curves.iter().flat_map(|c| &c.points);
        let range = |of: fn(&(f64, f64)) -> f64| {
            let finite = points().map(of).filter(|v| v.is_finite());
            let (low, high) = finite.fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| {
                (l.min(v), h.max(v))
            });
            match low < high {
                true => (low, high),
                false if low.is_finite() => (low - 0.5, low + 0.5),
                false => (0.0, 1.0),
            }
        };
        [range(|p| p.0), range(|p| p.1)]
    }

    /// Returns the page as PDF operators. Writing to a string cannot fail.
    fn page(&self) -> String {
        let [xs, ys] = self.ranges();
        let [left, bottom, right, top] = MARGIN;
        let (wide, high) = (WIDTH - left - right, HEIGHT - bottom - top);
        let x_of = |x: f64| left + wide * (x - xs.0) / (xs.1 - xs.0);
        let y_of = |y: f64| bottom + high * (y - ys.0) / (ys.1 - ys.0);
        let mut page = String::from("0 0 0 RG 0 0 0 rg 0.8 w\n");
        let (x1, y1) = (left + wide, bottom + high);
        let _ = writeln!(
            page,
            "{left} {bottom} m {x1} {bottom} l {x1} {y1} l {left} {y1} l {left} {bottom} l S"
        );
        for i in 0..=TICKS {
            let share = i as f64 / TICKS as f64;
            let (x, y) = (xs.0 + share * (xs.1 - xs.0), ys.0 + share * (ys.1 - ys.0));
            let (px, py) = (x_of(x), y_of(y));
            let _ = writeln!(page, "{px:.2} {bottom} m {px:.2} {:.2} l S", bottom + 4.0);
            let _ = writeln!(page, "{left} {py:.2} m {:.2} {py:.2} l S", left + 4.0);
            text(&mut page, px - 12.0, bottom - 14.0, 9, &format!("{x:.3}"));
            text(&mut page, left - 42.0, py - 3.0, 9, &format!("{y:.2}"));
        }
        text(&mut page, left, HEIGHT - 18.0, 12, &self.title);
        text(&mut page, left + wide / 2.0 - 40.0, 14.0, 10, &self.axes[0]);
        text(&mut page, 6.0, HEIGHT - 32.0, 10, &self.axes[1]);
        for (i, curve) in self.curves.iter().enumerate() {
            let colour = COLOURS[i % COLOURS.len()];
            let _ = writeln!(page, "{colour} RG {colour} rg 1.2 w");
            let mut pen = "m";
            for (x, y) in &curve.points {
                if x.is_finite() && y.is_finite() {
                    let _ = writeln!(page, "{:.2} {:.2} {pen}", x_of(*x), y_of(*y));
                    pen = "l";
                }
            }
            if pen == "l" {
                page.push_str("S\n");
            }
            let row = HEIGHT - top - 14.0 - 12.0 * i as f64;
            text(&mut page, x1 - 170.0, row, 9, &curve.name);
        }
        page
    }
}

/// Adds a line of text; letters that Helvetica lacks become question marks.
fn text(page: &mut String, x: f64, y: f64, size: u32, words: &str) {
    let mut safe = String::new();
    for letter in words.chars() {
        match letter {
            '(' | ')' | '\\' => safe.extend(['\\', letter]),
            'Å' => safe.push('A'),
            ' '..='~' => safe.push(letter),
            _ => safe.push('?'),
        }
    }
    let _ = writeln!(page, "BT /F1 {size} Tf {x:.2} {y:.2} Td ({safe}) Tj ET");
}

/// Returns one drawing as an EPS file.
pub(crate) fn eps(drawing: &Drawing) -> String {
    // Text is set in the font F1, as in the PDF.
    format!(
        "%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 {WIDTH} {HEIGHT}\n%%EndComments\n{PROLOGUE}/F1 /Helvetica findfont \
         definefont pop\n{}showpage\n%%EOF\n",
        drawing.page()
    )
}

/// Returns drawings as a PDF file, one per page.
pub(crate) fn pdf(drawings: &[Drawing]) -> Vec<u8> {
    let pages: Vec<String> = (0..drawings.len())
        .map(|i| format!("{} 0 R", 4 + 2 * i))
        .collect();
    let mut objects = vec![
        "<< /Type /Catalog /Pages 2 0 R >>".to_owned(),
        format!(
            "<< /Type /Pages /Kids [{}] /Count {} >>",
            pages.join(" "),
            drawings.len()
        ),
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>".to_owned(),
    ];
    for (i, drawing) in drawings.iter().enumerate() {
        let page = drawing.page();
        objects.push(format!(
            "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 {WIDTH} {HEIGHT}] /Resources << /Font << /F1 3 0 R >> >> \
             /Contents {} 0 R >>",
            5 + 2 * i
        ));
        objects.push(format!(
            "<< /Length {} >>\nstream\n{page}endstream",
            page.len()
        ));
    }
    let mut file = String::from("%PDF-1.4\n");
    let mut places = Vec::new();
    for (i, object) in objects.iter().enumerate() {
        places.push(file.len());
        let _ = write!(file, "{} 0 obj\n{object}\nendobj\n", i + 1);
    }
    let table = file.len();
    let _ = write!(file, "xref\n0 {}\n0000000000 65535 f \n", objects.len() + 1);
    for place in places {
        let _ = writeln!(file, "{place:010} 00000 n ");
    }
    let _ = write!(
        file,
        "trailer\n<< /Size {} /Root 1 0 R >>\nstartxref\n{table}\n%%EOF\n",
        objects.len() + 1
    );
    file.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawing() -> Drawing {
        Drawing {
            title: "FSC (masked)".into(),
            axes: ["1/Å".into(), "FSC".into()],
            curves: vec![Curve {
                name: "corrected".into(),
                points: vec![(0.0, 1.0), (0.1, f64::NAN), (0.2, 0.0)],
            }],
        }
    }

    #[test]
    fn the_table_of_a_pdf_points_to_its_objects() {
        let file = String::from_utf8(pdf(&[drawing(), drawing()])).unwrap();
        let table = file.rfind("xref\n0 8").unwrap();
        for (i, line) in file[table..].lines().skip(3).take(7).enumerate() {
            let place: usize = line[..10].parse().unwrap();
            assert!(file[place..].starts_with(&format!("{} 0 obj", i + 1)));
        }
    }

    #[test]
    fn brackets_are_escaped_and_missing_points_left_out() {
        let text = eps(&drawing());
        assert!(text.contains("(FSC \\(masked\\)) Tj") && !text.contains("NaN"));
        assert!(text.starts_with("%!PS-Adobe") && text.contains("(1/A) Tj"));
    }
}
