//! Deliberate faults of the engine, so that the campaigns that must catch them can be seen to do so. For tests only: in
//! a library that is shipped `is` is always false, and the code behind it is gone.
//!
//! The environment variable ESKER_PLANTED names the one fault of the process.

#[cfg(feature = "internals")]
use crate::sync::OnceLock;

/// What is wrong on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Planted {
    /// A manifest edit counts before it is synced.
    EditNotSynced,
    /// A table is named in the manifest before its bytes are synced.
    TableNotSynced,
    /// As that, but it is the table's name that may be lost.
    NameNotSynced,
    /// A sync covers the newest log only.
    OlderLogsNotSynced,
    /// A sync that failed counts as done.
    SyncErrorForgotten,
    /// An append that failed counts as done.
    AppendErrorForgotten,
    /// A delete goes while deeper levels still have the key.
    DeleteDroppedEarly,
    /// A compaction does not ask for snapshots.
    SnapshotsIgnored,
    /// Blocks are believed whatever their checksum.
    BlocksUnchecked,
    /// Filters deny some of their keys.
    FilterDenies,
    /// Writes can be seen before they are whole.
    SeenTooEarly,
    /// The last record of the logs is not replayed.
    ReplayStopsEarly,
    /// Damage below what is known to have been durable passes for a torn tail.
    EvidenceIgnored,
    /// A clean close cuts its log before the CLOSE is on disk.
    CloseNotSynced,
    /// What a killed process left in the page cache passes for durable.
    NotSettled,
    /// Making that durable failed, and passes for done when it is tried again.
    SettleErrorForgotten,
    /// A writer gives the queue back between looking whether it has been called and waiting for that.
    CallMissed,
    /// Whoever waits for a flush does the same with the notice board.
    FlushMissed,
    /// Readers read the sequence number before the state.
    SequenceBeforeState,
    /// A version is shown after others may have been.
    ShownOutOfOrder,
    /// A snapshot is listed after its sequence number was read.
    SnapshotListedLate,
    /// Compactions take what others have taken.
    ClaimsIgnored,
    /// A close does not wait for what is running.
    CloseDoesNotWait,
    /// Nobody who waits for durability hears that writes were stopped.
    StopNotTold,
}

impl Planted {
    /// Those that a campaign catches.
    #[cfg(feature = "internals")]
    pub const ALL: [Planted; 16] = [
        Planted::EditNotSynced,
        Planted::TableNotSynced,
        Planted::NameNotSynced,
        Planted::OlderLogsNotSynced,
        Planted::SyncErrorForgotten,
        Planted::AppendErrorForgotten,
        Planted::DeleteDroppedEarly,
        Planted::SnapshotsIgnored,
        Planted::BlocksUnchecked,
        Planted::FilterDenies,
        Planted::SeenTooEarly,
        Planted::ReplayStopsEarly,
        Planted::EvidenceIgnored,
        Planted::CloseNotSynced,
        Planted::NotSettled,
        Planted::SettleErrorForgotten,
    ];

    /// Those that only an unlucky schedule of threads shows; tests/schedules is there for them.
    #[cfg(feature = "internals")]
    pub const OF_SCHEDULES: [Planted; 8] = [
        Planted::CallMissed,
        Planted::FlushMissed,
        Planted::SequenceBeforeState,
        Planted::ShownOutOfOrder,
        Planted::SnapshotListedLate,
        Planted::ClaimsIgnored,
        Planted::CloseDoesNotWait,
        Planted::StopNotTold,
    ];
}

/// Whether this is what is wrong with this process.
#[cfg(feature = "internals")]
pub fn is(what: Planted) -> bool {
    static PLANTED: OnceLock<Option<Planted>> = OnceLock::new();
    let find = || {
        let name = std::env::var("ESKER_PLANTED").ok()?;
        let planted = Planted::ALL
            .into_iter()
            .chain(Planted::OF_SCHEDULES)
            .find(|planted| format!("{planted:?}") == name);
        assert!(planted.is_some(), "ESKER_PLANTED={name}: there is no such fault");
        planted
    };
    *PLANTED.get_or_init(find) == Some(what)
}

#[cfg(not(feature = "internals"))]
#[inline(always)]
pub fn is(_what: Planted) -> bool {
    false
}
