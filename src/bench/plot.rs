//! A line plot as SVG, readable on light and on dark ground: each line's median at each point, with a bar from the least to the most.
//! Not here: what is plotted.

use std::fmt::Write as _;

/// The whole picture, pixels.
const WIDTH: f64 = 880.0;
const HEIGHT: f64 = 480.0;
/// The part of it that is inside of the axes.
const LEFT: f64 = 78.0;
const RIGHT: f64 = 690.0;
const TOP: f64 = 76.0;
const BOTTOM: f64 = 420.0;
/// Names at the ends of lines are at least so far from each other.
const NAME_HEIGHT: f64 = 17.0;
/// The vertical axis has about so many steps.
const STEPS: f64 = 6.0;

/// The colours of lines on light ground, on dark ground: told apart also by those who see no red or no green.
const COLOURS: [[&str; 2]; 6] = [
    ["#6b6b66", "#a3a29b"],
    ["#1f6fd0", "#4f9bf0"],
    ["#0f8a6c", "#2fb894"],
    ["#8a5cd6", "#ab86ee"],
    ["#c2571a", "#ee8a4a"],
    ["#b8860b", "#e0b23a"],
];

/// What is plotted.
pub(super) struct Plot {
    pub(super) title: String,
    /// What the reader has to know of how it was measured.
    pub(super) note: String,
    /// What the axes are, with their units.
    pub(super) axes: [&'static str; 2],
    pub(super) lines: Vec<Line>,
}

/// One line.
pub(super) struct Line {
    /// Written at its end.
    pub(super) name: &'static str,
    /// Which of the colours; a line keeps its own, whoever else is there.
    pub(super) colour: usize,
    /// In order.
    pub(super) points: Vec<Point>,
}

/// What was measured at one place of the horizontal axis.
#[derive(Clone, Copy, Debug)]
pub(super) struct Point {
    pub(super) at: f64,
    pub(super) median: f64,
    pub(super) least: f64,
    pub(super) most: f64,
}

impl Plot {
    /// As the text of an SVG file.
    pub(super) fn svg(&self) -> String {
        let scale = Scale::of(self);
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{}\">\n{}",
            escape(&self.title),
            style()
        );
        let _ = writeln!(svg, "<rect class=\"ground\" width=\"{WIDTH}\" height=\"{HEIGHT}\"/>");
        text(&mut svg, "title", [LEFT, 30.0], &self.title);
        text(&mut svg, "note", [LEFT, 52.0], &self.note);
        self.draw_axes(&mut svg, &scale);
        for line in &self.lines {
            line.draw(&mut svg, &scale);
        }
        self.draw_names(&mut svg, &scale);
        svg + "</svg>\n"
    }

    fn draw_axes(&self, svg: &mut String, scale: &Scale) {
        let [across, upwards] = self.axes;
        let mut value = 0.0;
        while value <= scale.most {
            let y = scale.y(value);
            let kind = if value > 0.0 { "grid" } else { "axis" };
            let _ = writeln!(svg, "<line class=\"{kind}\" x1=\"{LEFT}\" y1=\"{y:.1}\" x2=\"{RIGHT}\" y2=\"{y:.1}\"/>");
            text(svg, "tick end", [LEFT - 8.0, y + 4.0], &thousands(value));
            value += scale.step;
        }
        for at in &scale.places {
            let x = scale.x(*at);
            let _ = writeln!(
                svg,
                "<line class=\"axis\" x1=\"{x:.1}\" y1=\"{BOTTOM}\" x2=\"{x:.1}\" y2=\"{:.1}\"/>",
                BOTTOM + 5.0
            );
            text(svg, "tick middle", [x, BOTTOM + 20.0], &thousands(*at));
        }
        text(svg, "name middle", [LEFT.midpoint(RIGHT), BOTTOM + 44.0], across);
        let middle = TOP.midpoint(BOTTOM);
        let _ = writeln!(
            svg,
            "<text class=\"name middle\" transform=\"translate(20 {middle}) rotate(-90)\">{}</text>",
            escape(upwards)
        );
    }

    /// Each at its line's end, or as near as the others let it.
    fn draw_names(&self, svg: &mut String, scale: &Scale) {
        let end = |line: &Line| line.points.last().map(|point| scale.y(point.median));
        let mut names: Vec<(f64, &Line)> = self.lines.iter().filter_map(|line| Some((end(line)?, line))).collect();
        names.sort_by(|one, other| one.0.total_cmp(&other.0));
        let heights = apart(names.iter().map(|(height, _)| *height).collect());
        for ((_, line), y) in names.iter().zip(heights) {
            let (x, colour) = (RIGHT + 12.0, line.colour % COLOURS.len());
            let _ = writeln!(svg, "<circle class=\"dot c{colour}\" cx=\"{x}\" cy=\"{y:.1}\" r=\"4\"/>");
            text(svg, "name", [x + 10.0, y + 4.0], line.name);
        }
    }
}

