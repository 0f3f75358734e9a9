//! What the running compactions work on, so that no two of them get in each other's way.
//!
//! A claim names the tables a job reads and the key range it writes. A job that skips levels claims its
//! range in each of them: what it carries past them must not overtake what another job puts there. Level 0
//! has no key order of its own, so there the tables alone count, and at most one job takes tables out of it.
//!
//! Pure data: the owner guards it with a lock and claims a plan under the same hold that picked it.
//!
//! Invariants
//! 1. No table is in two claims.
//! 2. At every level below 0, the ranges that claims write to or pass are disjoint.
//! 3. At most one claim leads out of level 0, and at most one merges within it.

use crate::compaction::plan::{CompactionPlan, range_of};
use crate::planted::{self, Planted};
use crate::sync::Arc;
use crate::table::meta::TableMeta;
use crate::types::{FileNum, KeyspaceId};

/// What one running job has taken.
#[derive(Debug)]
struct Claim {
    ticket: u64,
    keyspace: KeyspaceId,
    level: u8,
    output_level: u8,
    tables: Vec<Arc<TableMeta>>,
}

/// Gives a claim back; made by [`Inflight::claim`] only.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "a claim that is never released blocks its tables for good"]
pub struct Ticket(u64);

/// The running compactions.
#[derive(Debug, Default)]
pub struct Inflight {
    claims: Vec<Claim>,
    last_ticket: u64,
}

/// Levels that a job writes to or passes: those below its own down to its output, or its own when it
/// stays there.
fn covered(level: u8, output_level: u8) -> std::ops::RangeInclusive<u8> {
    output_level.min(level.saturating_add(1))..=output_level
}

impl Claim {
    fn has(&self, file: FileNum) -> bool {
        self.tables.iter().any(|table| table.file == file)
    }

    fn conflicts(&self, plan: &CompactionPlan) -> bool {
        if self.keyspace != plan.keyspace {
            return false;
        }
        if plan.tables().any(|table| self.has(table.meta.file)) {
            return true;
        }
        let merges = self.output_level == 0;
        if self.level == 0 && plan.level == 0 && merges == plan.merges_level0() {
            return true;
        }
        self.meets(plan)
    }

    /// Whether a level below 0 would get or let pass the same keys from both.
    fn meets(&self, plan: &CompactionPlan) -> bool {
        let (mine, other) =
            (covered(self.level, self.output_level), covered(plan.level, plan.output_level));
        let first = *mine.start().max(other.start());
        let last = *mine.end().min(other.end());
        let order = &plan.order;
        let ranges = range_of(order, self.tables.iter().map(Arc::as_ref)).zip(plan.whole_range());
        first.max(1) <= last
            && ranges.is_some_and(|((least, greatest), (lo, hi))| {
                order.compare(least, hi).is_le() && order.compare(greatest, lo).is_ge()
            })
    }
}

impl Inflight {
    /// Whether `plan` cannot run beside what is running.
    pub fn conflicts(&self, plan: &CompactionPlan) -> bool {
        self.claims.iter().any(|claim| claim.conflicts(plan))
    }

    /// Takes what `plan` works on; `None` when it conflicts or is empty.
    pub fn claim(&mut self, plan: &CompactionPlan) -> Option<Ticket> {
        if self.conflicts(plan) && !planted::is(Planted::ClaimsIgnored) {
            return None;
        }
        let tables: Vec<_> = plan.tables().map(|table| Arc::clone(&table.meta)).collect();
        if tables.is_empty() {
            return None;
        }
        self.last_ticket += 1;
        self.claims.push(Claim {
            ticket: self.last_ticket,
            keyspace: plan.keyspace,
            level: plan.level,
            output_level: plan.output_level,
            tables,
        });
        Some(Ticket(self.last_ticket))
    }

    /// Gives back what the claim took: after the job's edit is installed, or when there will be none.
    pub fn release(&mut self, ticket: Ticket) {
        self.claims.retain(|claim| claim.ticket != ticket.0);
    }

    /// Whether a running job reads the table.
    pub fn has_table(&self, file: FileNum) -> bool {
        self.claims.iter().any(|claim| claim.has(file))
    }

    /// Whether a running job takes the table out of `level`, where it is.
    pub fn takes_away(&self, level: usize, file: FileNum) -> bool {
        let from = |claim: &&Claim| usize::from(claim.level) == level;
        self.claims.iter().filter(from).any(|claim| claim.has(file))
    }

    /// Number of running jobs.
    #[cfg(any(test, feature = "internals"))]
    pub fn len(&self) -> usize {
        self.claims.len()
    }

    pub fn is_empty(&self) -> bool {
        self.claims.is_empty()
    }
}
