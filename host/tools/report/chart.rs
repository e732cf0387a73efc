//! Curves in a frame with axes, as inline SVG.

use super::html::{escaped, number};
use super::ticks::{self, Tick};
use std::fmt::Write;

/// Colours that people with any colour vision tell apart, on white and in print (Okabe and Ito; without the yellow).
const COLOURS: [&str; 7] = [
    "#0072B2",
    "#D55E00",
    "#009E73",
    "#CC79A7",
    "#E69F00",
    "#56B4E9",
    "currentColor",
];

/// Strokes for more curves than there are colours.
const DASHES: [&str; 3] = ["none", "6 3", "2 3"];

// Sizes in the units of the drawing, which are pixels at its natural size.
const WIDTH: f64 = 520.0;
const PLOT: [f64; 4] = [64.0, 14.0, 440.0, 230.0];
const LEGEND_COLUMNS: usize = 4;
const LEGEND_ROW: f64 = 18.0;

/// Meaning of the values of an axis.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Scale {
    /// Numbers.
    Linear,
    /// Whole numbers.
    Whole,
    /// Numbers above zero, by their logarithm.
    Logarithmic,
    /// Frequencies in 1/Å, labelled with resolutions in Å.
    Resolution,
}

/// An axis.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Axis {
    /// Quantity and unit.
    pub label: String,
    /// First value.
    pub low: f64,
    /// Last value.
    pub high: f64,
    /// Meaning of the values.
    pub scale: Scale,
}

impl Axis {
    /// An axis; one without extent gets some.
    pub(crate) fn new(label: &str, low: f64, high: f64, scale: Scale) -> Self {
        let is_proper = low.is_finite() && high.is_finite() && high > low;
        let (low, high) = match (is_proper, low.is_finite()) {
            (true, _) => (low, high),
            (false, true) if scale == Scale::Logarithmic => (low, low * 10.0),
            (false, true) => (low, low + 1.0),
            (false, false) => (0.1, 1.0),
        };
        Self {
            label: label.into(),
            low,
            high,
            scale,
        }
    }

    /// 0 at the first value, 1 at the last.
    fn place(&self, value: f64) -> f64 {
        match self.scale {
            Scale::Logarithmic => (value / self.low).ln() / (self.high / self.low).ln(),
            _ => (value - self.low) / (self.high - self.low),
        }
    }

    fn ticks(&self, wanted: usize) -> Vec<Tick> {
        match self.scale {
            Scale::Linear => ticks::linear(self.low, self.high, wanted),
            Scale::Whole => ticks::whole(self.low, self.high, 2 * wanted),
            Scale::Logarithmic => ticks::decades(self.low, self.high),
            Scale::Resolution => {
                let distance = (self.high - self.low) / (wanted as f64 + 2.0);
                ticks::resolutions(self.low, self.high, distance)
            }
        }
    }
}

/// A curve through points; it is broken where a value is no number.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Curve {
    /// For the legend.
    pub name: String,
    /// (x, y)
    pub points: Vec<(f64, f64)>,
    /// Show each point.
    pub dots: bool,
}

/// A straight line across the plot.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Rule {
    /// At a value of y, with a text.
    Across(f64, String),
    /// At a value of x, with a text.
    Upright(f64, String),
}

/// A chart.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Chart {
    /// Content of the chart.
    pub title: String,
    /// Horizontal.
    pub x: Axis,
    /// Vertical.
    pub y: Axis,
    /// Curves, in the order of their colours.
    pub curves: Vec<Curve>,
    /// Lines for reference.
    pub rules: Vec<Rule>,
}

impl Chart {
    /// The chart as a figure with its title.
    pub(crate) fn figure(&self) -> String {
        let legend = if self.curves.len() > 1 {
            self.curves.len().div_ceil(LEGEND_COLUMNS)
        } else {
            0
        };
        let height = PLOT[1] + PLOT[3] + 46.0 + legend as f64 * LEGEND_ROW;
        let mut svg = String::new();
        // Writing to a string cannot fail.
        let _ = writeln!(
            svg,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"chart\" viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" \
             aria-label=\"{}\">",
            escaped(&self.in_words())
        );
        self.draw_axes(&mut svg);
        for rule in &self.rules {
            self.draw_rule(&mut svg, rule);
        }
        for (i, curve) in self.curves.iter().enumerate() {
            self.draw_curve(&mut svg, curve, i);
        }
        if legend > 0 {
            self.draw_legend(&mut svg);
        }
        svg.push_str("</svg>");
        format!(
            "<figure>\n<figcaption>{}</figcaption>\n{svg}\n</figure>\n",
            escaped(&self.title)
        )
    }

