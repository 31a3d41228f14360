//! Bugs that are planted on purpose, one at a time, to prove that the simulator finds such bugs (docs/simulation.md).
//! Without the feature `planted`, which only `conclave-chaos` switches on for one program of its own, [`is_planted`] is a
//! constant, and nothing of this is in a node.

/// A bug of a kind that happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bug {
    /// A grant or a revocation is acknowledged before it is committed.
    AcknowledgeBeforeCommit,
    /// A vote is not synced.
    SkipVoteSync,
    /// Log entries are acknowledged before they are synced.
    AcknowledgeBeforeSync,
    /// A node takes what it finds in its log at a start for durable.
    TrustUnsynced,
    /// A restarted leader leads its term again, without an election.
    RestoreLeader,
    /// The first entry after an installed snapshot is applied twice.
    ApplyTwiceAfterSnapshot,
    /// A verdict ignores that the key has changed.
    IgnoreKeyRevision,
    /// A verdict ignores that the access rules have changed.
    IgnoreAccessRevision,
    /// A result is released before its record is committed.
    ReleaseBeforeCommit,
    /// An installed snapshot has no memory of requests.
    ForgetRequestsOnSnapshot,
    /// A share that is submitted twice counts twice.
    CountShareTwice,
    /// A share counts for a second attempt without another record.
    CountShareUnrecorded,
    /// Shares of an attempt that somebody cancelled count until he has the answer.
    KeepCancelledShares,
    /// The log is purged behind a snapshot that is not on the disk.
    PurgeBeforeSnapshot,
    /// A batch whose answer was lost is proposed again under another id.
    ProposeTwice,
    /// What `apply` does depends on more than the log.
    NondeterministicApply,
    /// Revocations leave no audit record.
    SkipLeaf,
    /// A rotation reuses the last version's number.
    ReuseVersion,
    /// Time runs backwards when a clock does.
    TimeRunsBackwards,
    /// A snapshot has the id of the last entry, and the data of an earlier one.
    SnapshotOlderThanItsId,
    /// A linearizable read is answered from what the node has.
    ReadWithoutIndex,
    /// A node says that it has erased what was destroyed, and has not.
    SayErased,
    /// A use of a registered data key counts though the data key was deleted meanwhile.
    OpenDeletedDataKey,
    /// Data keys are taken to the version that a node wrapped them by, though it is not the primary one any more.
    RewrapToOlderVersion,
    /// Moving an alias leaves the revisions of its keys as they are.
    MoveAliasUnseen,
}

impl Bug {
    /// All of them.
    pub const ALL: [Self; 25] = [
        Self::AcknowledgeBeforeCommit,
        Self::SkipVoteSync,
        Self::AcknowledgeBeforeSync,
        Self::TrustUnsynced,
        Self::RestoreLeader,
        Self::ApplyTwiceAfterSnapshot,
        Self::IgnoreKeyRevision,
        Self::IgnoreAccessRevision,
        Self::ReleaseBeforeCommit,
        Self::ForgetRequestsOnSnapshot,
        Self::CountShareTwice,
        Self::CountShareUnrecorded,
        Self::KeepCancelledShares,
        Self::PurgeBeforeSnapshot,
        Self::ProposeTwice,
        Self::NondeterministicApply,
        Self::SkipLeaf,
        Self::ReuseVersion,
        Self::TimeRunsBackwards,
        Self::SnapshotOlderThanItsId,
        Self::ReadWithoutIndex,
        Self::SayErased,
        Self::OpenDeletedDataKey,
        Self::RewrapToOlderVersion,
        Self::MoveAliasUnseen,
    ];
}

#[cfg(not(feature = "planted"))]
mod switch {
    /// Whether the bug is planted: never.
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "so that nothing is left of it")]
    pub const fn is_planted(_: super::Bug) -> bool {
        false
    }
}

#[cfg(feature = "planted")]
mod switch {
    use super::Bug;
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// The planted bug's place in [`Bug::ALL`], from 1; 0: none.
    static PLANTED: AtomicUsize = AtomicUsize::new(0);

    /// Plants a bug in this process.
    pub fn plant(bug: Bug) {
        let place = Bug::ALL.iter().position(|it| *it == bug);
        PLANTED.store(
            place.map_or(0, |place| place.saturating_add(1)),
            Ordering::Relaxed,
        );
    }

    /// Whether the bug is planted.
    pub fn is_planted(bug: Bug) -> bool {
        let place = PLANTED.load(Ordering::Relaxed);
        place
            .checked_sub(1)
            .and_then(|place| Bug::ALL.get(place))
            .is_some_and(|it| *it == bug)
    }

    /// Something that no two calls have in common.
    pub fn next_call() -> u32 {
        static CALLS: AtomicUsize = AtomicUsize::new(0);
        u32::try_from(CALLS.fetch_add(1, Ordering::Relaxed)).unwrap_or(0)
    }
}

pub use switch::*;

/// Something that no two calls have in common, for [`Bug::NondeterministicApply`].
#[cfg(not(feature = "planted"))]
pub(crate) const fn next_call() -> u32 {
    0
}
