//! A graph as SVG: a column for each depth, names sorted in it, arrows from left to right.

use super::{Graph, escaped};

const BOX_HEIGHT: usize = 28;
const ROW: usize = 44;
const GAP: usize = 72;
const MARGIN: usize = 16;
/// Of a character in the font below, rounded up.
const CHARACTER: usize = 8;

const STYLE: &str = "text{font:13px ui-monospace,monospace;fill:#1f2937}rect{fill:#f3f4f6;stroke:#6b7280}\
                     rect.runs{fill:#fde68a;stroke:#b45309;stroke-width:2}path.edge{fill:none;stroke:#9ca3af}";

/// Upper left corner and width of a box.
struct Place {
    x: usize,
    y: usize,
    width: usize,
}

pub(super) fn draw(graph: &Graph) -> String {
    let places = places(graph);
    let right = places.iter().map(|place| place.x + place.width).max().unwrap_or(0) + MARGIN;
    let bottom = places.iter().map(|place| place.y + BOX_HEIGHT).max().unwrap_or(0) + MARGIN;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {right} {bottom}\" width=\"{right}\" \
         height=\"{bottom}\">\n<style>{STYLE}</style>\n"
    );
    for (from, to) in &graph.edges {
        let (from, to) = (&places[*from], &places[*to]);
        let (x, y) = (from.x + from.width, from.y + BOX_HEIGHT / 2);
        let (left, level) = (to.x, to.y + BOX_HEIGHT / 2);
        let bend = (x + left) / 2;
        svg.push_str(&format!("<path class=\"edge\" d=\"M{x} {y}C{bend} {y} {bend} {level} {left} {level}\"/>\n"));
    }
    for (node, Place { x, y, width }) in graph.nodes.iter().zip(&places) {
        let class = if node.runs { " class=\"runs\"" } else { "" };
        let (middle, line, name) = (x + width / 2, y + BOX_HEIGHT / 2 + 5, escaped(&node.name));
        svg.push_str(&format!(
            "<rect{class} x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{BOX_HEIGHT}\" rx=\"4\"/>\
             <text x=\"{middle}\" y=\"{line}\" text-anchor=\"middle\">{name}</text>\n"
        ));
    }
    svg.push_str("</svg>\n");
    svg
}

/// Each column is as wide as its longest name.
fn places(graph: &Graph) -> Vec<Place> {
    let columns = graph.nodes.iter().map(|node| node.depth + 1).max().unwrap_or(0);
    let mut widths = vec![0; columns];
    for node in &graph.nodes {
        widths[node.depth] = widths[node.depth].max((node.name.chars().count() + 2) * CHARACTER);
    }
    let lefts: Vec<usize> = widths
        .iter()
        .scan(MARGIN, |next, width| {
            let left = *next;
            *next += width + GAP;
            Some(left)
        })
        .collect();
    let mut filled = vec![0; columns];
    let mut place = |depth: usize| {
        let y = MARGIN + filled[depth] * ROW;
        filled[depth] += 1;
        Place { x: lefts[depth], y, width: widths[depth] }
    };
    graph.nodes.iter().map(|node| place(node.depth)).collect()
}
