//! The kinds of faults, by name.

/// A kind of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FaultKind {
    /// The power of one node fails, for a moment.
    CrashShort,
    /// The power of one node fails, for longer than an election takes.
    CrashLong,
    /// The power fails everywhere.
    CrashAll,
    /// The power of one node fails between two writes.
    CrashBetweenWrites,
    /// The power of one node fails while it takes a snapshot.
    CrashAtSnapshot,
    /// The power of one node fails while it installs a snapshot.
    CrashAtInstall,
    /// The power of a node fails while it is being unsealed, or holds the ceremony.
    CrashAtCeremony,
    /// A node is stopped in order, and started again.
    Stop,
    /// Two nodes do not reach each other, while others reach both.
    PartitionPair,
    /// One node's messages to another are lost, and not the other way.
    PartitionOneWay,
    /// The nodes fall apart into two groups.
    PartitionGroups,
    /// One node is alone.
    IsolateNode,
    /// The leader is alone.
    IsolateLeader,
    /// A link is slow.
    SlowLink,
    /// A link loses messages.
    LossyLink,
    /// One node's messages are held both ways and come all at once, as if it had paused.
    Pause,
    /// Open connections are reset.
    Reset,
    /// A clock is wrong.
    ClockSkew,
    /// A clock jumps forwards or backwards, and back again.
    ClockJump,
    /// A disk is slow.
    SlowDisk,
    /// A disk is full.
    FullDisk,
    /// A disk answers errors.
    BrokenDisk,
    /// Bytes at rest change.
    Damage,
    /// An HSM answers errors.
    FailingHsm,
    /// An HSM's session vanishes with its keys.
    LostSession,
    /// An HSM is pulled out.
    UnpluggedHsm,
    /// Leadership is handed over.
    TransferLeader,
    /// A node is sealed on request.
    Seal,
}

impl FaultKind {
    /// All kinds.
    pub const ALL: [Self; 28] = [
        Self::CrashShort,
        Self::CrashLong,
        Self::CrashAll,
        Self::CrashBetweenWrites,
        Self::CrashAtSnapshot,
        Self::CrashAtInstall,
        Self::CrashAtCeremony,
        Self::Stop,
        Self::PartitionPair,
        Self::PartitionOneWay,
        Self::PartitionGroups,
        Self::IsolateNode,
        Self::IsolateLeader,
        Self::SlowLink,
        Self::LossyLink,
        Self::Pause,
        Self::Reset,
        Self::ClockSkew,
        Self::ClockJump,
        Self::SlowDisk,
        Self::FullDisk,
        Self::BrokenDisk,
        Self::Damage,
        Self::FailingHsm,
        Self::LostSession,
        Self::UnpluggedHsm,
        Self::TransferLeader,
        Self::Seal,
    ];
}
