//! `lake plan --graph`: tables and models as a picture, those that would be built marked.
//!
//! The same plan gives the same text, byte for byte. Draws and decides nothing. To add a format: a variant of
//! [`Drawing`], an arm in [`Graph::draw`] and its function.

mod svg;

use crate::flow::plan::Report;
use clap::ValueEnum;
use std::collections::{BTreeMap, BTreeSet};

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Drawing {
    /// For Markdown and mermaid.live
    Mermaid,
    /// For Graphviz
    Dot,
    /// A picture as it is
    Svg,
}

/// The models of a plan and all they read, by name.
#[derive(Debug, Default)]
pub struct Graph {
    nodes: Vec<Node>,
    /// Positions of what is read and of what reads it.
    edges: Vec<(usize, usize)>,
}

#[derive(Debug)]
struct Node {
    name: String,
    runs: bool,
    /// Steps along the longest way from a table that reads nothing here.
    depth: usize,
}

impl Graph {
    pub fn of(report: &Report) -> Graph {
        let runs: BTreeSet<&str> =
            report.models.iter().filter(|model| model.runs).map(|model| model.table.as_str()).collect();
        // Models come in building order, so what is read has its depth already.
        let mut depths: BTreeMap<&str, usize> = BTreeMap::new();
        for model in &report.models {
            let below = model.upstream.iter().map(|upstream| *depths.entry(upstream).or_default() + 1);
            let depth = below.max().unwrap_or(0);
            depths.insert(&model.table, depth);
        }
        let positions: BTreeMap<&str, usize> = depths.keys().enumerate().map(|(at, name)| (*name, at)).collect();
        let mut edges: Vec<(usize, usize)> = Vec::new();
        for model in &report.models {
            edges.extend(
                model.upstream.iter().map(|upstream| (positions[upstream.as_str()], positions[model.table.as_str()])),
            );
        }
        edges.sort_unstable();
        let node = |(name, depth): (&str, usize)| Node { name: name.into(), runs: runs.contains(name), depth };
        Graph { nodes: depths.into_iter().map(node).collect(), edges }
    }

    pub fn draw(&self, drawing: Drawing) -> String {
        match drawing {
            Drawing::Mermaid => self.mermaid(),
            Drawing::Dot => self.dot(),
            Drawing::Svg => svg::draw(self),
        }
    }

    fn mermaid(&self) -> String {
        let mut text = String::from("flowchart LR\n");
        for (at, node) in self.nodes.iter().enumerate() {
            let mark = if node.runs { ":::runs" } else { "" };
            text.push_str(&format!("  n{at}[\"{}\"]{mark}\n", escaped(&node.name)));
        }
        for (from, to) in &self.edges {
            text.push_str(&format!("  n{from} --> n{to}\n"));
        }
        text.push_str("  classDef runs fill:#fde68a,stroke:#b45309,stroke-width:2px\n");
        text
    }

    fn dot(&self) -> String {
        let quoted = |name: &str| format!("\"{}\"", name.replace('\\', "\\\\").replace('"', "\\\""));
        let mut text = String::from("digraph lake {\n  rankdir=LR;\n  node [shape=box, fontname=\"sans-serif\"];\n");
        for node in &self.nodes {
            let mark = if node.runs { " [style=filled, fillcolor=\"#fde68a\", color=\"#b45309\"]" } else { "" };
            text.push_str(&format!("  {}{mark};\n", quoted(&node.name)));
        }
        for (from, to) in &self.edges {
            text.push_str(&format!("  {} -> {};\n", quoted(&self.nodes[*from].name), quoted(&self.nodes[*to].name)));
        }
        text.push_str("}\n");
        text
    }
}

/// For text between tags and inside quotes.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn graph() -> Graph {
        let model = |table: &str, runs: bool, upstream: &[&str]| crate::flow::plan::ModelPlan {
            table: table.into(),
            runs,
            upstream: upstream.iter().map(|name| name.to_string()).collect(),
            ..Default::default()
        };
        let models = vec![
            model("silver.a", false, &["bronze.a"]),
            model("silver.b", true, &["bronze.b"]),
            model("gold.c", true, &["bronze.a", "silver.a", "silver.b"]),
        ];
        Graph::of(&Report { run: None, models })
    }

    #[test]
    fn mermaid_and_dot_name_every_table_and_arrow() {
        let mermaid = "flowchart LR\n  n0[\"bronze.a\"]\n  n1[\"bronze.b\"]\n  n2[\"gold.c\"]:::runs\n  n3[\"silver.a\"]\n  \
                       n4[\"silver.b\"]:::runs\n  n0 --> n2\n  n0 --> n3\n  n1 --> n4\n  n3 --> n2\n  n4 --> n2\n  \
                       classDef runs fill:#fde68a,stroke:#b45309,stroke-width:2px\n";
        assert_eq!(graph().draw(Drawing::Mermaid), mermaid);
        let dot = graph().draw(Drawing::Dot);
        assert!(dot.contains("  \"silver.b\" [style=filled, fillcolor=\"#fde68a\", color=\"#b45309\"];\n"), "{dot}");
        assert!(dot.contains("  \"silver.a\" -> \"gold.c\";\n") && dot.ends_with("}\n"), "{dot}");
    }

    #[test]
    fn the_picture_has_a_column_for_each_depth_and_no_raw_text() {
        let depths: Vec<usize> = graph().nodes.iter().map(|node| node.depth).collect();
        assert_eq!(depths, [0, 0, 2, 1, 1]);
        let svg = graph().draw(Drawing::Svg);
        assert_eq!(svg.matches("<rect").count(), 5);
        assert_eq!(svg.matches("<path class=\"edge\"").count(), 5);
        assert_eq!(svg.matches("class=\"runs\"").count(), 2);
        assert_eq!(svg, graph().draw(Drawing::Svg));
        let odd = Node { name: "a<b>&\"c\"".into(), runs: false, depth: 0 };
        let svg = Graph { nodes: vec![odd], edges: Vec::new() }.draw(Drawing::Svg);
        assert!(svg.contains(">a&lt;b&gt;&amp;&quot;c&quot;</text>"), "{svg}");
    }
}
