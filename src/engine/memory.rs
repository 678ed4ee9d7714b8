//! How the engine's memory is shared among the parts of queries.
//!
//! As DataFusion's own fair pool: who can spill gets an equal part of what the others leave, who cannot takes what there
//! is. Beside it a part stays out of reach of those that can spill: a sort that has spilled gives back what it keeps for
//! merging and asks for it again, and with the fair pool another sort may have taken it meanwhile, which ends the query.

use datafusion::error::{DataFusionError, Result};
use datafusion::execution::memory_pool::{
    MemoryConsumer, MemoryLimit, MemoryPool, MemoryReservation, human_readable_size,
};
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Of the whole, what only those get that cannot spill.
const KEPT: usize = 4;

#[derive(Debug)]
pub(super) struct Shared {
    bytes: usize,
    used: Mutex<Used>,
}

#[derive(Debug, Default)]
struct Used {
    /// How many can spill.
    spilling: usize,
    spillable: usize,
    fixed: usize,
}

impl Used {
    fn of(&mut self, reservation: &MemoryReservation) -> &mut usize {
        if reservation.consumer().can_spill() { &mut self.spillable } else { &mut self.fixed }
    }
}

impl Shared {
    pub fn new(bytes: usize) -> Shared {
        Shared { bytes, used: Mutex::default() }
    }

    fn used(&self) -> MutexGuard<'_, Used> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the reservation may still take.
    fn left(&self, used: &Used, reservation: &MemoryReservation) -> usize {
        if !reservation.consumer().can_spill() {
            return self.bytes.saturating_sub(used.fixed + used.spillable);
        }
        let shared = self.bytes.saturating_sub(used.fixed.max(self.bytes / KEPT));
        // Others may hold more than their part: they came when there were fewer.
        let part = (shared / used.spilling.max(1)).saturating_sub(reservation.size());
        part.min(shared.saturating_sub(used.spillable))
    }
}

impl MemoryPool for Shared {
    fn name(&self) -> &str {
        "engine"
    }

    fn register(&self, consumer: &MemoryConsumer) {
        self.used().spilling += usize::from(consumer.can_spill());
    }

    fn unregister(&self, consumer: &MemoryConsumer) {
        let mut used = self.used();
        used.spilling = used.spilling.saturating_sub(usize::from(consumer.can_spill()));
    }

    fn grow(&self, reservation: &MemoryReservation, additional: usize) {
        *self.used().of(reservation) += additional;
    }

    fn shrink(&self, reservation: &MemoryReservation, shrink: usize) {
        let mut used = self.used();
        let part = used.of(reservation);
        *part = part.saturating_sub(shrink);
    }

    fn try_grow(&self, reservation: &MemoryReservation, additional: usize) -> Result<()> {
        let mut used = self.used();
        let left = self.left(&used, reservation);
        if additional > left {
            let (wanted, held) = (human_readable_size(additional), human_readable_size(reservation.size()));
            return Err(DataFusionError::ResourcesExhausted(format!(
                "`{}` holds {held} and needs {wanted} more, there are {} left of {}",
                reservation.consumer().name(),
                human_readable_size(left),
                human_readable_size(self.bytes)
            )));
        }
        *used.of(reservation) += additional;
        Ok(())
    }

    fn reserved(&self) -> usize {
        let used = self.used();
        used.spillable + used.fixed
    }

    fn memory_limit(&self) -> MemoryLimit {
        MemoryLimit::Finite(self.bytes)
    }
}

impl fmt::Display for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}", human_readable_size(self.reserved()), human_readable_size(self.bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn who_comes_late_does_not_get_what_is_kept() {
        let pool: Arc<dyn MemoryPool> = Arc::new(Shared::new(1000));
        let sort = |name: &str| MemoryConsumer::new(name).with_can_spill(true).register(&pool);
        let one = sort("one");
        one.try_grow(750).unwrap();
        let other = sort("other");
        assert!(other.try_grow(1).is_err());
        MemoryConsumer::new("merge").register(&pool).try_grow(250).unwrap();
        one.shrink(500);
        other.try_grow(375).unwrap();
    }

    #[test]
    fn what_is_kept_is_there_for_those_that_cannot_spill() {
        let pool: Arc<dyn MemoryPool> = Arc::new(Shared::new(1000));
        let sort = |name: &str| MemoryConsumer::new(name).with_can_spill(true).register(&pool);
        let (one, other) = (sort("one"), sort("other"));
        // Each gets a half of three quarters.
        one.try_grow(375).unwrap();
        assert!(one.try_grow(1).is_err());
        other.try_grow(375).unwrap();
        let merge = MemoryConsumer::new("merge").register(&pool);
        merge.try_grow(250).unwrap();
        let refused = merge.try_grow(1).unwrap_err().to_string();
        assert!(refused.contains("`merge` holds 250.0 B and needs 1.0 B more, there are 0.0 B left"), "{refused}");
        drop(other);
        // What a sort leaves is anybody's who cannot spill, and the one that is left shares with nobody.
        merge.try_grow(250).unwrap();
        assert!(one.try_grow(126).is_err());
        one.try_grow(125).unwrap();
        assert_eq!(pool.reserved(), 1000);
    }
}