    /// Title and the ends of the curves, for those who hear the page.
    fn in_words(&self) -> String {
        let told = |(value, axis): (f64, &Axis)| match axis.scale {
            Scale::Resolution => format!("{} Å", number(Some(1.0 / value), 2)),
            _ => number(Some(value), 3),
        };
        let ends = self.curves.iter().filter_map(|curve| {
            let is_known = |(x, y): &&(f64, f64)| x.is_finite() && y.is_finite();
            let (x, y) = curve.points.iter().rfind(is_known)?;
            Some(format!(
                "{}: {} at {}",
                curve.name,
                told((*y, &self.y)),
                told((*x, &self.x))
            ))
        });
        let ends: Vec<String> = ends.collect();
        match ends.is_empty() {
            true => self.title.clone(),
            false => format!("{}. Last values: {}.", self.title, ends.join("; ")),
        }
    }

    fn at(&self, x: f64, y: f64) -> (f64, f64) {
        let inside = |share: f64| share.clamp(0.0, 1.0);
        (
            PLOT[0] + PLOT[2] * inside(self.x.place(x)),
            PLOT[1] + PLOT[3] * (1.0 - inside(self.y.place(y))),
        )
    }

    fn draw_axes(&self, svg: &mut String) {
        let [left, top, width, height] = PLOT;
        let bottom = top + height;
        for (value, text) in self.x.ticks(6) {
            let (x, _) = self.at(value, self.y.low);
            let _ = writeln!(
                svg,
                "<path class=\"grid\" d=\"M{x:.1} {top}V{bottom}\"/><text class=\"tick\" x=\"{x:.1}\" y=\"{:.1}\" \
                 text-anchor=\"middle\">{}</text>",
                bottom + 16.0,
                escaped(&text)
            );
        }
        for (value, text) in self.y.ticks(5) {
            let (_, y) = self.at(self.x.low, value);
            let _ = writeln!(
                svg,
                "<path class=\"grid\" d=\"M{left} {y:.1}H{}\"/><text class=\"tick\" x=\"{}\" y=\"{:.1}\" \
                 text-anchor=\"end\">{}</text>",
                left + width,
                left - 6.0,
                y + 4.0,
                escaped(&text)
            );
        }
        let _ = writeln!(
            svg,
            "<rect class=\"frame\" x=\"{left}\" y=\"{top}\" width=\"{width}\" height=\"{height}\"/>\n\
             <text class=\"axis\" x=\"{}\" y=\"{}\" text-anchor=\"middle\">{}</text>\n\
             <text class=\"axis\" transform=\"translate(16 {}) rotate(-90)\" text-anchor=\"middle\">{}</text>",
            left + width / 2.0,
            bottom + 36.0,
            escaped(&self.x.label),
            top + height / 2.0,
            escaped(&self.y.label)
        );
    }

    fn draw_rule(&self, svg: &mut String, rule: &Rule) {
        let [left, top, width, height] = PLOT;
        let (path, x, y, anchor, text) = match rule {
            Rule::Across(value, text) => {
                let (_, y) = self.at(self.x.low, *value);
                let end = left + width;
                (
                    format!("M{left} {y:.1}H{end}"),
                    left + 4.0,
                    y - 4.0,
                    "start",
                    text,
                )
            }
            Rule::Upright(value, text) => {
                let (x, _) = self.at(*value, self.y.low);
                let beyond_middle = x > left + width / 2.0;
                let (text_x, anchor) = match beyond_middle {
                    true => (x - 4.0, "end"),
                    false => (x + 4.0, "start"),
                };
                let path = format!("M{x:.1} {top}V{}", top + height);
                (path, text_x, top + 12.0, anchor, text)
            }
        };
        let _ = writeln!(
            svg,
            "<path class=\"rule\" d=\"{path}\"/><text class=\"tick\" x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{}</text>",
            escaped(text)
        );
    }

