//! Checking a share before it counts: whatever is wrong with it is told by its owner's name.

use conclave_core::{ClusterId, CustodianName, Custody, Generation, NodeId, SetId};
use conclave_crypto::Share;
use thiserror::Error;
use tonic::Code;

/// What is wrong with a share, or with a set of them.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum ShareProblem {
    /// Of another cluster.
    #[error(
        "the share of {custodian} belongs to another cluster: submit the one made for this cluster"
    )]
    OtherCluster {
        /// Whose, by the share's own word.
        custodian: String,
    },
    /// Of a root key that was replaced.
    #[error(
        "the share of {custodian} is of generation {generation}, and the root key is of generation \
         {current}: submit the current share"
    )]
    OldGeneration {
        /// Whose, by the share's own word.
        custodian: String,
        /// Of the share.
        generation: u32,
        /// Of the root key.
        current: Generation,
    },
    /// Of a set of shares that was replaced.
    #[error("the share of {custodian} is of a set that was replaced: submit the current share")]
    OtherSet {
        /// Whose, by the share's own word.
        custodian: String,
    },
    /// Of nobody.
    #[error("{custodian} is not a custodian of this root key")]
    NotACustodian {
        /// By the share's own word.
        custodian: String,
    },
    /// Not the bytes that were given out.
    #[error(
        "the share of {custodian} is not the one that was given out ({detail}): it was damaged or \
         forged, and does not count"
    )]
    Mangled {
        /// Whose, by the share's own word.
        custodian: String,
        /// What shows it.
        detail: String,
    },
    /// Counted already.
    #[error("the share of {custodian} counts already on node {node}: other custodians are needed")]
    Repeated {
        /// Whose.
        custodian: String,
        /// Where.
        node: NodeId,
    },
    /// Each is right and together they are not: nothing that a custodian can mend.
    #[error(
        "the shares are each right but do not rebuild the root key ({detail}): the attempt was \
         given up, call the security officer"
    )]
    NotRebuilt {
        /// What shows it.
        detail: String,
    },
}

impl ShareProblem {
    /// For programs and for the audit log: stable.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::OtherCluster { .. } => "SHARE_OTHER_CLUSTER",
            Self::OldGeneration { .. } => "SHARE_OLD_GENERATION",
            Self::OtherSet { .. } => "SHARE_SET_REPLACED",
            Self::NotACustodian { .. } => "SHARE_NOT_A_CUSTODIAN",
            Self::Mangled { .. } => "SHARE_MANGLED",
            Self::Repeated { .. } => "SHARE_REPEATED",
            Self::NotRebuilt { .. } => "SHARES_DO_NOT_REBUILD",
        }
    }

    /// The canonical code.
    pub fn code(&self) -> Code {
        match self {
            Self::OtherCluster { .. }
            | Self::OldGeneration { .. }
            | Self::OtherSet { .. }
            | Self::NotACustodian { .. }
            | Self::Mangled { .. } => Code::InvalidArgument,
            Self::Repeated { .. } => Code::AlreadyExists,
            Self::NotRebuilt { .. } => Code::DataLoss,
        }
    }
}

/// A share as submitted.
pub(crate) struct SubmittedShare {
    /// By the share's own word.
    pub(crate) custodian: String,
    pub(crate) cluster: Option<ClusterId>,
    pub(crate) set: Option<SetId>,
    pub(crate) generation: u32,
    /// Not a share at all, if it is an error: the text says why.
    pub(crate) share: Result<Share, String>,
}

/// The custodian whose share it is, and the share, if it is the very one that was given out.
pub(crate) fn check_share(
    cluster: ClusterId,
    custody: &Custody,
    submitted: SubmittedShare,
) -> Result<(CustodianName, Share), ShareProblem> {
    let SubmittedShare {
        custodian,
        cluster: of_cluster,
        set,
        generation,
        share,
    } = submitted;
    let custodian = shown(&custodian);
    if of_cluster != Some(cluster) {
        return Err(ShareProblem::OtherCluster { custodian });
    }
    if generation != custody.generation.0 {
        let current = custody.generation;
        return Err(ShareProblem::OldGeneration {
            custodian,
            generation,
            current,
        });
    }
    if set != Some(custody.set) {
        return Err(ShareProblem::OtherSet { custodian });
    }
    let known = CustodianName::new(&custodian).ok();
    let Some((x, known)) = known.and_then(|name| custody.custodian(&name)) else {
        return Err(ShareProblem::NotACustodian { custodian });
    };
    let share = share.map_err(|detail| ShareProblem::Mangled {
        custodian: custodian.clone(),
        detail,
    })?;
    if share.x() != x || share.digest() != known.share_digest {
        let detail = "its digest is another".to_owned();
        return Err(ShareProblem::Mangled { custodian, detail });
    }
    Ok((known.name.clone(), share))
}

/// A name that somebody gave, bounded and escaped so that it can be shown.
fn shown(name: &str) -> String {
    name.chars()
        .take(64)
        .collect::<String>()
        .escape_debug()
        .to_string()
}
