//! Ids, numbers and times as types of their own, so that no two are confused.

use serde::{Deserialize, Serialize};
use std::fmt;

macro_rules! number {
    ($(#[$doc:meta])* $name:ident($of:ty)) => {
        $(#[$doc])*
        #[derive(
            Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
        )]
        pub struct $name(pub $of);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

number!(
    /// A node of the cluster, never given twice.
    NodeId(u64)
);
number!(
    /// The place of an entry in the Raft log.
    LogIndex(u64)
);
number!(
    /// Milliseconds since the Unix epoch.
    TimeMs(u64)
);
number!(
    /// A key version, from 1; 0 is no version.
    VersionNumber(u32)
);
number!(
    /// Changes whenever that to which it belongs changes: the log index of the last change. 0:
    /// never existed.
    Revision(u64)
);
number!(
    /// A key-encryption key, from 1.
    KekNumber(u32)
);
number!(
    /// A generation of the root key, from 1.
    Generation(u32)
);
number!(
    /// The place of a record in the audit log, from 0.
    AuditSequence(u64)
);

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(
            Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
        )]
        pub struct $name(pub [u8; 16]);

        impl $name {
            /// From exactly 16 bytes; `None` for any other length.
            pub fn from_slice(bytes: &[u8]) -> Option<Self> {
                bytes.try_into().ok().map(Self)
            }

            /// The 16 bytes.
            pub fn as_bytes(&self) -> &[u8; 16] {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }
    };
}

id!(
    /// A cluster, drawn when it is formed.
    ClusterId
);
id!(
    /// A key, drawn when it is created.
    KeyId
);
id!(
    /// A registered data key, drawn by the node that makes it.
    DataKeyId
);
id!(
    /// An import job, drawn by the node that makes it.
    ImportJobId
);
id!(
    /// A request, drawn by the client and kept across its retries.
    RequestId
);
id!(
    /// A set of shares, drawn at the ceremony.
    SetId
);
id!(
    /// An attempt to unseal a node, drawn by that node.
    AttemptId
);