impl Line {
    fn draw(&self, svg: &mut String, scale: &Scale) {
        let colour = self.colour % COLOURS.len();
        let way = |point: &Point| format!("{:.1},{:.1}", scale.x(point.at), scale.y(point.median));
        let ways: Vec<String> = self.points.iter().map(way).collect();
        let _ = writeln!(svg, "<polyline class=\"line c{colour}\" points=\"{}\"/>", ways.join(" "));
        for Point { at, median, least, most } in &self.points {
            let (x, y, low, high) = (scale.x(*at), scale.y(*median), scale.y(*least), scale.y(*most));
            let _ = writeln!(
                svg,
                "<line class=\"bar c{colour}\" x1=\"{x:.1}\" y1=\"{low:.1}\" x2=\"{x:.1}\" y2=\"{high:.1}\"/>"
            );
            let title = format!(
                "{}: {} ({}–{}) at {}",
                escape(self.name),
                thousands(*median),
                thousands(*least),
                thousands(*most),
                thousands(*at)
            );
            let _ = writeln!(
                svg,
                "<circle class=\"dot c{colour}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4\"><title>{title}</title></circle>"
            );
        }
    }
}

/// From values to pixels.
struct Scale {
    /// Where something was measured.
    places: Vec<f64>,
    /// The end of the vertical axis, and how far its lines are from each other.
    most: f64,
    step: f64,
}

impl Scale {
    fn of(plot: &Plot) -> Scale {
        let points = || plot.lines.iter().flat_map(|line| &line.points);
        let mut places: Vec<f64> = points().map(|point| point.at).collect();
        places.sort_by(f64::total_cmp);
        places.dedup();
        let highest = points().map(|point| point.most).fold(1.0, f64::max);
        let step = round_step(highest / STEPS);
        Scale { places, most: (highest / step).ceil() * step, step }
    }

    /// The horizontal axis begins at zero, too: then a line says by its slope what a session more costs.
    fn x(&self, at: f64) -> f64 {
        let last = self.places.last().copied().unwrap_or(1.0).max(1.0);
        LEFT + (RIGHT - LEFT) * at / last
    }

    /// What is below zero, by the chance of a difference, is at zero.
    fn y(&self, value: f64) -> f64 {
        BOTTOM - (BOTTOM - TOP) * value.max(0.0) / self.most
    }
}

/// The next of 1, 2, 5, 10, 20 …
fn round_step(step: f64) -> f64 {
    let power = 10f64.powf(step.max(1.0).log10().floor());
    let steps = [1.0, 2.0, 5.0, 10.0].map(|part| part * power);
    steps.into_iter().find(|round| *round >= step).unwrap_or(10.0 * power)
}

/// Heights in order, moved down as far as they would overlap, and all of them up again if the last is below the picture.
fn apart(mut heights: Vec<f64>) -> Vec<f64> {
    let mut above = f64::NEG_INFINITY;
    for height in &mut heights {
        *height = height.max(above + NAME_HEIGHT);
        above = *height;
    }
    let mut below = BOTTOM + NAME_HEIGHT;
    for height in heights.iter_mut().rev() {
        *height = height.min(below - NAME_HEIGHT);
        below = *height;
    }
    heights
}

fn style() -> String {
    let colours = |ground: usize| -> String {
        let rule = |(at, colours): (usize, &[&str; 2])| {
            let colour = colours.get(ground).copied().unwrap_or_default();
            format!(".c{at}{{stroke:{colour};fill:{colour}}}")
        };
        COLOURS.iter().enumerate().map(rule).collect()
    };
    format!(
        "<style>\n\
         text{{font:13px system-ui,sans-serif;fill:#52514e}}\n\
         .title{{font-size:17px;font-weight:600;fill:#0b0b0b}} .name{{fill:#0b0b0b}}\n\
         .end{{text-anchor:end}} .middle{{text-anchor:middle}} .tick{{font-variant-numeric:tabular-nums}}\n\
         .ground{{fill:#fcfcfb}} .grid{{stroke:#e4e3df}} .axis{{stroke:#8f8e88}}\n\
         {}\n\
         .line{{fill:none;stroke-width:2;stroke-linejoin:round}} .bar{{stroke-width:2;opacity:.55}} .dot{{stroke:none}}\n\
         @media(prefers-color-scheme:dark){{\n\
         text{{fill:#c3c2b7}} .title,.name{{fill:#fff}} .ground{{fill:#1a1a19}} .grid{{stroke:#343431}}\n\
         {}\n\
         .line{{fill:none}} .dot{{stroke:none}}\n\
         }}\n\
         </style>\n",
        colours(0),
        colours(1)
    )
}

fn text(svg: &mut String, class: &str, [x, y]: [f64; 2], text: &str) {
    let _ = writeln!(svg, "<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\">{}</text>", escape(text));
}

