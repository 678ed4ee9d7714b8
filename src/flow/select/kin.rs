//! What models are made from, and what is made from them.

use crate::ident::TableName;
use crate::model::Project;
use std::collections::{BTreeMap, BTreeSet};

type Neighbours<'a> = BTreeMap<&'a TableName, Vec<&'a TableName>>;

/// The models of a project by their neighbours; Bronze tables are nobody's kin.
pub(super) struct Kin<'a> {
    parents: Neighbours<'a>,
    children: Neighbours<'a>,
}

impl<'a> Kin<'a> {
    pub fn of(project: &'a Project) -> Kin<'a> {
        let known: BTreeSet<&TableName> = project.nodes().map(|model| &model.table).collect();
        let mut kin = Kin { parents: Neighbours::new(), children: Neighbours::new() };
        for model in project.nodes() {
            for upstream in model.reads.iter().filter(|upstream| known.contains(upstream)) {
                kin.parents.entry(&model.table).or_default().push(upstream);
                kin.children.entry(upstream).or_default().push(&model.table);
            }
        }
        kin
    }

    pub fn ancestors(&self, of: &BTreeSet<&'a TableName>, steps: usize) -> BTreeSet<&'a TableName> {
        walk(&self.parents, of, steps)
    }

    pub fn descendants(&self, of: &BTreeSet<&'a TableName>, steps: usize) -> BTreeSet<&'a TableName> {
        walk(&self.children, of, steps)
    }
}

/// All within so many steps, the start included.
fn walk<'a>(next: &Neighbours<'a>, start: &BTreeSet<&'a TableName>, steps: usize) -> BTreeSet<&'a TableName> {
    let mut found = start.clone();
    let mut edge: Vec<&TableName> = start.iter().copied().collect();
    let mut left = steps;
    while left > 0 && !edge.is_empty() {
        let beyond = edge.iter().filter_map(|table| next.get(table)).flatten().copied();
        edge = beyond.filter(|table| found.insert(*table)).collect();
        left -= 1;
    }
    found
}
