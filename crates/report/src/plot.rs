//! Plots as SVG: curves and scatters with axes, a title and a key.

use std::fmt::Write as _;

/// A set of points with a name.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// In the key; empty for none.
    pub name: String,
    /// (x, y); points that are not finite are left out.
    pub points: Vec<(f64, f64)>,
}

/// How points are drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    /// Joined by a line.
    Line,
    /// Each on its own.
    Dot,
}

/// A plot.
#[derive(Debug, Clone, PartialEq)]
pub struct Plot {
    /// Above it.
    pub title: String,
    /// Under the horizontal axis.
    pub x: String,
    /// Beside the vertical axis.
    pub y: String,
    /// How points are drawn.
    pub mark: Mark,
    /// What is drawn, in the order of the key.
    pub series: Vec<Series>,
}

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 420.0;
const LEFT: f64 = 78.0;
const RIGHT: f64 = 100.0;
const TOP: f64 = 40.0;
const BOTTOM: f64 = 52.0;

/// Told apart by people who confuse red and green too (Okabe and Ito 2008), then two more to reach ten.
const COLOURS: [&str; 10] = [
    "#0072b2", "#e69f00", "#009e73", "#d55e00", "#cc79a7", "#56b4e9", "#f0e442", "#000000", "#8c564b", "#7f7f7f",
];

/// One axis: the numbers at its ends and the ticks between.
struct Axis {
    low: f64,
    high: f64,
    ticks: Vec<f64>,
    decimals: usize,
}

impl Axis {
    fn of(values: impl Iterator<Item = f64>) -> Self {
        let (low, high) = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), x| (a.min(x), b.max(x)));
        let (low, high) = match low <= high {
            false => (0.0, 1.0),
            // one value alone stands in the middle
            true if high - low <= 1e-12 * low.abs().max(high.abs()) => {
                let half = if low == 0.0 { 1.0 } else { 0.5 * low.abs() };
                (low - half, high + half)
            }
            true => (low - 0.03 * (high - low), high + 0.03 * (high - low)),
        };
        let step = step(high - low);
        let first = (low / step).ceil();
        let ticks = (0..20)
            .map(|i| (first + f64::from(i)) * step)
            .take_while(|t| *t <= high)
            .collect();
        Self {
            low,
            high,
            ticks,
            decimals: (-step.log10().floor()).clamp(0.0, 12.0) as usize,
        }
    }

    /// 0 … 1 along the axis.
    fn place(&self, x: f64) -> f64 {
        (x - self.low) / (self.high - self.low)
    }

    fn text(&self, tick: f64) -> String {
        if self.low.abs().max(self.high.abs()) >= 1e7 {
            return format!("{tick:.1e}").replace('-', "−");
        }
        crate::numbers::fixed(tick, self.decimals)
    }
}

/// 1, 2 or 5 times a power of ten, so that about five ticks stand in a range.
fn step(range: f64) -> f64 {
    let rough = range / 6.0;
    let power = 10f64.powf(rough.log10().floor());
    let times = [1.0, 2.0, 5.0, 10.0];
    power
        * times
            .iter()
            .copied()
            .find(|t| power * t >= rough * 0.999)
            .unwrap_or(10.0)
}

