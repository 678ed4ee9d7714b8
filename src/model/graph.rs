//! The order in which models are built. Pure: knows indices, not files.

use std::collections::BTreeSet;

/// What must stand before a node, and what should when that is possible.
#[derive(Debug, Clone, Default)]
pub struct Edges {
    pub needs: BTreeSet<usize>,
    /// The tables its tests look at: built first, so that tests see this run's rows. Ignored in a cycle.
    pub prefers: BTreeSet<usize>,
}

/// Indices in building order, keeping the given order where edges leave it open.
/// `Err` holds the indices along a cycle of needs, the first repeated at the end.
pub fn order(nodes: &[Edges]) -> Result<Vec<usize>, Vec<usize>> {
    let mut order = Vec::with_capacity(nodes.len());
    let mut done = BTreeSet::new();
    let mut waiting: Vec<usize> = (0..nodes.len()).collect();
    while !waiting.is_empty() {
        let before = waiting.len();
        waiting.retain(|&index| {
            let Edges { needs, prefers } = &nodes[index];
            let ready = needs.is_subset(&done) && prefers.iter().all(|other| *other == index || done.contains(other));
            if ready {
                done.insert(index);
                order.push(index);
            }
            !ready
        });
        if waiting.len() < before {
            continue;
        }
        match waiting.iter().position(|&index| nodes[index].needs.is_subset(&done)) {
            Some(at) => {
                let index = waiting.remove(at);
                done.insert(index);
                order.push(index);
            }
            None => return Err(cycle(nodes, &done, waiting[0])),
        }
    }
    Ok(order)
}

/// Walks along unmet needs until a node comes again; every waiting node has one.
fn cycle(nodes: &[Edges], done: &BTreeSet<usize>, start: usize) -> Vec<usize> {
    let mut path = vec![start];
    let mut at = start;
    while let Some(next) = nodes[at].needs.iter().copied().find(|need| !done.contains(need)) {
        if let Some(first) = path.iter().position(|seen| *seen == next) {
            path.drain(..first);
            path.push(next);
            return path;
        }
        path.push(next);
        at = next;
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nodes(needs: &[&[usize]], prefers: &[&[usize]]) -> Vec<Edges> {
        let set = |indices: &[usize]| indices.iter().copied().collect();
        needs.iter().zip(prefers).map(|(needs, prefers)| Edges { needs: set(needs), prefers: set(prefers) }).collect()
    }

    #[test]
    fn needs_come_first_and_preferences_when_possible() {
        let table: [(Vec<Edges>, &[usize]); 4] = [
            (nodes(&[&[], &[]], &[&[], &[]]), &[0, 1]),
            (nodes(&[&[2], &[], &[1]], &[&[], &[], &[]]), &[1, 2, 0]),
            (nodes(&[&[], &[]], &[&[1], &[]]), &[1, 0]),
            // A preference against a need, and one for itself.
            (nodes(&[&[], &[0]], &[&[1, 0], &[1]]), &[0, 1]),
        ];
        for (nodes, expected) in table {
            assert_eq!(order(&nodes).unwrap(), expected);
        }
    }

    #[test]
    fn a_cycle_is_named() {
        assert_eq!(order(&nodes(&[&[1], &[2], &[1]], &[&[], &[], &[]])), Err(vec![1, 2, 1]));
    }
}
