//! Where the outputs of a job are cut.

use super::super::{KS, apply, meta, none};
use super::{Tree, go, metas, table_entries};
use crate::memtable::Rng;
use esker::internals::compaction::picker::pick_range;
use esker::internals::compaction::plan::Reason;
use esker::internals::compaction::run::run;
use esker::internals::job::JobContext;
use esker::internals::key::tag_seq;
use esker::internals::version::edit::VersionEdit;

#[test]
fn outputs_are_cut_where_they_would_overlap_too_many_grandparents() {
    let mut rng = Rng::new(3);
    let mut tree = Tree::new(3, 100_000);
    tree.flush(300, 300, &[], &mut rng);
    tree.flush(300, 300, &[], &mut rng);
    let plan = pick_range(&tree.version, 0, None, None, KS, &tree.limits(), &none()).unwrap();
    assert_eq!(tree.run(&plan, &[]).edit.tables_added.len(), 1);
    // Never read: only their bounds and sizes count.
    let grandparents = [("key0050", "key0099"), ("key0100", "key0149"), ("key0200", "key0249")];
    let tables_added = (1_000..).zip(grandparents).map(|(file, (smallest, largest))| {
        (KS, 3, meta(file, smallest, largest, 1_000_001).into())
    });
    let edit = VersionEdit { tables_added: tables_added.collect(), ..VersionEdit::default() };
    tree.version = apply(&tree.version, &edit);
    let plan = pick_range(&tree.version, 1, None, None, KS, &tree.limits(), &none()).unwrap();
    assert!(!plan.trivial_move);
    let outcome = run(&tree.ctx, &tree.version, &plan, &[tree.seq], &go()).unwrap();
    let cuts: Vec<String> =
        metas(&outcome).iter().map(|meta| String::from_utf8_lossy(&meta.largest).into()).collect();
    assert_eq!(cuts.len(), 4, "{cuts:?}");
    assert!(cuts[0].as_str() <= "key0099" && cuts[1].as_str() <= "key0149", "{cuts:?}");
    assert!(cuts[2].as_str() <= "key0249", "{cuts:?}");
}

#[test]
fn outputs_end_where_grandparents_do_once_they_are_half_full() {
    let mut rng = Rng::new(4);
    let mut tree = Tree::new(4, 100_000);
    tree.flush(2_000, 400, &[], &mut rng);
    tree.flush(2_000, 400, &[], &mut rng);
    let plan = pick_range(&tree.version, 0, None, None, KS, &tree.limits(), &none()).unwrap();
    tree.run(&plan, &[]);
    // Grandparents of ten keys each, small enough not to count by their bytes.
    let grandparents = (0..40u64).map(|n| {
        let (lo, hi) = (format!("key{:04}", 10 * n), format!("key{:04}", 10 * n + 9));
        (KS, 3, meta(1_000 + n, &lo, &hi, 1).into())
    });
    let edit = VersionEdit { tables_added: grandparents.collect(), ..VersionEdit::default() };
    tree.version = apply(&tree.version, &edit);
    let mut plan = pick_range(&tree.version, 1, None, None, KS, &tree.limits(), &none()).unwrap();
    plan.trivial_move = false;
    let boundary = |low: &[u8], high: &[u8]| {
        let number = |key: &[u8]| String::from_utf8_lossy(&key[3..]).parse::<u64>().unwrap();
        number(low) / 10 < number(high) / 10
    };
    let table_size = 3_000;
    let ctx = JobContext { table_size, ..tree.ctx.clone() };
    let outcome = run(&ctx, &tree.version, &plan, &[tree.seq], &go()).unwrap();
    let metas = metas(&outcome);
    assert!(metas.len() > 2, "{}", metas.len());
    for pair in metas.windows(2) {
        assert!(boundary(&pair[0].largest, &pair[1].smallest), "cut within a grandparent");
        assert!(pair[0].size * 2 > table_size, "less than half full");
    }
}

#[test]
fn a_merge_within_level_0_makes_one_table_and_keeps_deletes() {
    for seed in 0..10 {
        println!("seed {seed}");
        let mut rng = Rng::new(seed);
        let mut tree = Tree::new(seed, 100_000);
        let snapshots = [30];
        for _ in 0..6 {
            tree.flush(60, 40, &snapshots, &mut rng);
        }
        let level0 = tree.version.level(0).to_vec();
        assert_eq!(level0.len(), 6);
        let mut plan =
            pick_range(&tree.version, 0, None, None, KS, &tree.limits(), &none()).unwrap();
        plan.output_level = 0;
        (plan.inputs, plan.output_inputs) = (level0[1..5].to_vec(), Vec::new());
        plan.reason = Reason::Level0Merge;
        tree.ctx.table_size = 400;
        let outcome = tree.run(&plan, &snapshots);
        let after = tree.version.level(0);
        assert_eq!(after.len(), 3, "one table, however large");
        assert!(after[1].meta.size > 400 && outcome.entries_dropped > 0);
        assert_eq!(after[1].meta.max_seq, level0[1].meta.max_seq, "it sorts where they were");
        assert!(after[1].meta.deletes > 0, "older tables may hold what they hide");
        let zeroed = table_entries(&tree.ctx, &after[1].meta).iter().any(|e| tag_seq(e.1) == 0);
        assert!(!zeroed);
        tree.check(&snapshots);
    }
}
