//! The shares as a bar chart in SVG: for each member a bar before and a bar after.

use std::fmt::Write;

use super::compare::{Comparison, Share};
use super::text::percent;

const WIDTH: usize = 760;
const TOP: usize = 76;
const ROW: usize = 44;
const BAR: usize = 15;
/// Where the bars begin: ids have at most 63 characters, shown to this many.
const LEFT: usize = 190;
const LABEL: usize = 24;
/// The longest bar; its number stands behind it.
const LONGEST: f64 = 420.0;
const COLORS: [&str; 2] = ["#9aa5b1", "#2563eb"];

/// The whole picture.
pub(super) fn svg(comparison: &Comparison<'_>) -> String {
    let shares: Vec<Share<'_>> = comparison.shares().collect();
    let counts = shares.iter().flat_map(|share| share.owned).flatten();
    let most = counts.max().unwrap_or(0).max(1);
    let height = TOP + shares.len() * ROW + 12;
    let moved = comparison.moves().len();
    let title = format!(
        "{moved} of {} repositories move ({})",
        comparison.total(),
        percent(comparison.part(moved))
    );
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" \
         viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" font-family=\"sans-serif\" font-size=\"13\">\n\
         <title>{title}</title>\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n\
         <text x=\"16\" y=\"28\" font-size=\"17\" fill=\"#111827\">{title}</text>\n"
    );
    for (side, label) in ["before", "after"].into_iter().enumerate() {
        let (x, color) = (16 + side * 90, COLORS[side]);
        // Writing into a string cannot fail.
        let _ = writeln!(
            svg,
            "<rect x=\"{x}\" y=\"44\" width=\"12\" height=\"12\" fill=\"{color}\"/>\
             <text x=\"{}\" y=\"55\" fill=\"#374151\">{label}</text>",
            x + 18
        );
    }
    for (row, share) in shares.iter().enumerate() {
        bars(&mut svg, TOP + row * ROW, share, most, comparison);
    }
    svg + "</svg>\n"
}

fn bars(svg: &mut String, y: usize, share: &Share<'_>, most: usize, comparison: &Comparison<'_>) {
    let id = share.member.as_str();
    let mut label: String = id.chars().take(LABEL).collect();
    if label.len() < id.len() {
        label.push('…');
    }
    let _ = writeln!(
        svg,
        "<text x=\"{}\" y=\"{}\" text-anchor=\"end\" fill=\"#111827\">{label}<title>{id}</title></text>",
        LEFT - 10,
        y + BAR + 5
    );
    for (side, owned) in share.owned.into_iter().enumerate() {
        let top = y + side * (BAR + 2);
        let color = COLORS[side];
        let length = LONGEST * owned.unwrap_or(0) as f64 / most as f64;
        let told = match owned {
            Some(count) => format!("{count}, {}", percent(comparison.part(count))),
            None => "no member".to_owned(),
        };
        let _ = writeln!(
            svg,
            "<rect x=\"{LEFT}\" y=\"{top}\" width=\"{length:.1}\" height=\"{BAR}\" fill=\"{color}\"/>\
             <text x=\"{:.1}\" y=\"{}\" font-size=\"11\" fill=\"#374151\">{told}</text>",
            LEFT as f64 + length + 6.0,
            top + BAR - 3
        );
    }
}