/// `12,382`.
fn thousands(value: f64) -> String {
    let digits = format!("{:.0}", value.abs());
    let mut text = String::from(if value <= -0.5 { "−" } else { "" });
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plot(lines: Vec<Line>) -> Plot {
        let axes = ["sessions", "CPU ns a packet"];
        Plot { title: "cost < \"all\"".to_owned(), note: "R&D".to_owned(), axes, lines }
    }

    fn line(name: &'static str, colour: usize, medians: &[(f64, f64)]) -> Line {
        let point =
            |(at, median): &(f64, f64)| Point { at: *at, median: *median, least: median - 50.0, most: median + 100.0 };
        Line { name, colour, points: medians.iter().map(point).collect() }
    }

    /// Values of an attribute, in order.
    fn values(svg: &str, tag: &str, attribute: &str) -> Vec<f64> {
        let (begin, key) = (format!("<{tag} "), format!(" {attribute}=\""));
        let elements = svg.split(&begin).skip(1);
        elements.filter_map(|element| element.split(&key).nth(1)?.split('"').next()?.parse().ok()).collect()
    }

    #[test]
    fn a_line_goes_through_its_medians_and_bars_from_the_least_to_the_most() {
        let svg = plot(vec![line("ours", 1, &[(500.0, 1_000.0), (1_000.0, 1_900.0)])]).svg();
        // 2,000 is at the top, zero at the bottom; 1,000 sessions are at the right.
        assert!(svg.contains("points=\"384.0,248.0 690.0,93.2\""), "{svg}");
        assert!(svg.contains("<line class=\"bar c1\" x1=\"384.0\" y1=\"256.6\" x2=\"384.0\" y2=\"230.8\"/>"), "{svg}");
        assert!(svg.contains("<title>ours: 1,900 (1,850–2,000) at 1,000</title>"), "{svg}");
    }

    #[test]
    fn axes_have_their_units_and_round_steps() {
        let svg = plot(vec![line("ours", 0, &[(100.0, 12_000.0), (2_000.0, 13_000.0)])]).svg();
        for text in [">sessions<", ">CPU ns a packet<", ">0<", ">5,000<", ">15,000<", ">100<", ">2,000<", ">ours<"] {
            assert!(svg.contains(text), "no {text} in {svg}");
        }
        for (step, round) in [(0.0, 1.0), (1.0, 1.0), (1.1, 2.0), (2_167.0, 5_000.0), (51.0, 100.0), (5.0, 5.0)] {
            assert!((round_step(step) - round).abs() < 1e-9, "{step}");
        }
    }

    #[test]
    fn all_of_it_is_inside_of_the_picture_whatever_was_measured() {
        let near: Vec<Line> = (0..6).map(|at| line("near", at, &[(100.0, 5.0), (200.0, -40.0)])).collect();
        let none = plot(vec![line("none", 0, &[])]);
        for plot in [plot(near), none, plot(vec![]), plot(vec![line("zero", 9, &[(0.0, 0.0)])])] {
            let svg = plot.svg();
            for (attribute, end) in [("cx", WIDTH), ("cy", HEIGHT), ("x1", WIDTH), ("y2", HEIGHT)] {
                let of = |tag| values(&svg, tag, attribute);
                let inside = |value: &f64| (0.0..=end).contains(value);
                assert!(of("circle").iter().chain(&of("line")).all(inside), "{attribute}: {svg}");
            }
            assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
        }
    }

    #[test]
    fn names_do_not_overlap() {
        for heights in [vec![100.0; 6], vec![BOTTOM; 6], vec![TOP, TOP + 1.0, BOTTOM], vec![]] {
            let apart = apart(heights.clone());
            assert_eq!(apart.len(), heights.len());
            assert!(apart.windows(2).all(|pair| pair[1] - pair[0] >= NAME_HEIGHT - 1e-9), "{apart:?}");
            assert!(apart.iter().all(|height| *height <= BOTTOM), "{apart:?}");
        }
    }

    /// Each element that is opened is closed, and what is text cannot be read as anything else.
    #[test]
    fn it_is_well_formed() {
        let svg = plot(vec![line("a & b", 2, &[(1.0, 1.0)])]).svg();
        assert!(svg.contains("cost &lt; &quot;all&quot;") && svg.contains("R&amp;D") && svg.contains("a &amp; b"));
        let mut open = Vec::new();
        for element in svg.split('<').skip(1) {
            let (inside, _) = element.split_once('>').expect("an element ends");
            let name = inside.split([' ', '\n']).next().expect("an element has a name");
            match name.strip_prefix('/') {
                Some(name) => assert_eq!(open.pop(), Some(name)),
                None if inside.ends_with('/') => {}
                None => open.push(name),
            }
        }
        assert!(open.is_empty(), "{open:?}");
    }

    /// Each colour is there twice, once for each ground.
    #[test]
    fn it_has_colours_for_both_grounds() {
        let svg = plot(vec![]).svg();
        let (light, dark) = svg.split_once("prefers-color-scheme:dark").expect("both are there");
        for [on_light, on_dark] in COLOURS {
            assert!(light.contains(on_light) && dark.contains(on_dark), "{on_light} {on_dark}");
        }
    }
}