impl Plot {
    /// The file's text.
    #[must_use]
    pub fn svg(&self) -> String {
        let finite = || {
            let all = self.series.iter().flat_map(|s| s.points.iter().copied());
            all.filter(|(x, y)| x.is_finite() && y.is_finite())
        };
        let (x, y) = (Axis::of(finite().map(|p| p.0)), Axis::of(finite().map(|p| p.1)));
        let (across, down) = (WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM);
        let at = |p: (f64, f64)| (LEFT + x.place(p.0) * across, TOP + (1.0 - y.place(p.1)) * down);
        let mut out = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{HEIGHT}\" viewBox=\"0 0 {WIDTH} \
             {HEIGHT}\" font-family=\"sans-serif\" font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" \
             fill=\"white\"/>\n<text x=\"{LEFT}\" y=\"24\" font-size=\"15\">{}</text>\n",
            escaped(&self.title)
        );
        self.axes(&mut out, &x, &y);
        for (i, series) in self.series.iter().enumerate() {
            let colour = COLOURS[i % COLOURS.len()];
            let points = series.points.iter().copied();
            let points: Vec<_> = points.filter(|(a, b)| a.is_finite() && b.is_finite()).map(at).collect();
            match self.mark {
                Mark::Line => {
                    let path: Vec<String> = points.iter().map(|(a, b)| format!("{a:.1},{b:.1}")).collect();
                    let path = path.join(" ");
                    let _ = writeln!(
                        out,
                        "<polyline points=\"{path}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>"
                    );
                }
                Mark::Dot => {}
            }
            // a line through one point would show nothing
            if self.mark == Mark::Dot || points.len() == 1 {
                let _ = writeln!(out, "<g fill=\"{colour}\" fill-opacity=\"0.7\">");
                for (a, b) in &points {
                    let _ = writeln!(out, "<circle cx=\"{a:.1}\" cy=\"{b:.1}\" r=\"2.5\"/>");
                }
                out.push_str("</g>\n");
            }
            if !series.name.is_empty() {
                let (left, top) = (WIDTH - RIGHT + 14.0, TOP + 8.0 + 20.0 * i as f64);
                let _ = writeln!(
                    out,
                    "<rect x=\"{left}\" y=\"{:.0}\" width=\"10\" height=\"10\" fill=\"{colour}\"/><text x=\"{:.0}\" \
                     y=\"{:.0}\">{}</text>",
                    top - 9.0,
                    left + 15.0,
                    top,
                    escaped(&series.name)
                );
            }
        }
        out.push_str("</svg>\n");
        out
    }

    fn axes(&self, out: &mut String, x: &Axis, y: &Axis) {
        let (right, bottom) = (WIDTH - RIGHT, HEIGHT - BOTTOM);
        for &tick in &x.ticks {
            let a = LEFT + x.place(tick) * (right - LEFT);
            let _ = writeln!(
                out,
                "<line x1=\"{a:.1}\" y1=\"{TOP}\" x2=\"{a:.1}\" y2=\"{}\" stroke=\"#e5e5e5\"/><text x=\"{a:.1}\" \
                 y=\"{}\" text-anchor=\"middle\">{}</text>",
                bottom + 5.0,
                bottom + 19.0,
                x.text(tick)
            );
        }
        for &tick in &y.ticks {
            let b = TOP + (1.0 - y.place(tick)) * (bottom - TOP);
            let _ = writeln!(
                out,
                "<line x1=\"{}\" y1=\"{b:.1}\" x2=\"{right}\" y2=\"{b:.1}\" stroke=\"#e5e5e5\"/><text x=\"{}\" \
                 y=\"{:.1}\" text-anchor=\"end\">{}</text>",
                LEFT - 5.0,
                LEFT - 9.0,
                b + 4.0,
                y.text(tick)
            );
        }
        let _ = writeln!(
            out,
            "<rect x=\"{LEFT}\" y=\"{TOP}\" width=\"{}\" height=\"{}\" fill=\"none\" stroke=\"#404040\"/>",
            right - LEFT,
            bottom - TOP
        );
        let (middle, centre) = (f64::midpoint(LEFT, right), f64::midpoint(TOP, bottom));
        let _ = writeln!(
            out,
            "<text x=\"{middle}\" y=\"{}\" text-anchor=\"middle\">{}</text>\n<text transform=\"translate(18 {centre}) \
             rotate(-90)\" text-anchor=\"middle\">{}</text>",
            HEIGHT - 12.0,
            escaped(&self.x),
            escaped(&self.y)
        );
    }
}

/// Text that XML takes: marks escaped, control characters left out.
fn escaped(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars().filter(|c| !c.is_control()) {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_lie_in_the_range() {
        for (low, high) in [(0.0, 1.0), (-46.3, -24.1), (1.0, 20.0), (1e-9, 3e-9), (5e8, 9e8)] {
            let axis = Axis::of([low, high].into_iter());
            assert!((3..=11).contains(&axis.ticks.len()), "{low} {high}: {:?}", axis.ticks);
            assert!(axis.ticks.iter().all(|t| (axis.low..=axis.high).contains(t)));
            assert!(axis.place(low) >= 0.0 && axis.place(high) <= 1.0);
        }
        let axis = Axis::of([0.0, 10.0].into_iter());
        assert_eq!(axis.ticks, [0.0, 2.0, 4.0, 6.0, 8.0, 10.0]);
    }

    #[test]
    fn nothing_and_numbers_that_are_none_make_a_plot_too() {
        let plot = |points: Vec<(f64, f64)>| Plot {
            title: "a < b & c".into(),
            x: "epoch".into(),
            y: "bound".into(),
            mark: Mark::Line,
            series: vec![Series {
                name: "s".into(),
                points,
            }],
        };
        for points in [
            vec![],
            vec![(1.0, f64::NAN)],
            vec![(1.0, 2.0)],
            vec![(1.0, f64::NEG_INFINITY), (2.0, 3.0), (3.0, 3.0)],
        ] {
            let svg = plot(points).svg();
            assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
            assert!(svg.contains("a &lt; b &amp; c") && svg.ends_with("</svg>\n"));
        }
    }

    #[test]
    fn points_stand_where_their_numbers_are() {
        let svg = Plot {
            title: String::new(),
            x: String::new(),
            y: String::new(),
            mark: Mark::Dot,
            series: vec![Series {
                name: String::new(),
                points: vec![(0.0, 0.0), (100.0, 10.0), (50.0, 5.0)],
            }],
        }
        .svg();
        // the middle of the frame: half way between its sides
        let (x, y) = (LEFT + (WIDTH - LEFT - RIGHT) / 2.0, TOP + (HEIGHT - TOP - BOTTOM) / 2.0);
        assert!(svg.contains(&format!("cx=\"{x:.1}\" cy=\"{y:.1}\"")), "{svg}");
    }
}