    fn draw_curve(&self, svg: &mut String, curve: &Curve, number: usize) {
        let (colour, dash) = stroke(number);
        let mut path = String::new();
        let mut pen_down = false;
        for (x, y) in &curve.points {
            let is_drawn = x.is_finite() && y.is_finite() && self.y.place(*y).is_finite();
            if is_drawn {
                let (px, py) = self.at(*x, *y);
                let _ = write!(path, "{}{px:.1} {py:.1}", if pen_down { 'L' } else { 'M' });
                if curve.dots {
                    let _ = write!(
                        svg,
                        "<circle cx=\"{px:.1}\" cy=\"{py:.1}\" r=\"2.5\" fill=\"{colour}\"/>"
                    );
                }
            }
            pen_down = is_drawn;
        }
        if !path.is_empty() {
            let _ = writeln!(
                svg,
                "<path class=\"curve\" stroke=\"{colour}\" stroke-dasharray=\"{dash}\" d=\"{path}\"/>"
            );
        }
    }

    fn draw_legend(&self, svg: &mut String) {
        let top = PLOT[1] + PLOT[3] + 54.0;
        let column = PLOT[2] / LEGEND_COLUMNS as f64;
        for (i, curve) in self.curves.iter().enumerate() {
            let (colour, dash) = stroke(i);
            let x = PLOT[0] + (i % LEGEND_COLUMNS) as f64 * column;
            let y = top + (i / LEGEND_COLUMNS) as f64 * LEGEND_ROW;
            let _ = writeln!(
                svg,
                "<path class=\"curve\" stroke=\"{colour}\" stroke-dasharray=\"{dash}\" d=\"M{x} {y}h22\"/>\
                 <text class=\"tick\" x=\"{}\" y=\"{}\">{}</text>",
                x + 28.0,
                y + 4.0,
                escaped(&curve.name)
            );
        }
    }
}

/// Colour and dashes of the n-th curve.
fn stroke(number: usize) -> (&'static str, &'static str) {
    (
        COLOURS[number % COLOURS.len()],
        DASHES[number / COLOURS.len() % DASHES.len()],
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(points: Vec<(f64, f64)>) -> Chart {
        Chart {
            title: "A < B".into(),
            x: Axis::new("iteration", 0.0, 4.0, Scale::Whole),
            y: Axis::new("SSNR", 0.1, 1000.0, Scale::Logarithmic),
            curves: vec![Curve {
                name: "class 1".into(),
                points,
                dots: false,
            }],
            rules: vec![
                Rule::Across(1.0, "1".into()),
                Rule::Upright(2.0, "2".into()),
            ],
        }
    }

    #[test]
    fn values_are_placed_between_the_ends_of_the_axes() {
        let chart = chart(vec![]);
        let [left, top, width, height] = PLOT;
        assert_eq!(chart.at(0.0, 0.1), (left, top + height));
        assert_eq!(chart.at(4.0, 1000.0), (left + width, top));
        let (x, y) = chart.at(2.0, 10.0);
        assert!((x - left - width / 2.0).abs() < 1e-9);
        assert!((y - top - height / 2.0).abs() < 1e-9);
        assert_eq!(chart.at(9.0, 1e9), (left + width, top), "clipped");
    }

    #[test]
    fn curves_are_broken_where_a_value_is_missing() {
        let gap = chart(vec![
            (0.0, 1.0),
            (1.0, 2.0),
            (2.0, f64::NAN),
            (3.0, -1.0),
            (4.0, 5.0),
        ]);
        let text = gap.figure();
        let curve = text
            .lines()
            .find(|line| line.contains("\"curve\""))
            .unwrap();
        assert_eq!(curve.matches('M').count(), 2, "{curve}");
        assert_eq!(curve.matches('L').count(), 1, "{curve}");
        assert!(!text.contains("NaN") && text.contains("A &lt; B"), "{text}");
    }

    #[test]
    fn axes_without_extent_are_widened() {
        for (low, high) in [(0.0, 0.0), (1.0, f64::INFINITY), (f64::NAN, 2.0)] {
            let axis = Axis::new("", low, high, Scale::Linear);
            assert!(axis.high > axis.low, "{axis:?}");
        }
    }
}
