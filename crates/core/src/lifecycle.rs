//! The states of a key and of its versions, and the steps between them (NIST SP 800-57 part 1, section 7; the table is
//! in docs/lifecycle.md).

use serde::{Deserialize, Serialize};
use std::fmt;

/// The state of a key, or of one version of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum KeyState {
    /// Not to be used yet.
    PreActive,
    /// Protects and processes.
    Active,
    /// Processes only, for the time being.
    Suspended,
    /// Does nothing any more.
    Deactivated,
    /// Known to others, or feared to be: processes only for those who may use what is compromised.
    Compromised,
    /// Does nothing, and is destroyed at its date unless somebody cancels that.
    DestroyScheduled,
    /// Its material is gone; what it was and what became of it stays known.
    Destroyed,
}

/// A change of state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Transition {
    /// `PRE_ACTIVE` to ACTIVE.
    Activate,
    /// ACTIVE to SUSPENDED.
    Suspend,
    /// SUSPENDED to ACTIVE.
    Resume,
    /// ACTIVE or SUSPENDED to DEACTIVATED.
    Deactivate,
    /// ACTIVE or SUSPENDED to COMPROMISED.
    MarkCompromised,
    /// `PRE_ACTIVE`, DEACTIVATED or COMPROMISED to `DESTROY_SCHEDULED`.
    ScheduleDestruction,
    /// `DESTROY_SCHEDULED` to DEACTIVATED.
    CancelDestruction,
    /// `DESTROY_SCHEDULED` to DESTROYED; only a date does it.
    Destroy,
}

impl Transition {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Activate,
        Self::Suspend,
        Self::Resume,
        Self::Deactivate,
        Self::MarkCompromised,
        Self::ScheduleDestruction,
        Self::CancelDestruction,
        Self::Destroy,
    ];

    /// The state that it leads to.
    pub fn target(self) -> KeyState {
        match self {
            Self::Activate | Self::Resume => KeyState::Active,
            Self::Suspend => KeyState::Suspended,
            Self::Deactivate | Self::CancelDestruction => KeyState::Deactivated,
            Self::MarkCompromised => KeyState::Compromised,
            Self::ScheduleDestruction => KeyState::DestroyScheduled,
            Self::Destroy => KeyState::Destroyed,
        }
    }

    /// The operation's name in the audit log.
    pub fn operation(self) -> &'static str {
        match self {
            Self::Activate => "ActivateKey",
            Self::Suspend => "SuspendKey",
            Self::Resume => "ResumeKey",
            Self::Deactivate => "DeactivateKey",
            Self::MarkCompromised => "MarkKeyCompromised",
            Self::ScheduleDestruction => "ScheduleKeyDestruction",
            Self::CancelDestruction => "CancelKeyDestruction",
            Self::Destroy => "DestroyKey",
        }
    }

    /// Whether a caller asks for it in so many words. The others take more to be said, or a date.
    pub fn is_by_hand(self) -> bool {
        !matches!(self, Self::ScheduleDestruction | Self::Destroy)
    }
}

impl KeyState {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::PreActive,
        Self::Active,
        Self::Suspended,
        Self::Deactivated,
        Self::Compromised,
        Self::DestroyScheduled,
        Self::Destroyed,
    ];

    /// The state after `transition`, or `None` if it does not lead out of this one.
    pub fn after(self, transition: Transition) -> Option<Self> {
        let allowed = match transition {
            Transition::Activate => self == Self::PreActive,
            Transition::Suspend => self == Self::Active,
            Transition::Resume => self == Self::Suspended,
            Transition::Deactivate | Transition::MarkCompromised => {
                matches!(self, Self::Active | Self::Suspended)
            }
            Transition::ScheduleDestruction => {
                matches!(
                    self,
                    Self::PreActive | Self::Deactivated | Self::Compromised
                )
            }
            Transition::CancelDestruction | Transition::Destroy => self == Self::DestroyScheduled,
        };
        allowed.then(|| transition.target())
    }

    /// Whether it allows new protection: encrypt, sign, wrap, MAC.
    pub fn protects(self) -> bool {
        self == Self::Active
    }

    /// Whether it allows processing: decrypt, verify, unwrap.
    pub fn processes(self) -> bool {
        matches!(self, Self::Active | Self::Suspended)
    }

    /// The name that users know.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::PreActive => "PRE_ACTIVE",
            Self::Active => "ACTIVE",
            Self::Suspended => "SUSPENDED",
            Self::Deactivated => "DEACTIVATED",
            Self::Compromised => "COMPROMISED",
            Self::DestroyScheduled => "DESTROY_SCHEDULED",
            Self::Destroyed => "DESTROYED",
        }
    }
}

impl fmt::Display for KeyState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every cell of the table of docs/lifecycle.md, read from the document itself.
    #[test]
    fn the_table_is_as_documented() {
        let document = include_str!("../../../docs/lifecycle.md");
        let rows: Vec<Vec<&str>> = document
            .lines()
            .skip_while(|line| !line.starts_with("| from | "))
            .take_while(|line| line.starts_with('|'))
            .map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
            .collect();
        let (head, body) = (&rows[0], &rows[2..]);
        assert_eq!(head.len(), Transition::ALL.len() + 1);
        assert_eq!(body.len(), KeyState::ALL.len());
        for (from, row) in KeyState::ALL.into_iter().zip(body) {
            assert_eq!(row[0], from.as_str());
            for (transition, cell) in Transition::ALL.into_iter().zip(&row[1..]) {
                let to = from.after(transition).map_or("", KeyState::as_str);
                assert_eq!(*cell, to, "{from}, {transition:?}");
            }
        }
    }
}
