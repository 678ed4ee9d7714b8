//! Whose turn it is: models that have no table in common may be worked on at the same time.
//!
//! Where one reads or tests what another makes, the later in building order waits until the earlier has ended, so each
//! sees the very versions that it would see if all were done one after the other. Knows tables by name only, and not
//! how a turn ended.

use crate::ident::TableName;
use std::collections::{BTreeMap, BTreeSet};

/// What a model makes, and all that it and its tests read.
pub(super) struct Needs<'a> {
    pub makes: &'a TableName,
    pub reads: BTreeSet<TableName>,
}

/// Positions are those of the models in building order.
pub(super) struct Order {
    /// Of each model how many of those before it have not ended.
    waits_for: Vec<usize>,
    /// Of each model those that wait for it.
    waiting: Vec<Vec<usize>>,
    ready: BTreeSet<usize>,
}

impl Order {
    pub fn of(models: &[Needs<'_>]) -> Order {
        let positions: BTreeMap<&TableName, usize> =
            models.iter().enumerate().map(|(at, model)| (model.makes, at)).collect();
        let mut waiting = vec![BTreeSet::new(); models.len()];
        for (at, model) in models.iter().enumerate() {
            for other in model.reads.iter().filter_map(|table| positions.get(table)).filter(|other| **other != at) {
                waiting[at.min(*other)].insert(at.max(*other));
            }
        }
        let mut waits_for = vec![0; models.len()];
        waiting.iter().flatten().for_each(|later| waits_for[*later] += 1);
        let ready = (0..models.len()).filter(|at| waits_for[*at] == 0).collect();
        Order { waits_for, waiting: waiting.into_iter().map(Vec::from_iter).collect(), ready }
    }

    /// The earliest of those that wait for nothing; it has its turn now.
    pub fn next(&mut self) -> Option<usize> {
        self.ready.pop_first()
    }

    /// The turn of this one is over.
    pub fn ended(&mut self, at: usize) {
        for later in std::mem::take(&mut self.waiting[at]) {
            self.waits_for[later] -= 1;
            if self.waits_for[later] == 0 {
                self.ready.insert(later);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(name: &str) -> TableName {
        TableName::parse(&format!("gold.{name}")).unwrap()
    }

    /// Models `a`, `b`, .. in building order, and what each reads.
    fn order(reads: &[&str]) -> Order {
        let names: Vec<TableName> = ('a'..).take(reads.len()).map(|name| table(&name.to_string())).collect();
        let needs = |(makes, reads): (_, &&str)| Needs { makes, reads: reads.split_whitespace().map(table).collect() };
        Order::of(&names.iter().zip(reads).map(needs).collect::<Vec<_>>())
    }

    /// All whose turn it is now.
    fn ready(order: &mut Order) -> Vec<usize> {
        std::iter::from_fn(|| order.next()).collect()
    }

    #[test]
    fn a_model_waits_for_what_it_reads_and_for_nothing_else() {
        let mut order = order(&["", "", "a b", "a", "c x"]);
        assert_eq!(ready(&mut order), [0, 1]);
        order.ended(0);
        assert_eq!(ready(&mut order), [3]);
        order.ended(3);
        assert_eq!(ready(&mut order), [0; 0]);
        order.ended(1);
        assert_eq!(ready(&mut order), [2]);
        order.ended(2);
        assert_eq!(ready(&mut order), [4]);
    }

    #[test]
    fn what_an_earlier_one_reads_is_not_made_before_it_has_ended() {
        let mut order = order(&["b", ""]);
        assert_eq!(ready(&mut order), [0]);
        order.ended(0);
        assert_eq!(ready(&mut order), [1]);
    }

    #[test]
    fn a_model_that_reads_itself_waits_for_nobody() {
        assert_eq!(ready(&mut order(&["a", "b a"])), [0]);
    }
}
