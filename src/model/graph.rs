//! The order in which models are built. Pure: knows indices, not files.

use std::collections::BTreeSet;

/// What must stand before a node, and what should when that is possible.
#[derive(Debug, Clone, Default)]
pub struct Edges {
    pub needs: BTreeSet<usize>,
    /// The tables its tests look at: built first, so that tests see this run's rows. Ignored in a cycle.
    pub prefers: BTreeSet<usize>,
}

/// Indices in building order, keeping the given order where edges leave it open: goes round the indices and takes
/// each that is ready when its turn comes.
/// `Err` holds the indices along a cycle of needs, the first repeated at the end.
pub fn order(nodes: &[Edges]) -> Result<Vec<usize>, Vec<usize>> {
    let mut progress = Progress::of(nodes);
    let mut order = Vec::with_capacity(nodes.len());
    let mut turn = 0;
    while order.len() < nodes.len() {
        let next = progress.ready.range(turn..).next().or(progress.ready.first()).copied();
        let (index, goes_on) = match (next, progress.possible.first()) {
            (Some(index), _) => (index, index + 1),
            // Nothing has all it prefers: a preference against a need, or a circle of preferences.
            (None, Some(index)) => (*index, 0),
            (None, None) => {
                let done: BTreeSet<usize> = order.into_iter().collect();
                let start = (0..nodes.len()).find(|index| !done.contains(index)).unwrap_or_default();
                return Err(cycle(nodes, &done, start));
            }
        };
        progress.take(index);
        order.push(index);
        turn = goes_on;
    }
    Ok(order)
}

/// What each node still waits for.
struct Progress {
    needs: Vec<usize>,
    prefers: Vec<usize>,
    needed_by: Vec<Vec<usize>>,
    preferred_by: Vec<Vec<usize>>,
    /// Have all they need.
    possible: BTreeSet<usize>,
    /// Have all they prefer, too.
    ready: BTreeSet<usize>,
}

impl Progress {
    fn of(nodes: &[Edges]) -> Progress {
        let (mut needed_by, mut preferred_by) = (vec![Vec::new(); nodes.len()], vec![Vec::new(); nodes.len()]);
        let (mut needs, mut prefers) = (vec![0; nodes.len()], vec![0; nodes.len()]);
        for (index, node) in nodes.iter().enumerate() {
            needs[index] = node.needs.len();
            node.needs.iter().for_each(|other| needed_by[*other].push(index));
            for other in node.prefers.iter().filter(|other| **other != index) {
                prefers[index] += 1;
                preferred_by[*other].push(index);
            }
        }
        let possible: BTreeSet<usize> = (0..nodes.len()).filter(|index| needs[*index] == 0).collect();
        let ready = possible.iter().copied().filter(|index| prefers[*index] == 0).collect();
        Progress { needs, prefers, needed_by, preferred_by, possible, ready }
    }

    fn take(&mut self, index: usize) {
        self.possible.remove(&index);
        self.ready.remove(&index);
        // Without a need it is never waited for again.
        self.needs[index] = usize::MAX;
        for other in std::mem::take(&mut self.needed_by[index]) {
            self.needs[other] -= 1;
            if self.needs[other] == 0 {
                self.possible.insert(other);
            }
            self.note(other);
        }
        for other in std::mem::take(&mut self.preferred_by[index]) {
            self.prefers[other] -= 1;
            self.note(other);
        }
    }

    fn note(&mut self, index: usize) {
        if self.needs[index] == 0 && self.prefers[index] == 0 {
            self.ready.insert(index);
        }
    }
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

    /// The same rule as plainly as it can be written: rounds over all that wait.
    fn in_rounds(nodes: &[Edges]) -> Option<Vec<usize>> {
        let (mut order, mut waiting): (Vec<usize>, Vec<usize>) = (Vec::new(), (0..nodes.len()).collect());
        while !waiting.is_empty() {
            let before = order.len();
            for index in waiting.clone() {
                let stands = |other: &usize| order.contains(other);
                let Edges { needs, prefers } = &nodes[index];
                if needs.iter().all(stands) && prefers.iter().all(|other| *other == index || stands(other)) {
                    order.push(index);
                }
            }
            if order.len() == before {
                order.push(*waiting.iter().find(|index| nodes[**index].needs.iter().all(|need| order.contains(need)))?);
            }
            waiting.retain(|index| !order.contains(index));
        }
        Some(order)
    }

    #[test]
    fn the_order_is_that_of_rounds() {
        let mut state = 7_u64;
        let mut below = |end: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as usize % end
        };
        let (mut ordered, mut circles) = (0, 0);
        for round in 0..400 {
            let count = 2 + below(9);
            let mut some = |most: usize| -> BTreeSet<usize> { (0..below(most)).map(|_| below(count)).collect() };
            let mut nodes: Vec<Edges> = (0..count).map(|_| Edges { needs: some(3), prefers: some(3) }).collect();
            for (index, node) in nodes.iter_mut().enumerate() {
                // Mostly without circles, and never one of a single node.
                node.needs.retain(|other| if round % 4 == 0 { *other != index } else { *other < index });
            }
            match in_rounds(&nodes) {
                Some(expected) => {
                    assert_eq!(order(&nodes), Ok(expected), "{nodes:?}");
                    ordered += 1;
                }
                None => {
                    assert!(order(&nodes).is_err(), "{nodes:?}");
                    circles += 1;
                }
            }
        }
        assert!(ordered > 200 && circles > 20, "{ordered} orders, {circles} circles");
    }

    #[test]
    fn a_cycle_is_named() {
        assert_eq!(order(&nodes(&[&[1], &[2], &[1]], &[&[], &[], &[]])), Err(vec![1, 2, 1]));
    }
}
